"""Request: the parameters that select a network, as plain data."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Request:
    """Parameters that select a network and its backend; documented in the embedders.

    Parameters
    ----------
    estimator : str
        Name of the estimator, for messages and the manifest.
    model, revision, pooling, layers, normalize, truncate_dim, precompute
        The parameters of these names, in Python's own types.
    backend, precision, device
        As well.
    seed : int or None
        Of random weights; None: `model` is pretrained.
    make_preprocessor : callable
        Takes the model's `ModelFolder`, returns the `Preprocessor` that the parameters ask for.
    """

    estimator: str
    model: Any
    revision: str | None
    seed: int | None
    pooling: Any
    layers: Any
    normalize: bool | str
    truncate_dim: int | None
    precompute: dict | None
    backend: str
    precision: str
    device: str
    make_preprocessor: Callable
