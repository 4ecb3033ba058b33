"""Convert published checkpoints, which are pickles, to folders that skembed loads.

Only tensors are read from a pickle (``weights_only=True``). torch is imported inside functions.
"""

import json
from pathlib import Path

from skembed.audio._families import ARCHITECTURES
from skembed.base._digest import file_sha256
from skembed.base._failures import first_line
from skembed.base._folders import check_empty, written_aside
from skembed.base._optional import import_optional
from skembed.exceptions import ModelFormatError

# Constants of the spectrograms in a checkpoint. skembed computes them itself.
_IGNORED = ("spectrogram_extractor.", "logmel_extractor.")
# One of these constants, and its shape for 32 kHz. Only the shapes of the constants differ between
# networks for 32, 16 and 8 kHz.
_BANDS, _BANDS_SHAPE = "logmel_extractor.melW", (513, 64)


def convert_panns(file, folder):
    """Convert the published checkpoint of PANNs' CNN14 to a model's folder.

    Parameters
    ----------
    file : str or path
        ``Cnn14_mAP=0.431.pth`` or another checkpoint of this architecture for 32 kHz.
    folder : str or path
        The new folder. It must not exist, or be empty. ``config.json``, ``model.safetensors`` and
        ``preprocessor_config.json`` are written to it.

    Returns
    -------
    sha256 : str
        SHA-256 of ``model.safetensors``.

    Raises
    ------
    FileExistsError
        If the folder is not empty.
    FileNotFoundError
        If the checkpoint does not exist.
    ModelFormatError
        If the file is not a checkpoint, or is one of another architecture.
    """
    file, folder = Path(file).expanduser(), Path(folder).expanduser().absolute()
    check_empty(folder)
    config, network = _loaded(file)
    files = {"config.json": config, **ARCHITECTURES["cnn14"].files}
    from safetensors.torch import save_file

    with written_aside(folder) as aside:
        save_file(network.state_dict(), aside / "model.safetensors")
        for name, content in files.items():
            (aside / name).write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
        return file_sha256(aside / "model.safetensors")


def _loaded(file):
    """Return the config and the network of a checkpoint."""
    weights = _tensors_of(file)
    from skembed.audio._cnns import Cnn14

    n_classes = weights["fc_audioset.bias"].shape[0] if "fc_audioset.bias" in weights else 527
    config = {**ARCHITECTURES["cnn14"].config, "n_classes": n_classes}
    network = Cnn14(n_classes=n_classes)
    try:
        network.load_state_dict(weights)
    except RuntimeError as error:  # lists the weights that are missing or have another shape
        raise ModelFormatError(f"{file} is not a checkpoint of CNN14: {error}") from error
    return config, network


def _tensors_of(file):
    """Return the weights of a checkpoint by name."""
    torch = import_optional("torch", extra="torch", purpose="Converting a checkpoint")
    if not file.is_file():
        raise FileNotFoundError(f"There is no file {file}.")
    try:
        content = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # any error of the unpickler or of the archive's reader
        reason = first_line(error)
        raise ModelFormatError(f"{file} cannot be read as a checkpoint: {reason}") from error
    weights = content.get("model", content) if isinstance(content, dict) else None
    if not isinstance(weights, dict) or not all(torch.is_tensor(w) for w in weights.values()):
        raise ModelFormatError(f"{file} does not contain weights by name.")
    if _BANDS in weights and tuple(weights[_BANDS].shape) != _BANDS_SHAPE:
        raise ModelFormatError(
            f"{file} is not a checkpoint for a sampling rate of 32 kHz: {_BANDS} must have the "
            f"shape {_BANDS_SHAPE}. Got {tuple(weights[_BANDS].shape)} instead."
        )
    return {name: w for name, w in weights.items() if not name.startswith(_IGNORED)}
