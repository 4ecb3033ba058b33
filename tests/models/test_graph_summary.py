"""Outputs and operators are those that the package onnx finds."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto
from onnx.helper import (
    make_function,
    make_graph,
    make_model,
    make_node,
    make_opsetid,
    make_sequence_type_proto,
    make_tensor_type_proto,
    make_tensor_value_info,
    make_value_info,
)

from skembed.exceptions import ModelFormatError
from skembed.models._graph_summary import graph_summary


def value(name, shape, kind=TensorProto.FLOAT):
    return make_tensor_value_info(name, kind, shape)


def save(path):
    branches = {
        f"{name}_branch": make_graph([make_node(kind, ["x"], [name])], name, [], [value(name, [1])])
        for name, kind in (("then", "Neg"), ("else", "DynamicQuantizeLinear"))
    }
    nodes = [
        make_node("If", ["flag"], ["a"], **branches),
        make_node("Own", ["x"], ["b"], domain="o"),
    ]
    strings = make_sequence_type_proto(make_tensor_type_proto(TensorProto.FLOAT, [1, 2, 3]))
    outputs = [
        value("a", ["r", 3]),
        value("tokens", ["r", None, 3], TensorProto.FLOAT16),
        value("map", ["r", 3, 1, "w"]),
        value("pixel", ["r", 3, 1, 1]),
        value("scalar", []),
        value("unstated", None),
        make_value_info("strings", strings),
    ]
    weights = [onnx.numpy_helper.from_array(np.ones((2, 2)), "weights")]
    graph = make_graph(nodes, "graph", [value("x", ["r"])], outputs, weights)
    own = make_function("o", "Own", ["i"], ["j"], [make_node("Exp", ["i"], ["j"])], [])
    sets = [make_opsetid("", 18), make_opsetid("o", 1)]
    onnx.save(make_model(graph, functions=[own], opset_imports=sets), path)
    return path


def test_outputs_and_operators(tmp_path):
    found = graph_summary(save(tmp_path / "graph.onnx"))
    assert found.outputs == {
        **{"a": 2, "tokens": 3, "map": 4, "pixel": 2, "scalar": 0},
        **{"unstated": None, "strings": None},
    }
    assert found.per_token == ["tokens", "map"]
    assert found.operators == {"If", "Neg", "DynamicQuantizeLinear", "Own", "Exp"}


@pytest.mark.parametrize("content", [b"", b"no graph", b"\x3a\x05abc"])
def test_other_files_are_refused(tmp_path, content):
    (tmp_path / "graph.onnx").write_bytes(content)
    with pytest.raises(ModelFormatError, match=r"graph\.onnx is not an ONNX graph"):
        graph_summary(tmp_path / "graph.onnx")


def test_each_truncated_graph_is_refused_or_has_fewer_parts(tmp_path):
    path = save(tmp_path / "graph.onnx")
    content = path.read_bytes()
    for size in range(len(content)):
        path.write_bytes(content[:size])
        try:
            assert set(graph_summary(path).operators) <= {
                *("If", "Neg", "DynamicQuantizeLinear", "Own", "Exp")
            }
        except ModelFormatError:
            pass


def test_endless_nesting_is_refused(tmp_path):
    content = b""
    for _ in range(40):  # a graph in an attribute of a node of a graph
        for tag in (0x32, 0x2A, 0x0A):
            content = bytes([tag]) + _varint(len(content)) + content
    (tmp_path / "graph.onnx").write_bytes(b"\x3a" + _varint(len(content)) + content)
    with pytest.raises(ModelFormatError, match="nested too deeply"):
        graph_summary(tmp_path / "graph.onnx")


def _varint(size):
    length = b""
    while size > 127:
        length, size = length + bytes([size & 127 | 128]), size >> 7
    return length + bytes([size])
