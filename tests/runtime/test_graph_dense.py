"""Dense layers as operators of ONNX give what those of torch give."""

import numpy as np
import onnx
import pytest
import torch
from safetensors.torch import save_file

from skembed.base._digest import file_sha256
from skembed.models._dense import dense_tensors
from skembed.models._head import Dense, Head
from skembed.models._modules import PieceModule
from skembed.models._sentence import _ACTIVATIONS
from skembed.runtime._graph_dense import ACTIVATIONS, dense_model
from skembed.runtime._onnx import OnnxRunner

random = np.random.default_rng(0)


def dense_of(path, n_in, n_out, activation="Tanh", residual=False, bias=True):
    torch.manual_seed(0)
    arrays = {"linear.weight": torch.randn(n_out, n_in)}
    if bias:
        arrays["linear.bias"] = torch.randn(n_out)
    if residual and n_in != n_out:
        arrays["residual.weight"] = torch.randn(n_out, n_in)
    save_file(arrays, path)
    return Dense(str(path), file_sha256(path), activation, residual, n_out)


def compare(path, dense):
    """Compare layers that take 6 values with those of torch."""
    model = dense_model([(dense_tensors(layer), layer.activation) for layer in dense])
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, path)
    module = PieceModule(Head(layers=(0,), dense=tuple(dense)))
    for n_rows in (1, 4):
        vectors = 3 * random.standard_normal((n_rows, 6), dtype=np.float32)
        ((ours,),) = OnnxRunner(path, "pooled").run([vectors], 1)
        with torch.inference_mode():
            expected = module.dense(torch.from_numpy(vectors)).numpy()
        np.testing.assert_allclose(ours, expected, atol=2e-6, rtol=2e-6)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_activations_are_those_of_torch(tmp_path, activation):
    dense = dense_of(tmp_path / "weights", 6, 5, activation)
    compare(tmp_path / "dense.onnx", [dense])


def test_each_activation_that_a_folder_may_name_has_operators():
    assert set(ACTIVATIONS) == set(_ACTIVATIONS)


@pytest.mark.parametrize("n_out", [6, 4])
def test_a_residual_is_added_after_the_activation(tmp_path, n_out):
    dense = dense_of(tmp_path / "weights", 6, n_out, residual=True)
    compare(tmp_path / "dense.onnx", [dense])


def test_several_layers_follow_one_another(tmp_path):
    dense = [
        dense_of(tmp_path / "first", 6, 5, bias=False),
        dense_of(tmp_path / "second", 5, 3, "GELU"),
    ]
    compare(tmp_path / "dense.onnx", dense)
