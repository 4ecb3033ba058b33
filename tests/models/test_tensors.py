"""Safetensors files, against the package of that name; damaged ones."""

import json
import re

import numpy as np
import pytest
import torch
from safetensors import numpy as theirs
from safetensors.torch import save_file

from skembed.exceptions import ModelFormatError
from skembed.models._tensors import read_tensors, tensor_shapes, write_tensors

ARRAYS = {
    "floats": np.arange(6, dtype=np.float32).reshape(2, 3),
    "halves": np.linspace(-1, 1, 5).astype(np.float16),
    "codes": np.arange(-3, 4, dtype=np.int8),
    "long": np.array([2**40, -1]),
    "none": np.zeros((0, 3), dtype=np.float64),
}


def test_files_of_the_package_are_read(tmp_path):
    path = tmp_path / "model.safetensors"
    theirs.save_file(ARRAYS, path, metadata={"format": "np"})
    read = read_tensors(path, [*ARRAYS, "absent"])
    assert read.keys() == ARRAYS.keys() == tensor_shapes(path).keys()
    for name, array in ARRAYS.items():
        assert read[name].dtype == array.dtype
        np.testing.assert_array_equal(read[name], array)


def test_the_package_reads_what_is_written(tmp_path):
    path = tmp_path / "model.safetensors"
    write_tensors(path, ARRAYS)
    for name, array in theirs.load_file(path).items():
        np.testing.assert_array_equal(array, ARRAYS[name])


def test_bfloat16_becomes_float32(tmp_path):
    path = tmp_path / "model.safetensors"
    tensor = torch.randn(3, 4).to(torch.bfloat16)
    save_file({"a": tensor}, path)
    np.testing.assert_array_equal(read_tensors(path, ["a"])["a"], tensor.float().numpy())


def entry(**changes):
    return {"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]} | changes}


def content(header, data=bytes(8)):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data


@pytest.mark.parametrize(
    ("damaged", "message"),
    [
        (b"", "is not a safetensors file"),
        (b"\xff" * 8 + b"{}", "is not a safetensors file"),
        (content(b"not JSON"), "is not a safetensors file"),
        (content(b"[" * 100_000), "is not a safetensors file"),
        (content(b"[]"), "is not a safetensors file"),
        (content({"a": 3}), "is not a safetensors file"),
        (content(entry(data_offsets=[0, 16])), "is not a safetensors file"),
        (content(entry(data_offsets=[-8, 0])), "is not a safetensors file"),
        (content(entry(shape=[-2])), "is not a safetensors file"),
        (content(entry(shape=[2.0])), "is not a safetensors file"),
        (content(entry(shape=[2**62, 4])), "is not a safetensors file"),
        (content(entry(shape=[3])), "is not a safetensors file"),
        (content(entry(dtype="F8_E4M3", shape=[8])), "'a' has the type F8_E4M3"),
        (content(entry(), bytes(4)), "is not a safetensors file"),
    ],
)
def test_damaged_files_are_refused(tmp_path, damaged, message):
    path = tmp_path / "model.safetensors"
    path.write_bytes(damaged)
    with pytest.raises(ModelFormatError, match=re.escape(message)) as raised:
        read_tensors(path, ["a"])
    assert str(path) in str(raised.value)
