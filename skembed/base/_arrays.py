"""Arrays and tensors of numbers: masked values, tensors that NumPy cannot read.

Imports `_files`.
"""

import sys

import numpy as np

from skembed.base._files import UnreadableRowError


def is_tensor(value):
    """Tell whether a value is a tensor of torch, without importing torch."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(value, torch.Tensor)


def tensor_problem(tensor):
    """Return why a tensor cannot be converted to an array, with a remedy; None if it can."""
    if getattr(tensor, "is_nested", False):  # of newer versions
        return "a nested tensor; take it apart: tensor.unbind()"
    if getattr(tensor, "is_quantized", False):  # of older versions
        return f"a quantized tensor ({tensor.dtype}); make it floats: tensor.dequantize()"
    layout = str(tensor.layout).removeprefix("torch.")
    if layout != "strided":
        return f"a sparse tensor ({layout}); make it dense: tensor.to_dense()"
    return None


def check_tensor(X, estimator, kind):
    """Raise a ValueError if a tensor of rows cannot be converted to an array.

    Parameters
    ----------
    X : torch.Tensor
        The rows.
    estimator : str
        Name of the estimator, for the message.
    kind : str
        What the rows should be, for the message: ``"images"``.
    """
    problem = tensor_problem(X)
    if problem is not None:
        raise ValueError(f"{estimator} expects {kind}, got {problem}.")


def array_of_tensor(tensor):
    """Return the array of a tensor on the CPU; bfloat16 and float8 become float32.

    Raises
    ------
    UnreadableRowError
        If it is on a device, sparse or quantized, or NumPy does not have its dtype.
    """
    problem = tensor_problem(tensor)
    if problem is None and tensor.device.type != "cpu":
        problem = f"a tensor on {tensor.device}; move it: tensor.cpu()"
    if problem is not None:
        raise UnreadableRowError(problem)
    tensor = tensor.detach().resolve_conj().resolve_neg()
    try:
        return tensor.numpy()
    except TypeError as error:
        if tensor.is_floating_point():
            return tensor.float().numpy()
        raise UnreadableRowError(f"a tensor of dtype {tensor.dtype}") from error


def unmasked(array):
    """Convert a masked array without masked values to an array; return other arrays unchanged.

    Raises
    ------
    UnreadableRowError
        If values are masked. The data under a mask is arbitrary.

    Examples
    --------
    >>> unmasked(np.ma.masked_array([1, 2], mask=[False, False]))
    array([1, 2])
    """
    if not isinstance(array, np.ma.MaskedArray):
        return array
    if array is np.ma.masked:
        raise UnreadableRowError("a masked value")
    if array.dtype.names is None and np.ma.is_masked(array):
        n_masked = int(np.ma.count_masked(array))
        values = "values" if n_masked > 1 else "value"
        raise UnreadableRowError(
            f"an array with {n_masked:,} masked {values}; fill it: array.filled(value)"
        )
    return np.asarray(array.data)


def numbers_of(array):
    """Convert an object array of numbers to a numeric array; return other arrays unchanged.

    Examples
    --------
    >>> numbers_of(np.array([1, 2.5], dtype=object)), numbers_of(np.array(["a"], dtype=object))
    (array([1. , 2.5]), array(['a'], dtype=object))
    """
    if array.dtype.kind != "O":
        return array
    try:
        numbers = np.array(array.tolist())
    except (ValueError, OverflowError, TypeError):  # nested lists of different lengths, and so on
        return array
    is_plain = numbers.dtype.kind in "biuf" and numbers.shape == array.shape
    return numbers if is_plain else array
