"""Operators are written in the form of the graph's own operator set."""

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto
from onnx.helper import make_graph, make_model, make_node, make_opsetid, make_tensor_value_info

from skembed.base._poolings import MAP_POOLING_NAMES, POOLING_NAMES
from skembed.exceptions import ModelFormatError
from skembed.models._head import Head
from skembed.models._modules import PieceModule
from skembed.runtime._graph_heads import join
from skembed.runtime._graph_writer import MIN_OPSET, opset_of
from skembed.runtime._onnx import OnnxRunner

random = np.random.default_rng(0)


def backbone(opset, n_axes=3):
    shape = [None] * n_axes
    values = [make_tensor_value_info(name, TensorProto.FLOAT, shape) for name in ("x", "state_0")]
    graph = make_graph([make_node("Neg", ["x"], ["state_0"])], "g", values[:1], values[1:])
    return make_model(graph, opset_imports=[make_opsetid("", opset)], ir_version=8)


@pytest.mark.parametrize("opset", range(MIN_OPSET, 21))
@pytest.mark.parametrize("n_axes", [3, 4])
def test_heads_are_appended_to_graphs_of_each_operator_set(tmp_path, opset, n_axes):
    skip = 1 if n_axes == 3 else 0
    head = Head((0,), POOLING_NAMES + MAP_POOLING_NAMES, skip, truncate_dim=12, normalize=True)
    states = random.standard_normal((2, 5, 4, 3)[:n_axes], dtype=np.float32)
    pieces = head.pieces(1)
    expected = [PieceModule(piece)([-torch.from_numpy(states)]).numpy() for piece in pieces]
    model = backbone(opset, n_axes)
    join(model, pieces, None, head)
    onnx.save(model, tmp_path / "graph.onnx")
    ((vectors,),) = OnnxRunner(tmp_path / "graph.onnx", "x").run([states], 1)
    np.testing.assert_allclose(vectors, head.finished(expected), atol=1e-6)


def test_older_operator_sets_are_refused():
    assert opset_of(backbone(MIN_OPSET)) == MIN_OPSET
    with pytest.raises(ModelFormatError, match=r"has the operator set 10\. Its output"):
        opset_of(backbone(10))
    other = make_model(backbone(12).graph, opset_imports=[make_opsetid("com.microsoft", 1)])
    with pytest.raises(ModelFormatError, match="operator set 0"):
        opset_of(other)
