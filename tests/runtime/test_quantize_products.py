"""Products in integers: near the exact ones, a token's answer its own, no sum too large."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from skembed.exceptions import ExportError
from skembed.runtime._onnx import OnnxRunner
from skembed.runtime._quantize_products import quantize

random = np.random.default_rng(0)
WEIGHTS = random.standard_normal((32, 24), dtype=np.float32)
SQUARE = random.standard_normal((24, 24), dtype=np.float32)


def save(path, nodes, weights):
    """Write a graph from "states" to "answer", its weights beside it."""
    ends = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["rows", "tokens", None])
        for name in ("states", "answer")
    ]
    weights = [numpy_helper.from_array(array, name) for name, array in weights.items()]
    graph = helper.make_graph(nodes, "graph", ends[:1], ends[1:], weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    onnx.save(
        model, path, save_as_external_data=True, location=f"{path.name}.data", size_threshold=0
    )


@pytest.fixture
def path(tmp_path):
    """A product, then two of the same states."""
    path = tmp_path / "graph.onnx"
    nodes = [
        helper.make_node("MatMul", ["states", "first"], ["middle"]),
        helper.make_node("MatMul", ["middle", "second"], ["left"]),
        helper.make_node("MatMul", ["middle", "second"], ["right"]),
        helper.make_node("Add", ["left", "right"], ["answer"]),
    ]
    save(path, nodes, {"first": WEIGHTS, "second": SQUARE})
    return path


def run(path, states):
    return next(iter(OnnxRunner(path, "states").run([states], 1)))[0]


def integers(values, axis, largest):
    """Quantize as the module's docstring says; return integers and scales."""
    scales = np.abs(values).max(axis=axis, keepdims=True) / np.float32(largest)
    return np.rint(values / scales), scales


def product(states, weights):
    states, scale = integers(states, -1, 127)
    weights, scales = integers(weights, 0, 63)
    return (states @ weights) * scales * scale


def test_products_are_what_the_formula_says(path):
    states = random.standard_normal((3, 7, 32), dtype=np.float32)
    quantize(path)
    expected = 2 * product(product(states, WEIGHTS), SQUARE)
    np.testing.assert_allclose(run(path, states), expected, rtol=1e-3, atol=0.2)
    exact = 2 * states @ WEIGHTS @ SQUARE
    assert np.abs(run(path, states) - exact).max() < 0.03 * np.abs(exact).max()


def test_a_token_does_not_depend_on_its_neighbors(path):
    """Not even beside one that is a million times larger."""
    quantize(path)
    states = random.standard_normal((4, 5, 32), dtype=np.float32)
    states[1] *= 1e6
    states[2, 3] *= 1e-6
    together = run(path, states)
    for row, token in np.ndindex(4, 5):
        alone = run(path, states[row : row + 1, token : token + 1])
        np.testing.assert_array_equal(alone[0, 0], together[row, token])


def test_tokens_and_columns_of_zeros_stay_zero(tmp_path):
    path = tmp_path / "graph.onnx"
    weights = WEIGHTS.copy()
    weights[:, 3] = 0
    save(path, [helper.make_node("MatMul", ["states", "w"], ["answer"])], {"w": weights})
    quantize(path)
    states = random.standard_normal((1, 2, 32), dtype=np.float32)
    states[0, 1] = 0
    answer = run(path, states)
    assert np.isfinite(answer).all()
    assert not answer[0, 1].any()
    assert not answer[0, 0, 3]


def test_two_products_fit_into_sixteen_bits(path):
    """On a processor without dot products of 8-bit numbers a larger sum would be cut off."""
    quantize(path)
    weights = [
        numpy_helper.to_array(w, str(path.parent)) for w in onnx.load(path).graph.initializer
    ]
    weights = [array for array in weights if array.dtype == np.int8]
    assert len(weights) == 2
    assert 2 * 255 * max(int(np.abs(array).max()) for array in weights) < 2**15


def test_states_are_quantized_once_for_all_their_products(path):
    quantize(path)
    operators = [node.op_type for node in onnx.load(path).graph.node]
    assert operators.count("QuantizeLinear") == 2
    assert operators.count("MatMulIntegerToFloat") == 3
    assert "MatMul" not in operators


def test_the_weights_of_before_are_not_kept(path):
    """Integers take a quarter of their room."""
    quantize(path)
    graph = onnx.load(path).graph
    assert sum(item.ByteSize() for item in graph.initializer) < (WEIGHTS.nbytes + SQUARE.nbytes) / 2


def test_a_graph_without_products_is_refused(tmp_path):
    path = tmp_path / "graph.onnx"
    save(path, [helper.make_node("Add", ["states", "w"], ["answer"])], {"w": WEIGHTS[0]})
    with pytest.raises(ExportError, match="no matrix product"):
        quantize(path)
