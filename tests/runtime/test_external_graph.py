"""Graphs made elsewhere become backbones: names, number formats, inputs, weights in files."""

import json

import numpy as np
import onnx
import pytest
from onnx import TensorProto, numpy_helper
from onnx.helper import make_function, make_graph, make_model, make_node, make_opsetid
from onnx_files import save_graph

from skembed.exceptions import ModelFormatError
from skembed.models._head import Head
from skembed.runtime._export_folder import REPORT, ensure_joined
from skembed.runtime._external_graph import ExternalGraph
from skembed.runtime._onnx import OnnxRunner
from skembed.runtime._written_graph import ensure_written

PROBES = [np.full(shape, 2.0, dtype=np.float32) for shape in ((2, 3, 4), (1, 5, 4))]
X = ("x", ["r", "t", 4])
Y = ("y", ["r", "t", 4])
INPUTS = {"input_name": "x"}


def written(folder, pieces, graph, probes=PROBES):
    source = ExternalGraph(graph)
    given = (folder, pieces, source, None, lambda: probes, INPUTS)
    return ensure_written(*given, precision="float32")


def taken_over(folder, graph, head=None):
    """Take a graph over; return the record and the vectors of a head for the first probe."""
    head = head or Head(layers=(0,))
    pieces = list(head.pieces())
    found = written(folder, pieces, graph)
    path = ensure_joined(folder, pieces)
    outputs = tuple(f"piece_{i}" for i in range(len(pieces)))
    return found, next(iter(OnnxRunner(path, "x", outputs).run(PROBES, 1)))


def weights(n_dims=4, name="w"):
    return numpy_helper.from_array(np.eye(4, n_dims, dtype=np.float32) * 3, name)


def test_outputs_become_states(tmp_path):
    nodes = [make_node("MatMul", ["x", "w"], ["y"]), make_node("Neg", ["y"], ["z"])]
    outputs = [Y, ("unstated", None), ("z", ["r", "t", 4])]
    nodes.append(make_node("Exp", ["y"], ["unstated"]))
    graph = save_graph(tmp_path / "a.onnx", nodes, [X], outputs, [weights()])
    head = Head(layers=(2, 0), pooling=("mean", "max"))
    found, vectors = taken_over(tmp_path / "taken", graph, head)
    for values, expected in zip(vectors, [-6, 6, -6, 6], strict=True):
        np.testing.assert_array_equal(values, np.full((2, 4), expected))
    assert found["n_states"] == 3
    assert found["verdicts"] == [{"agrees": True, "reason": "", "n_dims": 4}] * 4
    record = json.loads((tmp_path / "taken" / REPORT).read_text())
    assert record["sha256"] == found["sha256"]


def test_a_second_head_needs_no_second_copy(tmp_path):
    graph = save_graph(tmp_path / "a.onnx", [make_node("Neg", ["x"], ["y"])], [X], [Y])
    taken_over(tmp_path / "taken", graph)
    backbone = tmp_path / "taken" / "backbone.onnx"
    before = backbone.stat().st_mtime_ns
    graph.unlink()
    _, (vectors,) = taken_over(tmp_path / "taken", graph, Head((0,), ("last",)))
    np.testing.assert_array_equal(vectors, np.full((2, 4), -2))
    assert backbone.stat().st_mtime_ns == before


@pytest.mark.parametrize("kind", [TensorProto.FLOAT16, TensorProto.DOUBLE, TensorProto.INT32])
def test_states_of_other_types_are_cast(tmp_path, kind):
    nodes = [make_node("Cast", ["x"], ["y"], to=kind)]
    graph = save_graph(tmp_path / "a.onnx", nodes, [X], [Y])
    model = onnx.load(graph)
    model.graph.output[0].type.tensor_type.elem_type = kind
    onnx.save(model, graph)
    _, (vectors,) = taken_over(tmp_path / "taken", graph)
    assert vectors.dtype == np.float32
    np.testing.assert_array_equal(vectors, np.full((2, 4), 2))


def test_old_graphs_list_their_weights_as_inputs(tmp_path):
    nodes = [make_node("MatMul", ["x", "w"], ["y"])]
    graph = save_graph(tmp_path / "a.onnx", nodes, [X, ("w", [4, 4])], [Y], [weights()], opset=11)
    model = onnx.load(graph)
    model.ir_version = 3
    onnx.save(model, graph)
    _, (vectors,) = taken_over(tmp_path / "taken", graph)
    np.testing.assert_array_equal(vectors, np.full((2, 4), 6))


def test_functions_of_a_model_are_kept(tmp_path):
    graph = save_graph(
        tmp_path / "a.onnx", [make_node("Own", ["x"], ["y"], domain="o")], [X], [Y], domains=["o"]
    )
    model = onnx.load(graph)
    opset = [make_opsetid("", 18)]
    node = make_node("Neg", ["i"], ["j"])
    model.functions.append(make_function("o", "Own", ["i"], ["j"], [node], opset))
    onnx.save(model, graph)
    _, (vectors,) = taken_over(tmp_path / "taken", graph)
    np.testing.assert_array_equal(vectors, np.full((2, 4), -2))


def test_reserved_names_are_renamed_also_inside_of_branches(tmp_path):
    """An input is not renamed, because rows are fed by its name."""
    branch = make_graph(
        [make_node("Add", ["state_0", "vectors"], ["piece_0"])],
        "branch",
        [],
        [onnx.helper.make_tensor_value_info("piece_0", TensorProto.FLOAT, None)],
    )
    flag = numpy_helper.from_array(np.array(True), "dense_flag")
    nodes = [
        make_node("MatMul", ["x", "vectors"], ["state_0"]),
        make_node("If", ["dense_flag"], ["y"], then_branch=branch, else_branch=branch),
    ]
    given = [weights(name="vectors"), flag]
    graph = save_graph(tmp_path / "a.onnx", nodes, [("x", ["r", 4, 4])], [Y], given)
    model = make_model(onnx.load(graph).graph, opset_imports=[make_opsetid("", 18)], ir_version=8)
    onnx.save(model, graph)
    probes = [np.ones((2, 4, 4), dtype=np.float32)]
    written(tmp_path / "t", list(Head((0,)).pieces()), graph, probes)
    runner = OnnxRunner(ensure_joined(tmp_path / "t", list(Head((0,)).pieces())), "x")
    ((vectors,),) = runner.run(probes, 1)
    np.testing.assert_array_equal(vectors, np.full((2, 4), 3 + 3 / 4))
    node = make_node("Neg", ["head"], ["y"])
    graph = save_graph(tmp_path / "b.onnx", [node], [("head", ["r", "t", 4])], [Y])
    with pytest.raises(ModelFormatError, match="has the input 'head', a name that skembed uses"):
        taken_over(tmp_path / "other", graph)


def test_lengths_that_differ_are_refused(tmp_path):
    """A vector whose length depends on the row."""
    node = make_node("Transpose", ["x"], ["y"], perm=[0, 2, 1])
    graph = save_graph(tmp_path / "a.onnx", [node], [X], [("y", ["r", 4, "t"])])
    with pytest.raises(
        ModelFormatError, match=r"a\.onnx: after pooling, its output has the shapes"
    ):
        taken_over(tmp_path / "taken", graph)
    assert not (tmp_path / "taken" / REPORT).exists()
