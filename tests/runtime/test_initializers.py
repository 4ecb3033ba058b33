"""Operators and initializers of a graph replaced; weights in a file beside it."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from skembed.runtime._initializers import load_whole, replace_nodes, save_with_weights, subgraphs

OLD, KEPT, NEW = (np.full(2000, value, dtype=np.float32) for value in (1, 2, 3))


@pytest.fixture
def path(tmp_path):
    """A graph that computes x + OLD + KEPT."""
    vector = (TensorProto.FLOAT, [2000])
    graph = helper.make_graph(
        [
            helper.make_node("Add", ["x", "old"], ["a"]),
            helper.make_node("Add", ["a", "kept"], ["y"]),
        ],
        "graph",
        [helper.make_tensor_value_info("x", *vector)],
        [helper.make_tensor_value_info("y", *vector)],
        [numpy_helper.from_array(OLD, "old"), numpy_helper.from_array(KEPT, "kept")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    onnx.save(model, tmp_path / "m.onnx", save_as_external_data=True, location="m.onnx.data")
    return tmp_path / "m.onnx"


def test_initializers_follow_the_operators(path):
    """Own operators may be among the new ones; what no operator takes is dropped."""
    model = onnx.load(path)
    nodes = [helper.make_node("Mul", ["x", "new"], ["a"]), model.graph.node[1]]
    replace_nodes(model.graph, nodes, {"new": NEW})
    assert [node.op_type for node in model.graph.node] == ["Mul", "Add"]
    arrays = {item.name: numpy_helper.to_array(item) for item in model.graph.initializer}
    assert list(arrays) == ["kept", "new"]
    np.testing.assert_array_equal(arrays["kept"], KEPT)
    np.testing.assert_array_equal(arrays["new"], NEW)
    onnx.checker.check_model(model)


def test_the_file_of_weights_is_replaced(path):
    """It does not grow by weights that are no longer used."""
    size = (path.parent / "m.onnx.data").stat().st_size
    model = onnx.load(path)
    nodes = [helper.make_node("Add", ["x", "new"], ["y"])]
    replace_nodes(model.graph, nodes, {"new": NEW})
    save_with_weights(model, path)
    assert (path.parent / "m.onnx.data").stat().st_size < size
    (weights,) = onnx.load(path).graph.initializer
    np.testing.assert_array_equal(numpy_helper.to_array(weights), NEW)


def test_weights_of_all_places_are_loaded(tmp_path):
    """In files beside the graph, which may be links: of initializers, constants and branches."""
    array = np.arange(6, dtype=np.float32).reshape(2, 3)
    (tmp_path / "blob").write_bytes(b"skip" + array.tobytes())
    (tmp_path / "data").symlink_to(tmp_path / "blob")

    def external(name):
        tensor = numpy_helper.from_array(array, name)
        tensor.ClearField("raw_data")
        tensor.data_location = onnx.TensorProto.EXTERNAL
        for key, value in (("location", "data"), ("offset", "4"), ("length", "24")):
            tensor.external_data.add(key=key, value=value)
        return tensor

    inner = helper.make_graph(
        [helper.make_node("Constant", [], ["c"], value=external("c"))], "inner", [], []
    )
    node = helper.make_node("If", ["flag"], ["out"], then_branch=inner, else_branch=inner)
    graph = helper.make_graph([node], "graph", [], [], [external("w")])
    (tmp_path / "graph.onnx").write_bytes(helper.make_model(graph).SerializeToString())
    model = load_whole(tmp_path / "graph.onnx")
    first, then, other = subgraphs(model.graph)
    found = [first.initializer[0], then.node[0].attribute[0].t, other.node[0].attribute[0].t]
    for tensor in found:
        np.testing.assert_array_equal(numpy_helper.to_array(tensor), array)
