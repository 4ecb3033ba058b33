"""Arrays and tensors of numbers that are rows: values that are masked, what numpy cannot read.

Imports `_files`.
"""

import sys

import numpy as np

from skembed.base._files import UnreadableRowError


def is_tensor(value):
    """Tell whether a value is a tensor of torch, which is not imported for that."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(value, torch.Tensor)


def tensor_problem(tensor):
    """Return why a tensor has no array of its values, with the remedy; None if it has one."""
    if getattr(tensor, "is_nested", False):  # of newer versions
        return "a nested tensor; take it apart: tensor.unbind()"
    if getattr(tensor, "is_quantized", False):  # of older versions
        return f"a quantized tensor ({tensor.dtype}); make it floats: tensor.dequantize()"
    layout = str(tensor.layout).removeprefix("torch.")
    if layout != "strided":
        return f"a sparse tensor ({layout}); make it dense: tensor.to_dense()"
    return None


def array_of_tensor(tensor):
    """Return the array of a tensor on the CPU; bfloat16 and float8 become float32.

    Raises
    ------
    UnreadableRowError
        If it is on a device, sparse or quantized, or numpy does not have its dtype.
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
    """Return a masked array that hides nothing as a plain one; other arrays as they are.

    Raises
    ------
    UnreadableRowError
        If values are masked: what lies under a mask is not what its owner means.

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
    """Return an array of objects that are numbers as an array of numbers; others as they are.

    Examples
    --------
    >>> numbers_of(np.array([1, 2.5], dtype=object)), numbers_of(np.array(["a"], dtype=object))
    (array([1. , 2.5]), array(['a'], dtype=object))
    """
    if array.dtype.kind != "O":
        return array
    try:
        numbers = np.array(array.tolist())
    except (ValueError, OverflowError, TypeError):  # of lists that make no array
        return array
    is_plain = numbers.dtype.kind in "biuf" and numbers.shape == array.shape
    return numbers if is_plain else array
