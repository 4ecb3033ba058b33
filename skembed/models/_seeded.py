"""Write folders of networks with random weights, for ``pretrained=False``.

A folder has the layout of transformers, so it is used like that of a published model. torch is
imported inside functions, because an existing folder is used without it.
"""

import os
from functools import partial

from skembed.base._digest import digest
from skembed.base._optional import exporter_versions, import_optional
from skembed.models._modality import imported
from skembed.models._storage import written_once


def seeded_folder(architecture, seed, modality):
    """Return the folder of a network with random weights; write it if it does not exist.

    Parameters
    ----------
    architecture : str
        Name of an architecture of the modality.
    seed : int
        Seed of the weights. Equal seeds give equal weights with the same version of torch.
    modality : Modality
        The modality that the network embeds.

    Returns
    -------
    folder : pathlib.Path
        The folder with ``config.json``, ``model.safetensors`` and the settings of preprocessing.

    Raises
    ------
    ValueError
        If the architecture does not exist.
    MissingDependencyError
        If the folder does not exist and torch is not installed.
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
    write = partial(_write, architecture=known, seed=seed, modality=modality)
    title = f"building {name} with {'fixed' if known.fixed else 'random'} weights"
    return written_once(f"seeded-{digest(parts)[:32]}", write, title)


def _write(folder, architecture, seed, modality):
    what = "A network with fixed weights" if architecture.fixed else "pretrained=False"
    torch = import_optional("torch", extra="torch", purpose=what)
    import_optional("transformers", extra="torch", purpose=what)
    from skembed.models._backbone import build, quiet_transformers

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = build(architecture.config, modality)
        if architecture.prepare is not None:
            imported(architecture.prepare)(network)
    if architecture.config["model_type"] in modality.networks:
        architecture.write(folder, network.state_dict())
    else:
        with quiet_transformers():
            network.save_pretrained(folder)
        architecture.write(folder)
