"""Arrays of dense layers: read without torch, and refused where torch would refuse them."""

import numpy as np
import pytest

from skembed.exceptions import ModelFormatError
from skembed.models._dense import dense_tensors
from skembed.models._head import Dense
from skembed.models._tensors import write_tensors

WEIGHT = np.arange(6, dtype=np.float32).reshape(2, 3)


def dense_of(path, out_features=2, residual=False, **arrays):
    write_tensors(path, {name.replace("_", "."): array for name, array in arrays.items()})
    return Dense(str(path), "", "Tanh", residual, out_features)


def test_arrays_are_those_of_the_file_in_float32(tmp_path):
    half = WEIGHT.astype(np.float16)
    found = dense_tensors(dense_of(tmp_path / "a", linear_weight=half, linear_bias=half[:, 0]))
    np.testing.assert_array_equal(found.weight, WEIGHT)
    np.testing.assert_array_equal(found.bias, WEIGHT[:, 0])
    assert found.weight.dtype == found.bias.dtype == np.float32
    assert (found.residual, found.adds_input) == (None, False)


def test_a_residual_is_the_input_or_a_product_with_it(tmp_path):
    square = np.eye(3, dtype=np.float32)
    found = dense_tensors(dense_of(tmp_path / "a", 3, residual=True, linear_weight=square))
    assert (found.bias, found.residual, found.adds_input) == (None, None, True)
    given = {"linear_weight": WEIGHT, "residual_weight": -WEIGHT}
    found = dense_tensors(dense_of(tmp_path / "b", residual=True, **given))
    np.testing.assert_array_equal(found.residual, -WEIGHT)
    assert not found.adds_input


@pytest.mark.parametrize(
    ("given", "arrays"),
    [
        ({}, {"other": WEIGHT}),
        ({}, {"linear_weight": WEIGHT[0]}),
        ({"out_features": 3}, {"linear_weight": WEIGHT}),
        ({}, {"linear_weight": WEIGHT, "linear_bias": WEIGHT[0]}),
        ({}, {"linear_weight": WEIGHT, "extra_weight": WEIGHT}),
        ({"residual": True}, {"linear_weight": WEIGHT}),
    ],
)
def test_other_arrays_are_no_dense_layer(tmp_path, given, arrays):
    dense = dense_of(tmp_path / "a", **given, **arrays)
    with pytest.raises(ModelFormatError, match="contains no dense layer with"):
        dense_tensors(dense)


def test_a_damaged_file_is_named(tmp_path):
    (tmp_path / "a").write_bytes(b"no tensors")
    with pytest.raises(ModelFormatError, match="is not a safetensors file"):
        dense_tensors(Dense(str(tmp_path / "a"), "", "Tanh", False, 2))
