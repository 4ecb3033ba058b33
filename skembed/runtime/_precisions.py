"""The table of precisions: number formats that a network computes in."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from skembed.runtime._quantize_convolutions import quantize_convolutions
from skembed.runtime._quantize_products import quantize


@dataclass(frozen=True)
class Precision:
    """A number format that a network computes in.

    Parameters
    ----------
    backends : tuple of str
        The backends that compute in it.
    rewrite : callable, default=None
        Takes the path of a graph in float32, and the ranges of states or None; rewrites the graph
        in place. None: the graph is not changed.
    needs_ranges : bool, default=False
        Whether convolutions need ranges of states that are found on rows of `fit`.
    max_difference : float, default=1e-4
        Largest difference from torch in float32 that an export may have. The default is rounding
        in another order of additions.
    min_cosine : float, default=0.99999
        Smallest cosine similarity to torch's vectors in float32.
    slow_on_cpu : str, default=""
        Why the precision is refused on a CPU. Empty: it is not.
    cpu_only : bool, default=False
        Whether a graph in this precision runs on a CPU only.
    """

    backends: tuple
    rewrite: Callable | None = None
    needs_ranges: bool = False
    max_difference: float = 1e-4
    min_cosine: float = 0.99999
    slow_on_cpu: str = ""
    cpu_only: bool = False


def _in_integers(path, ranges):
    if ranges is None:
        quantize(path)
    else:
        quantize_convolutions(path, ranges)


PRECISIONS = {
    "float32": Precision(backends=("onnx", "torch")),
    "bfloat16": Precision(backends=("torch",)),
    "float16": Precision(
        backends=("torch",),
        slow_on_cpu=(
            "precision='float16' is for CUDA; on a CPU 'int8' and 'bfloat16' are the fast ones."
        ),
    ),
    # Only the cosine is checked.
    "int8": Precision(
        backends=("onnx",),
        rewrite=_in_integers,
        needs_ranges=True,
        max_difference=np.inf,
        min_cosine=0.95,
        cpu_only=True,
    ),
}
