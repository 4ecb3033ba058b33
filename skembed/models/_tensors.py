"""Read and write arrays in safetensors files, without torch. Imports only `exceptions`."""

from contextlib import contextmanager

import numpy as np
from safetensors import SafetensorError, deserialize, safe_open
from safetensors.numpy import save_file

from skembed.exceptions import ModelFormatError


def tensor_shapes(path):
    """Return the shape of each tensor of a safetensors file, by name.

    Parameters
    ----------
    path : path
        The file.

    Raises
    ------
    ModelFormatError
        If the file is damaged.
    """
    with _opened(path) as file:
        return {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}


def read_tensors(path, names):
    """Return some tensors of a safetensors file.

    Parameters
    ----------
    path : path
        The file.
    names : collection of str
        Names of tensors. Those that the file does not have are left out.

    Returns
    -------
    tensors : dict of str to ndarray
        A tensor of bfloat16, which NumPy does not have, becomes float32.

    Raises
    ------
    ModelFormatError
        If the file is damaged, or a tensor has a type that NumPy cannot read.
    """
    tensors, wide = {}, []
    with _opened(path) as file:
        for name in set(names).intersection(file.keys()):
            kind = file.get_slice(name).get_dtype()
            if kind == "BF16":
                wide.append(name)
                continue
            try:
                tensors[name] = file.get_tensor(name)
            except (TypeError, AttributeError) as error:
                raise ModelFormatError(
                    f"{path}: the tensor {name!r} has the type {kind}, which NumPy does not have."
                ) from error
    return tensors | (_widened(path, wide) if wide else {})


def write_tensors(path, tensors):
    """Write arrays to a safetensors file.

    Parameters
    ----------
    path : path
        The file.
    tensors : dict of str to ndarray
        The arrays, of integers or floats.
    """
    save_file({name: np.ascontiguousarray(array) for name, array in tensors.items()}, path)


@contextmanager
def _opened(path):
    try:
        with safe_open(path, framework="np") as file:
            yield file
    except SafetensorError as error:
        raise ModelFormatError(f"{path} is not a safetensors file: {error}") from error


def _widened(path, names):
    """Return tensors of bfloat16 as float32; their bits are the upper half."""
    with open(path, "rb") as file:
        found = dict(deserialize(file.read()))
    tensors = {}
    for name in names:
        halves = np.frombuffer(found[name]["data"], "<u2").reshape(found[name]["shape"])
        tensors[name] = (halves.astype(np.uint32) << 16).view(np.float32)
    return tensors
