"""Poolings as operators of ONNX give what those of torch give, for tokens and maps."""

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto
from onnx.helper import make_graph, make_model, make_node, make_opsetid, make_tensor_value_info

from skembed.base._poolings import MAP_POOLING_NAMES, POOLING_NAMES
from skembed.models._head import Head
from skembed.models._modules import PieceModule
from skembed.models._projection import Projection
from skembed.runtime._graph_heads import join
from skembed.runtime._onnx import OnnxRunner

random = np.random.default_rng(0)


def joined(path, head, n_axes, *, finished=False):
    """Write a backbone that gives its input as two states, and a head or only its pieces."""
    shape = [None] * n_axes
    outputs = [make_tensor_value_info(f"state_{i}", TensorProto.FLOAT, shape) for i in (0, 1)]
    nodes = [make_node("Identity", ["x"], ["state_0"]), make_node("Neg", ["x"], ["state_1"])]
    given = make_tensor_value_info("x", TensorProto.FLOAT, shape)
    graph = make_graph(nodes, "backbone", [given], outputs)
    model = make_model(graph, opset_imports=[make_opsetid("", 20)], ir_version=10)
    pieces = head.pieces(2)
    join(model, pieces, None, head if finished else None)
    onnx.save(model, path)
    outputs = ("vectors",) if finished else tuple(f"piece_{i}" for i in range(len(pieces)))
    return OnnxRunner(path, "x", outputs)


@pytest.mark.parametrize("skip", [0, 2])
@pytest.mark.parametrize("shape", [(3, 5, 4), (1, 3, 8), (2, 6, 3, 5), (2, 3, 1, 1)])
def test_poolings_are_those_of_torch(tmp_path, shape, skip):
    if len(shape) == 4 and skip:
        skip = 0  # maps have no prompt
    head = Head(layers=(0, 1), pooling=POOLING_NAMES + MAP_POOLING_NAMES, skip=skip)
    runner = joined(tmp_path / "graph.onnx", head, len(shape))
    for n_rows in (shape[0], 1):
        states = random.standard_normal((n_rows, *shape[1:]), dtype=np.float32)
        (vectors,) = runner.run([states], 1)
        both = torch.from_numpy(states), -torch.from_numpy(states)
        for piece, ours in zip(head.pieces(2), vectors, strict=True):
            expected = PieceModule(piece)(both).numpy()
            assert ours.shape == expected.shape
            np.testing.assert_allclose(ours, expected, atol=1e-6, rtol=1e-6, err_msg=str(piece))


def test_states_without_pooling_are_tokens(tmp_path):
    runner = joined(tmp_path / "graph.onnx", Head(layers=(1,)).for_tokens(), 4)
    states = random.standard_normal((2, 3, 2, 2), dtype=np.float32)
    ((tokens,),) = runner.run([states], 1)
    np.testing.assert_array_equal(tokens, -states.reshape(2, 3, 4).transpose(0, 2, 1))


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"truncate_dim": 3, "normalize": True},
        {"truncate_dim": 3, "normalize": True, "truncate_last": True},
        {"truncate_dim": 50, "truncate_last": True},  # longer than the projection
    ],
    ids=str,
)
@pytest.mark.parametrize("projected", [False, True])
def test_finished_heads_are_those_of_numpy(tmp_path, given, projected):
    projection = Projection.of(random.standard_normal((16, 5))) if projected else None
    head = Head((0, 1), ("mean", "max"), **given, projection=projection)
    states = random.standard_normal((3, 6, 4), dtype=np.float32)
    ((pieces,),) = [list(joined(tmp_path / "pieces.onnx", head, 3).run([states], 1))]
    runner = joined(tmp_path / "finished.onnx", head, 3, finished=True)
    ((vectors,),) = runner.run([states], 1)
    np.testing.assert_allclose(vectors, head.finished(list(pieces)), atol=1e-5)


def test_what_no_output_needs_is_left_out():
    """ONNX Runtime would run it; values that a part of the graph uses stay."""
    given = make_tensor_value_info("x", TensorProto.FLOAT, [None, 3, 4])
    flag = make_tensor_value_info("flag", TensorProto.BOOL, [])
    branches = {
        f"{name}_branch": make_graph(
            [make_node(operator, ["doubled"], [f"chosen_{name}"])],
            name,
            [],
            [make_tensor_value_info(f"chosen_{name}", TensorProto.FLOAT, None)],
        )
        for name, operator in (("then", "Neg"), ("else", "Identity"))
    }
    nodes = [
        make_node("Add", ["x", "x"], ["doubled"]),
        make_node("If", ["flag"], ["state_0"], **branches),
        make_node("Mul", ["state_0", "weight"], ["state_1"]),
    ]
    weight = onnx.numpy_helper.from_array(np.ones(4, dtype=np.float32), "weight")
    outputs = [make_tensor_value_info(f"state_{i}", TensorProto.FLOAT, [None] * 3) for i in (0, 1)]
    graph = make_graph(nodes, "backbone", [given, flag], outputs, [weight])
    model = make_model(graph, opset_imports=[make_opsetid("", 20)], ir_version=10)
    join(model, [Head(layers=(0,), pooling=())], None)
    assert [node.op_type for node in model.graph.node] == ["Add", "If", "Identity"]
    assert not model.graph.initializer
