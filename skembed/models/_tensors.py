"""Read and write safetensors files with NumPy alone, after checks of header and sizes.

The core of skembed has no package for it: a file is a length, a JSON header and arrays. Imports
only `exceptions`.
"""

import json
import math
import os
from pathlib import Path

import numpy as np

from skembed.exceptions import ModelFormatError

# A table of tokens has three tensors. The header of a network with thousands has some 500 kB.
_MAX_HEADER_BYTES = 10 * 2**20
# BF16 is read as integers: NumPy has no such type.
_DTYPES = {
    "F64": "<f8",
    "F32": "<f4",
    "F16": "<f2",
    "BF16": "<u2",
    "I64": "<i8",
    "I32": "<i4",
    "I16": "<i2",
    "I8": "<i1",
    "U32": "<u4",
    "U16": "<u2",
    "U8": "<u1",
}
_NAMES = {np.dtype(dtype): name for name, dtype in _DTYPES.items() if name != "BF16"}


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
    return {name: tuple(entry["shape"]) for name, entry in _header(path)[0].items()}


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

    Raises
    ------
    ModelFormatError
        If the file is damaged, or a tensor has a type that NumPy cannot read.
    """
    header, start = _header(path)
    tensors = {}
    for name in names:
        if name not in header:
            continue
        entry = header[name]
        if entry["dtype"] not in _DTYPES:
            raise ModelFormatError(
                f"{path}: the tensor {name!r} has the type {entry['dtype']!r}; supported are "
                f"{', '.join(_DTYPES)}."
            )
        dtype = np.dtype(_DTYPES[entry["dtype"]])
        first, last = entry["data_offsets"]
        n_items = math.prod(entry["shape"])
        if last - first != n_items * dtype.itemsize:
            raise ModelFormatError(
                f"{path}: the tensor {name!r} of shape {entry['shape']} does not have the size "
                "that its shape states."
            )
        array = np.fromfile(path, dtype, n_items, offset=start + first).reshape(entry["shape"])
        if entry["dtype"] == "BF16":  # the upper half of a float32
            array = (array.astype(np.uint32) << 16).view(np.float32)
        tensors[name] = array
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
    header, start, parts = {}, 0, []
    for name, array in tensors.items():
        array = np.ascontiguousarray(array)
        little = array.astype(array.dtype.newbyteorder("<"), copy=False)
        header[name] = {
            "dtype": _NAMES[little.dtype],
            "shape": list(array.shape),
            "data_offsets": [start, start + array.nbytes],
        }
        start += array.nbytes
        parts.append(little)
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # tensors are aligned to 8 bytes
    with open(path, "wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for part in parts:
            file.write(part.tobytes())


def _header(path):
    """Return the entries of a file's tensors, and the position of the first byte of data."""
    path = Path(path)
    n_bytes = os.path.getsize(path)
    with open(path, "rb") as file:
        n_header = int.from_bytes(file.read(8), "little")
        if n_bytes < 8 or n_header > min(_MAX_HEADER_BYTES, n_bytes - 8):
            raise ModelFormatError(
                f"{path} is not a safetensors file: its header would have {n_header} bytes."
            )
        content = file.read(n_header)
    try:
        header = json.loads(content)
        header.pop("__metadata__", None)
    except (ValueError, RecursionError, AttributeError, TypeError) as error:
        raise ModelFormatError(f"{path} is not a safetensors file: {error}") from error
    n_data = n_bytes - 8 - n_header
    for name, entry in header.items():
        if not _is_entry(entry, n_data):
            raise ModelFormatError(f"{path}: the entry of the tensor {name!r} is damaged.")
    return header, 8 + n_header


def _is_entry(entry, n_data):
    """Tell whether the entry of a tensor is complete and inside the data."""
    try:
        shape, (first, last), dtype = entry["shape"], entry["data_offsets"], entry["dtype"]
        numbers = [*shape, first, last]
    except (KeyError, TypeError, ValueError):
        return False
    whole = all(type(number) is int and number >= 0 for number in numbers)
    return whole and isinstance(dtype, str) and first <= last <= n_data and len(shape) < 9
