"""A built graph: the same bytes each time, integers close to float32."""

import numpy as np
import onnx
import pytest

from skembed.runtime._encoder_graph import NativeGraph
from skembed.runtime._onnx import OnnxRunner


class OneLayer:
    """Embeds tokens, and computes one linear layer."""

    def append(self, add, config, ids):
        words = add.weight("words", 50, 32)
        states = add.flat(add("Gather", words, ids), 32)
        add.state(0, states, 32)
        add.state(1, add.linear(states, "layer", 32, 16), 16)


def read(name, shape):
    return np.random.default_rng(len(name)).standard_normal(shape, dtype=np.float32)


def graph(precision="float32"):
    return NativeGraph(OneLayer(), {"model_type": "one"}, read, "ids", precision)


IDS = [np.arange(12).reshape(3, 4), np.arange(5).reshape(1, 5) + 40]


def states(path):
    return list(OnnxRunner(path, "ids", ("state_0", "state_1")).run(IDS, 1))


@pytest.mark.parametrize("precision", ["float32", "int8"])
def test_the_same_weights_give_the_same_bytes(tmp_path, precision):
    files = []
    for name in ("a", "b"):
        path = tmp_path / name / "backbone.onnx"
        path.parent.mkdir()
        assert graph(precision).write(path) == 2
        files.append([file.read_bytes() for file in sorted(path.parent.iterdir())])
    assert files[0] == files[1]
    onnx.checker.check_model(onnx.load(path), full_check=False)


def test_a_linear_layer(tmp_path):
    graph().write(tmp_path / "a.onnx")
    words, matrix, bias = (
        read("words", (50, 32)),
        read("layer.weight", (16, 32)),
        read("layer.bias", 16),
    )
    for ids, (first, second) in zip(IDS, states(tmp_path / "a.onnx"), strict=True):
        np.testing.assert_array_equal(first, words[ids])
        np.testing.assert_allclose(second, words[ids] @ matrix.T + bias, atol=1e-5)


def test_integers(tmp_path):
    """Within the rounding of 7 bits of weights and 8 of states; the table is not rounded."""
    graph().write(tmp_path / "a.onnx")
    graph("int8").write(tmp_path / "b.onnx")
    pairs = zip(states(tmp_path / "a.onnx"), states(tmp_path / "b.onnx"), strict=True)
    for (first, second), (same, rounded) in pairs:
        np.testing.assert_array_equal(first, same)
        assert 0 < np.abs(rounded - second).max() < 0.02 * np.abs(second).max()


def test_a_token_of_zeros_in_integers(tmp_path):
    """Its scale would be zero."""

    def zeros(name, shape):
        return np.zeros(shape, dtype=np.float32) if name == "words" else read(name, shape)

    NativeGraph(OneLayer(), {}, zeros, "ids", "int8").write(tmp_path / "a.onnx")
    for _, second in states(tmp_path / "a.onnx"):
        np.testing.assert_array_equal(second, np.broadcast_to(read("layer.bias", 16), second.shape))


def test_what_is_compared_with_what():
    assert graph().reference is None
    assert graph("int8").reference.precision == "float32"
