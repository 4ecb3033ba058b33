"""Poolings of tokens and maps: each is one entry of `POOLINGS`, for torch and for ONNX graphs.

A pooling turns hidden states of shape (n_rows, n_tokens, n_dims) into vectors, (n_rows, n_dims).
`skip` tokens, those of a prompt, have been removed before the states. An export compares the two
functions of each pooling.

Imports torch inside functions. The functions for graphs receive a writer of operators, and need
no onnx.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Pooling:
    """How the states of a row become its vector.

    Parameters
    ----------
    torch : callable
        Takes a tensor of states and `skip`; returns a tensor of vectors.
    graph : callable
        Takes a writer of operators (see `runtime._graph_heads`), the name of the states and `skip`;
        appends operators and returns the name of the vectors.
    maps_only : bool, default=False
        Whether the pooling is for maps of images only, and not for tokens of texts.
    """

    torch: Callable
    graph: Callable
    maps_only: bool = False


def ints(*values):
    """Return integers as the constant of a graph."""
    return np.array(values, dtype=np.int64)


def floats(*values):
    """Return floats as the constant of a graph."""
    return np.array(values, dtype=np.float32)


# -- weighted sums of tokens -----------------------------------------------------------------------
# These are matrix products, one for each row, and not reductions over the batch. ONNX Runtime then
# adds the same numbers in the same order for any number of rows, so vectors are equal to the bit.


def _counted_torch(states):
    """Return 1, 2, 3, ..., n_tokens.

    They are computed from a tensor, not from its shape: an exported graph then computes them for
    each input instead of storing a constant.
    """
    import torch

    return torch.ones_like(states[0, :, 0]).cumsum(dim=0)


def _weighted_torch(weights, states):
    """Sum tokens by their weights, (n_tokens,)."""
    import torch

    return torch.matmul(weights[None, None], states)[:, 0]


def _n_tokens_graph(add, states):
    return add("Shape", states, start=1, end=2)


def _weighted_graph(add, weights, states):
    """Sum tokens by their weights, (n_tokens,)."""
    row = add("Unsqueeze", weights, ints(0, 1))
    return add("Squeeze", add("MatMul", row, states), ints(1))


def _equally_weighted_graph(add, states, weight):
    """Sum tokens with one weight for all of them."""
    return _weighted_graph(add, add("Expand", weight, _n_tokens_graph(add, states)), states)


# -- the poolings ----------------------------------------------------------------------------------


def _mean_torch(states, skip):
    import torch

    counted = _counted_torch(states)
    weights = torch.ones_like(counted) / counted[-1]
    return _weighted_torch(weights, states)


def _mean_graph(add, states, skip):
    n_tokens = add("Cast", _n_tokens_graph(add, states), to=1)
    return _equally_weighted_graph(add, states, add("Div", floats(1), n_tokens))


def _mean_sqrt_len_torch(states, skip):
    import torch

    counted = _counted_torch(states)
    weights = torch.ones_like(counted) / counted[-1].sqrt()
    return _weighted_torch(weights, states)


def _mean_sqrt_len_graph(add, states, skip):
    n_tokens = add("Cast", _n_tokens_graph(add, states), to=1)
    return _equally_weighted_graph(add, states, add("Div", floats(1), add("Sqrt", n_tokens)))


def _weighted_mean_torch(states, skip):
    """Average tokens with weights 1, 2, 3, ... (Muennighoff, SGPT, 2022).

    Tokens after a skipped prompt keep the weights of their positions, as in Sentence Transformers.
    """
    counted = _counted_torch(states) + skip
    return _weighted_torch(counted / counted.sum(), states)


def _weighted_mean_graph(add, states, skip):
    n_tokens = add("Squeeze", _n_tokens_graph(add, states), ints(0))
    first = np.array(1 + skip, dtype=np.int64)
    positions = add("Range", first, add("Add", n_tokens, first), np.array(1, dtype=np.int64))
    positions = add("Cast", positions, to=1)
    return _weighted_graph(add, add("Div", positions, add("ReduceSum", positions)), states)


def _gem_torch(states, skip):
    """Return the generalized mean with exponent 3 (Radenović et al., 2018).

    It lies between mean and maximum. States are clipped to positive values before the cube root.
    """
    return _mean_torch(states.clamp(min=1e-6) ** 3, skip) ** (1 / 3)


def _gem_graph(add, states, skip):
    powers = add("Pow", add("Max", states, floats(1e-6)), floats(3))
    return add("Pow", _mean_graph(add, powers, skip), floats(1 / 3))


def _flat_graph(add, states, skip):
    return add("Flatten", add("Transpose", states, perm=[0, 2, 1]), axis=1)


POOLINGS = {
    "mean": Pooling(_mean_torch, _mean_graph),
    "cls": Pooling(
        torch=lambda states, skip: states[:, 0],
        graph=lambda add, states, skip: add("Gather", states, np.int64(0), axis=1),
    ),
    "max": Pooling(
        torch=lambda states, skip: states.amax(dim=1),
        graph=lambda add, states, skip: add("ReduceMax", states, ints(1), keepdims=0),
    ),
    "mean_sqrt_len": Pooling(_mean_sqrt_len_torch, _mean_sqrt_len_graph),
    "weighted_mean": Pooling(_weighted_mean_torch, _weighted_mean_graph),
    "last": Pooling(
        torch=lambda states, skip: states[:, -1],
        graph=lambda add, states, skip: add("Gather", states, np.int64(-1), axis=1),
    ),
    "gem": Pooling(_gem_torch, _gem_graph, maps_only=True),
    "flat": Pooling(
        torch=lambda states, skip: states.transpose(1, 2).flatten(1),
        graph=_flat_graph,
        maps_only=True,
    ),
}
# Names of poolings of tokens, and of those that are for maps only.
POOLING_NAMES = tuple(name for name, pooling in POOLINGS.items() if not pooling.maps_only)
MAP_POOLING_NAMES = tuple(name for name, pooling in POOLINGS.items() if pooling.maps_only)
