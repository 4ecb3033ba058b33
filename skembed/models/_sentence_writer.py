"""Write a head as modules of Sentence Transformers: what `_sentence` reads.

torch is not imported.
"""

import json
import shutil
from pathlib import Path

import numpy as np

from skembed.exceptions import ExportError
from skembed.models._files import read_json
from skembed.models._sentence import POOLINGS

_REMEDY = "or use format='onnx', which stores every head"
_NAMES = {ours: theirs for theirs, (_, ours) in POOLINGS.items()}


def check_head(head, n_layers):
    """Raise an ExportError if Sentence Transformers has no modules for a head.

    Parameters
    ----------
    head : Head
        The head.
    n_layers : int or None
        Number of layers after the embedding layer.
    """
    if head.layers not in ((-1,), (n_layers,)):
        given = list(head.layers) if len(head.layers) > 1 else head.layers[0]
        raise ExportError(
            f"Sentence Transformers pools the states of the last layer only, and layers={given}. "
            f"Fit with layers=-1, {_REMEDY}."
        )
    unknown = [name for name in head.pooling if name not in _NAMES]
    if unknown:
        raise ExportError(
            f"Sentence Transformers has no pooling {unknown[0]!r}. Fit with a pooling of "
            f"{list(_NAMES)}, {_REMEDY}."
        )


def write_modules(folder, head, source, *, n_hidden, prompt, projection=None):
    """Write a head's modules to a folder that has the backbone's files.

    Parameters
    ----------
    folder : pathlib.Path
        The folder.
    head : Head
        One that `check_head` accepts.
    source : ModelFolder
        The folder that the network was loaded from; its prompts are written, too.
    n_hidden : int
        Length of the backbone's states.
    prompt : str
        Text that precedes each text.
    projection : ndarray of shape (n_out, n_in), default=None
        A linear map that follows the dense layers.
    """
    modules = _Modules(folder)
    modules.add("Transformer")
    modules.add("Pooling", _pooling(head.pooling, n_hidden, source.modules.include_prompt))
    width = n_hidden * len(head.pooling)
    for dense in head.dense:
        place = modules.add("Dense", _config_of(dense))
        shutil.copyfile(dense.weights, place / "model.safetensors")
        width = dense.out_features
    linear = [] if projection is None else [np.ascontiguousarray(projection, dtype=np.float32)]
    width = len(linear[0]) if linear else width
    cut = head.truncate_dim is not None and head.truncate_dim < width
    if cut and head.normalize and not head.truncate_last:
        # Its own `truncate_dim` is applied after normalization.
        linear.append(np.eye(head.truncate_dim, width, dtype=np.float32))
        cut = False
    for weights in linear:
        _add_linear(modules, weights)
    if head.normalize:
        modules.add("Normalize")
    modules.write()
    _write_model_settings(folder, source, prompt, head.truncate_dim if cut else None)


class _Modules:
    """The modules of a folder, in their order."""

    def __init__(self, folder):
        self._folder = folder
        self._entries = []

    def add(self, kind, config=None):
        """Append a module; return its folder."""
        number = len(self._entries)
        path = f"{number}_{kind}" if number else ""
        self._entries.append(
            {
                "idx": number,
                "name": str(number),
                "path": path,
                "type": f"sentence_transformers.models.{kind}",
            }
        )
        place = self._folder / path
        place.mkdir(exist_ok=True)
        if config is not None:
            write_json(place / "config.json", config)
        return place

    def write(self):
        """Write ``modules.json``."""
        write_json(self._folder / "modules.json", self._entries)


def write_json(path, content):
    """Write a file of settings."""
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def _pooling(names, n_hidden, include_prompt):
    order = [ours for _, ours in POOLINGS.values()]
    if list(names) == [name for name in order if name in names]:
        # Flags, which every version reads. They cannot state another order.
        config = {"word_embedding_dimension": n_hidden}
        config |= {flag: ours in names for flag, ours in POOLINGS.values()}
    else:
        modes = [_NAMES[name] for name in names]
        config = {"embedding_dimension": n_hidden, "pooling_mode": modes}
    return {**config, "include_prompt": include_prompt}


def _config_of(dense):
    """Return the config.json of a dense layer: the model's own."""
    return read_json(Path(dense.weights).with_name("config.json"))


def _add_linear(modules, weights):
    """Append a dense layer without a bias and an activation."""
    from safetensors.numpy import save_file

    n_out, n_in = weights.shape
    place = modules.add(
        "Dense",
        {
            "in_features": n_in,
            "out_features": n_out,
            "bias": False,
            "activation_function": "torch.nn.modules.linear.Identity",
        },
    )
    save_file({"linear.weight": weights}, place / "model.safetensors", metadata={"format": "pt"})


def _write_model_settings(folder, source, prompt, truncate_dim):
    """Write ``config_sentence_transformers.json``: prompts and the final length of vectors."""
    name = "config_sentence_transformers.json"
    settings = read_json(source.path / name, {}) if (source.path / "modules.json").exists() else {}
    prompts = dict(source.modules.prompts)
    default = next((key for key, text in prompts.items() if text == prompt), None)
    if prompt and default is None:
        default = next(key for key in _free_names() if key not in prompts)
        prompts[default] = prompt
    if not prompt:
        default = None
    settings |= {
        "prompts": prompts,
        "default_prompt_name": default,
        "truncate_dim": truncate_dim,
    }
    write_json(folder / name, settings)


def _free_names():
    yield "default"
    number = 1
    while True:
        yield f"default_{number}"
        number += 1
