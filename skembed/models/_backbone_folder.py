"""Write a network to a folder in the layout of transformers, and read it again for comparison.

This module imports torch; it is imported only when a network is written.
"""

import json

import torch
from safetensors.torch import save_file

from skembed.exceptions import ExportError
from skembed.models._backbone import WithStem, load_model, quiet_transformers

_MAX_DIFFERENCE = 1e-5  # of states, in units of the largest


def write_backbone(source, folder, modality, *, change, stem, probe):
    """Write the network of a folder, with other weights, to another folder.

    Parameters
    ----------
    source : pathlib.Path
        The folder that the network is loaded from.
    folder : pathlib.Path
        Gets ``config.json`` and ``model.safetensors``, in float32.
    modality : Modality
        What the network embeds.
    change : callable
        Called with the backbone: changes its weights.
    stem : object or None
        The settings of the module that computes the backbone's inputs, see `Preprocessor`.
    probe : ndarray
        A network input, on which both networks are compared.

    Returns
    -------
    n_hidden : int
        Length of the last state.

    Raises
    ------
    ExportError
        If the new folder's network differs.
    """
    loaded = load_model(source, modality)
    change(loaded.backbone)
    if loaded.model is loaded.backbone:
        _write_own(loaded.backbone, source, folder)
    else:
        # Weights that are random are left out, as they were before.
        weights = {
            name: tensor.contiguous()
            for name, tensor in loaded.model.state_dict().items()
            if name not in loaded.random
        }
        with quiet_transformers():
            loaded.model.save_pretrained(folder, state_dict=weights)
    expected = _states(loaded.backbone, stem, probe)
    found = _states(load_model(folder, modality).backbone, stem, probe)
    for ours, theirs in zip(expected, found, strict=True):
        difference = float((ours - theirs).abs().max()) / max(1.0, float(ours.abs().max()))
        if not difference <= _MAX_DIFFERENCE:
            raise ExportError(
                f"The network of {source} changes when transformers saves and loads it: its states "
                f"differ by {difference:.2g} (limit {_MAX_DIFFERENCE:.0e}). Use format='onnx'."
            )
    return int(expected[-1].shape[-1])


def _write_own(network, source, folder):
    save_file(network.state_dict(), folder / "model.safetensors", metadata={"format": "pt"})
    config = json.loads((source / "config.json").read_text(encoding="utf-8"))
    text = json.dumps(config, indent=1) + "\n"
    (folder / "config.json").write_text(text, encoding="utf-8")


def _states(backbone, stem, probe):
    network = backbone if stem is None else WithStem(stem.module(), backbone)
    with torch.inference_mode():
        return network.eval()(torch.from_numpy(probe))
