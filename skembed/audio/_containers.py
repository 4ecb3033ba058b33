"""Containers of sounds: a stack of waveforms in one array or tensor; one sound is none."""

import os
from collections.abc import Mapping
from numbers import Number

import numpy as np

from skembed.base._arrays import is_tensor, tensor_problem
from skembed.base._files import is_file_object


def rows_of(X, estimator, sampling_rate):
    """Take the rows out of an array or tensor of waveforms; leave other containers as they are.

    Parameters
    ----------
    X : object
        The rows.
    estimator : str
        Name of the estimator, for messages.
    sampling_rate : int or None
        Rate in Hz of arrays that come without one.

    Returns
    -------
    X : object
        A list of rows, or `X` itself.

    Raises
    ------
    TypeError
        If `X` is one sound.
    ValueError
        If `X` is one waveform, or waveforms without a rate, or a tensor without an array.

    Examples
    --------
    >>> len(rows_of(np.zeros((3, 800)), "AudioEmbedder", 8000))
    3
    """
    one = _one_sound(X)
    if one is not None:
        raise TypeError(
            f"{estimator} expects a collection of sounds, got one {one}. Wrap it in a list: [x]."
        )
    if is_tensor(X):
        problem = tensor_problem(X)
        if problem is not None:
            raise ValueError(f"{estimator} expects sounds, got {problem}.")
        is_numeric = True
    else:
        is_numeric = isinstance(X, np.ndarray) and _holds_numbers(X)
    if not is_numeric or X.ndim == 0:
        return X
    if X.ndim > 1 and (sampling_rate is not None or X.ndim > 2):
        return list(X)
    remedy = "its rows are waveforms, set sampling_rate"
    if X.ndim == 1:
        remedy = "it is one waveform, wrap it in a list: [x]"
    raise ValueError(
        f"{estimator} expects sounds, but X is numeric (dtype {X.dtype}). If {remedy}."
    )


def _one_sound(X):
    """Say what one sound `X` is, None if it may be a collection."""
    if isinstance(X, tuple) and len(X) == 2 and sum(isinstance(x, Number) for x in X) == 1:
        return "tuple of array and rate"
    if is_file_object(X) or hasattr(X, "get_all_samples"):
        return type(X).__name__
    if isinstance(X, Mapping):
        parts = isinstance(X.get("path"), (str, os.PathLike)), isinstance(X.get("bytes"), bytes)
        if any(parts) or ("array" in X and isinstance(X.get("sampling_rate"), Number)):
            return type(X).__name__
    return None


def _holds_numbers(X):
    """Tell whether the items of an array are samples, not rows."""
    if X.dtype.kind in "fiu":
        return True
    if X.dtype.kind != "O" or X.size == 0:
        return False
    values = np.ma.getdata(X).ravel()
    # Where all are missing, they are rows.
    return all(isinstance(value, Number) for value in values) and any(v == v for v in values)
