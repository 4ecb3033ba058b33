"""Compare the vectors of a graph with those of a reference: torch, or the graph in float32."""

import numpy as np

from skembed.runtime._precisions import PRECISIONS


def new_verdict():
    """Return a verdict on vectors that have not been compared yet, to be filled in."""
    return {"agrees": True, "max_difference": 0.0, "min_cosine": 1.0}


def add_difference(verdict, vectors, reference):
    """Add a comparison of vectors, (n_rows, n_dims) or (n_rows, n_tokens, n_dims), to a verdict."""
    difference, cosine = _difference(vectors, reference)
    # NumPy's maximum and minimum, because Python's ignore NaN.
    verdict["max_difference"] = float(np.maximum(verdict["max_difference"], difference))
    verdict["min_cosine"] = float(np.minimum(verdict["min_cosine"], cosine))
    verdict["n_dims"] = int(vectors.shape[-1])


def judge(verdict, precision, reference="torch"):
    """Set ``agrees`` and ``reason`` of a verdict by the limits of a precision."""
    limits = PRECISIONS[precision]
    difference, cosine = verdict["max_difference"], verdict["min_cosine"]
    agrees = difference <= limits.max_difference and cosine >= limits.min_cosine
    verdict["agrees"] = bool(agrees)
    verdict["reason"] = (
        ""
        if agrees
        else (
            f"ONNX Runtime in {precision} differs from {reference} by {difference:.2g} (limit "
            f"{limits.max_difference:.0e}), cosine {cosine:.6f} (limit {limits.min_cosine})"
        )
    )


def _difference(vectors, reference):
    """Return the largest difference and the smallest cosine of two arrays of vectors."""
    scale = max(1.0, float(np.abs(reference).max()))
    with np.errstate(invalid="ignore"):
        difference = np.abs(vectors - reference).max() / scale
        product = (vectors * reference).sum(-1, dtype=np.float64)
        lengths = np.linalg.norm(vectors.astype(np.float64), axis=-1)
        lengths = lengths * np.linalg.norm(reference.astype(np.float64), axis=-1)
        # Vectors of zeros have no cosine; only their difference is checked.
        cosines = np.divide(product, lengths, out=np.ones_like(product), where=lengths != 0)
    return difference, cosines.min()
