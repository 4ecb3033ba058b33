"""Folders of networks with random weights: `pretrained=False`.

A folder in transformers' layout, so that everything after it is as for a published model. Imports
torch inside functions: a folder that is already there is used without it.
"""

import json
import os
import shutil
import tempfile
from pathlib import Path

from filelock import FileLock

from skembed.base._digest import digest
from skembed.base._optional import exporter_versions, import_optional
from skembed.models._modality import imported
from skembed.models._storage import kept_folder


def seeded_folder(architecture, seed, modality):
    """Return the folder of a network with random weights, made if it is not there.

    Parameters
    ----------
    architecture : str
        A name in the modality's architectures.
    seed : int
        The weights are drawn by it: equal seeds give equal weights with one version of torch.
    modality : Modality
        What the network is to embed.

    Returns
    -------
    folder : pathlib.Path
        Holds ``config.json``, ``model.safetensors`` and the preprocessor's settings.

    Raises
    ------
    ValueError
        If there is no such architecture.
    MissingDependencyError
        If the folder is to be made and torch is not installed.
    """
    name = os.fspath(architecture)
    if name not in modality.architectures:
        names = sorted(modality.architectures)
        raise ValueError(
            f"With pretrained=False, model must be one of {names}, whose weights are drawn at "
            f"random. Got {name!r} instead."
        )
    known = modality.architectures[name]
    parts = [name, known.config, known.files, known.prepare is not None, seed, exporter_versions()]
    folder = kept_folder(f"seeded-{digest(parts)[:32]}", "config.json")
    if not folder.exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{folder}.lock"):
            if not folder.exists():
                _write(folder, known, seed, modality)
    return folder


def _write(folder, architecture, seed, modality):
    torch = import_optional("torch", extra="torch", purpose="pretrained=False")
    from safetensors.torch import save_file

    import_optional("transformers", extra="torch", purpose="pretrained=False")
    from skembed.models._backbone import build, quiet_transformers

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = build(architecture.config, modality)
        if architecture.prepare is not None:
            imported(architecture.prepare)(network)
    aside = Path(tempfile.mkdtemp(dir=folder.parent, prefix=".seeded-"))
    try:
        if architecture.config["model_type"] in modality.networks:
            save_file(network.state_dict(), aside / "model.safetensors")
            _write_json(aside / "config.json", architecture.config)
        else:
            with quiet_transformers():
                network.save_pretrained(aside)
        for name, content in architecture.files.items():
            _write_json(aside / name, content)
        aside.rename(folder)
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def _write_json(path, content):
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
