"""Read and write arrays in safetensors files, without torch. Imports only `exceptions`."""

import json
from contextlib import contextmanager

import numpy as np
from safetensors import SafetensorError, safe_open
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
    tensors = {}
    with _opened(path) as file:
        for name in set(names).intersection(file.keys()):
            kind = file.get_slice(name).get_dtype()
            try:
                tensors[name] = _widened(path, name) if kind == "BF16" else file.get_tensor(name)
            except (TypeError, AttributeError) as error:
                raise ModelFormatError(
                    f"{path}: the tensor {name!r} has the type {kind}, which NumPy does not have."
                ) from error
    return tensors


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


def _widened(path, name):
    """Return a tensor of bfloat16 as float32; its bits are the upper half.

    Its part of the file is read by itself: models have hundreds of tensors.
    """
    with open(path, "rb") as file:
        n_header = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(n_header))
        begin, end = header[name]["data_offsets"]
        file.seek(8 + n_header + begin)
        halves = np.frombuffer(file.read(end - begin), "<u2").reshape(header[name]["shape"])
    return (halves.astype(np.uint32) << 16).view(np.float32)
