"""What `fit` learned about a network: ranges of its states, changed weights, a projection.

Imports `models` and `exceptions`.
"""

import hashlib
from dataclasses import dataclass, fields
from functools import cached_property

import numpy as np

from skembed.exceptions import ModelFormatError
from skembed.models._projection import Projection

_MODEL = "model."  # how the names of a model of transformers begin in a backbone
_LEFT, _RIGHT = ".low_rank_left", ".low_rank_right"


def low_rank_names(name):
    """Return the names of the two matrices whose product is added to the weights `name`."""
    return name + _LEFT, name + _RIGHT


@dataclass(frozen=True)
class Learned:
    """What `fit` learned. It is part of a network's identity and travels in its pickle.

    Parameters
    ----------
    ranges : tuple, default=None
        Ranges of the states between convolutions, for int8 (see `_quantize_convolutions`).
    weights : bytes, default=b""
        The backbone's weights that differ from those of the model's folder, in the format of
        safetensors. A change of low rank is two matrices, see `low_rank_names`.
    projection : Projection, default=None
        What the vectors are multiplied by. `resolve` makes it a part of the network's head.
    """

    ranges: tuple | None = None
    weights: bytes = b""
    projection: Projection | None = None

    @cached_property
    def digest(self):
        """SHA-256 of the changed weights, in hexadecimal; None: none were changed."""
        return hashlib.sha256(self.weights).hexdigest() if self.weights else None

    def __getstate__(self):
        return {item.name: getattr(self, item.name) for item in fields(self)}

    def apply(self, backbone):
        """Put the changed weights into a backbone, a torch module.

        Raises
        ------
        ModelFormatError
            If they are damaged, or not weights of this network.
        """
        if not self.weights:
            return
        from safetensors import SafetensorError
        from safetensors.torch import load

        try:
            changed = _multiplied(load(self.weights), backbone.state_dict())
            unknown = backbone.load_state_dict(changed, strict=False).unexpected_keys
        except (SafetensorError, RuntimeError, KeyError) as error:  # damaged, or of another shape
            raise ModelFormatError(f"The learned weights cannot be used: {error}") from error
        if unknown:
            raise ModelFormatError(f"The network has no weights {unknown[0]!r}, which fit learned.")

    def reader(self, read):
        """Return a function that reads the weights of the network, without torch.

        Parameters
        ----------
        read : callable
            Takes the name of a tensor of the model before training, and its shape.
        """
        if not self.weights:
            return read
        from safetensors import SafetensorError
        from safetensors.numpy import load

        try:
            changed = load(self.weights)
        except SafetensorError as error:
            raise ModelFormatError(f"The learned weights cannot be used: {error}") from error

        def learned(name, shape):
            ours = _MODEL + name
            left, right = (changed.get(part) for part in low_rank_names(ours))
            array = changed.get(ours)
            if left is not None and right is not None:
                array = read(name, shape) + (left @ right).reshape(shape)
            if array is not None and array.shape != shape:
                raise ModelFormatError(
                    f"The learned weights cannot be used: {name} has the shape {array.shape}, not "
                    f"{shape}."
                )
            return read(name, shape) if array is None else array.astype(np.float32, copy=False)

        return learned


def _multiplied(changed, before):
    """Return changed weights, with products of low rank added to the weights they belong to."""
    for name in [name for name in changed if name.endswith(_LEFT)]:
        base = name.removesuffix(_LEFT)
        left, right = changed.pop(name), changed.pop(base + _RIGHT)
        if base in before:
            changed[base] = before[base] + (left @ right).reshape(before[base].shape)
        else:
            changed[base] = left
    return changed
