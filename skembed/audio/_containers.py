"""Extract sounds from containers: arrays and tensors of waveforms."""

from collections.abc import Mapping
from numbers import Number

import numpy as np

from skembed.base._arrays import check_tensor, is_tensor
from skembed.base._files import PATH_TYPES, is_file_object
from skembed.base._rows import one_row_error


def rows_of(X, estimator, sampling_rate):
    """Extract the rows of an array or tensor of waveforms.

    Parameters
    ----------
    X : object
        A container of rows.
    estimator : str
        Name of the estimator, for messages.
    sampling_rate : int or None
        Sampling rate in Hz of arrays without a rate of their own.

    Returns
    -------
    X : object
        A list of rows. Other containers are returned unchanged.

    Raises
    ------
    TypeError
        If `X` is one sound.
    ValueError
        If `X` is one waveform, waveforms without a rate, or a tensor that NumPy cannot read.

    Examples
    --------
    >>> len(rows_of(np.zeros((3, 800)), "AudioEmbedder", 8000))
    3
    """
    one = _one_sound(X)
    if one is not None:
        raise one_row_error(estimator, "sounds", one)
    if is_tensor(X):
        check_tensor(X, estimator, "sounds")
    elif not (isinstance(X, np.ndarray) and _contains_samples(X)):
        return X
    if X.ndim == 0:
        return X
    # Without a rate, a 2-D array may be a table of features; an array of three axes cannot.
    if X.ndim > 1 and (sampling_rate is not None or X.ndim > 2):
        return list(X)
    raise _numeric_error(X, estimator)


def _numeric_error(X, estimator):
    remedy = "its rows are waveforms, set sampling_rate"
    if X.ndim == 1:
        remedy = "it is one waveform, wrap it in a list: [x]"
    return ValueError(
        f"{estimator} expects sounds, but X is numeric (dtype {X.dtype}). If {remedy}."
    )


def _one_sound(X):
    """Describe `X` if it is one sound; return None if it may be a collection."""
    if isinstance(X, tuple) and len(X) == 2 and sum(isinstance(x, Number) for x in X) == 1:
        return "tuple of array and rate"
    if is_file_object(X) or hasattr(X, "get_all_samples"):
        return type(X).__name__
    if isinstance(X, Mapping):
        parts = isinstance(X.get("path"), PATH_TYPES), isinstance(X.get("bytes"), bytes)
        if any(parts) or ("array" in X and isinstance(X.get("sampling_rate"), Number)):
            return type(X).__name__
    return None


def _contains_samples(X):
    """Tell whether the items of an array are samples, not rows."""
    if X.dtype.kind in "fiu":
        return True
    if X.dtype.kind != "O" or X.size == 0:
        return False
    values = np.ma.getdata(X).ravel()
    # If all items are NaN, they are missing rows.
    return all(isinstance(value, Number) for value in values) and any(v == v for v in values)
