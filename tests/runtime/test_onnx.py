"""ONNX Runtime: what a graph is fed, how it is run, and which graphs are refused."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from skembed.audio._audio import SOUNDS
from skembed.exceptions import ModelFormatError
from skembed.runtime._onnx import OnnxRunner
from skembed.text._families import IMPLIED_INPUTS

IDS = np.array([[3, 1, 4], [1, 5, 9]])


def save_graph(path, inputs, nodes, outputs=("answer",), weights=None):
    """Write a graph of (n_rows, n_tokens) inputs, given as {name: element type}."""
    graph = helper.make_graph(
        nodes,
        "graph",
        [helper.make_tensor_value_info(n, kind, ["r", "t"]) for n, kind in inputs.items()],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs],
        [numpy_helper.from_array(array, name) for name, array in (weights or {}).items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    onnx.save(model, path)
    return path


def identity(path, kind=TensorProto.INT64, name="input_ids"):
    """A graph that answers with its input, in float32."""
    cast = helper.make_node("Cast", [name], ["answer"], to=TensorProto.FLOAT)
    return save_graph(path, {name: kind}, [cast])


def of_texts(path):
    """Open a graph as one for texts."""
    return OnnxRunner(path, "input_ids", implied=IMPLIED_INPUTS, any_name=False)


def test_each_batch_is_answered_in_order(tmp_path):
    """Of any number of rows and tokens, on any number of threads."""
    runner = OnnxRunner(identity(tmp_path / "graph.onnx"), "input_ids")
    batches = [IDS, IDS[:1], IDS[:, :2]] * 20
    for n_threads in (1, 3):
        for batch, (answer,) in zip(batches, runner.run(batches, n_threads), strict=True):
            assert answer.dtype == np.float32
            np.testing.assert_array_equal(answer, batch)


@pytest.mark.parametrize("kind", [TensorProto.INT64, TensorProto.INT32, TensorProto.FLOAT])
def test_rows_arrive_in_the_type_that_the_graph_takes(tmp_path, kind):
    """Token ids of 64 bits go into graphs of 32 too."""
    runner = OnnxRunner(identity(tmp_path / "graph.onnx", kind), "input_ids")
    np.testing.assert_array_equal(next(iter(runner.run([IDS], 1)))[0], IDS)


@pytest.mark.parametrize("kind", [TensorProto.INT64, TensorProto.INT32])
@pytest.mark.parametrize(
    ("implied", "expected"),
    [
        ("attention_mask", [[1, 1, 1], [1, 1, 1]]),
        ("token_type_ids", [[0, 0, 0], [0, 0, 0]]),
        ("position_ids", [[0, 1, 2], [0, 1, 2]]),
    ],
)
def test_what_rows_without_padding_imply_is_fed(tmp_path, implied, expected, kind):
    """Inputs of graphs made elsewhere: all tokens count, one segment, places from 0."""
    nodes = [
        helper.make_node("Cast", [implied], ["answer"], to=TensorProto.FLOAT),
        helper.make_node("Cast", ["input_ids"], ["unused"], to=TensorProto.FLOAT),
    ]
    inputs = {"input_ids": TensorProto.INT64, implied: kind}
    path = save_graph(tmp_path / "graph.onnx", inputs, nodes)
    assert next(iter(of_texts(path).run([IDS], 1)))[0].tolist() == expected


def test_a_graph_of_unknown_inputs_is_refused(tmp_path):
    """Its inputs and those that can be fed are named."""
    nodes = [helper.make_node("Cast", ["task"], ["answer"], to=TensorProto.FLOAT)]
    inputs = {"input_ids": TensorProto.INT64, "task": TensorProto.INT64}
    path = save_graph(tmp_path / "graph.onnx", inputs, nodes)
    with pytest.raises(ModelFormatError) as raised:
        of_texts(path)
    assert str(raised.value) == (
        f"{path} has the inputs ['input_ids', 'task']; skembed can feed 'input_ids' and, with it, "
        "['attention_mask', 'position_ids', 'token_type_ids'], not ['task']."
    )


def test_a_graph_without_the_input_is_refused(tmp_path):
    """A graph of images does not read text."""
    path = identity(tmp_path / "graph.onnx", TensorProto.FLOAT, "pixel_values")
    with pytest.raises(ModelFormatError, match=r"has the inputs \['pixel_values'\]; skembed can"):
        of_texts(path)


def test_pixels_go_by_many_names(tmp_path):
    """A graph's only input is fed, whatever it is called; two would be a guess."""
    path = identity(tmp_path / "graph.onnx", TensorProto.FLOAT, "data")
    answer = next(iter(OnnxRunner(path, "pixel_values").run([np.float32(IDS)], 1)))[0]
    np.testing.assert_array_equal(answer, IDS)
    nodes = [helper.make_node("Add", ["data", "more"], ["answer"])]
    inputs = {"data": TensorProto.FLOAT, "more": TensorProto.FLOAT}
    with pytest.raises(ModelFormatError, match=r"has the inputs \['data', 'more'\]"):
        OnnxRunner(save_graph(tmp_path / "two.onnx", inputs, nodes), "pixel_values")


def test_an_output_is_chosen_by_name(tmp_path):
    """A name that is not there is answered with those that are."""
    nodes = [
        helper.make_node("Cast", ["input_ids"], ["first"], to=TensorProto.FLOAT),
        helper.make_node("Neg", ["first"], ["second"]),
    ]
    inputs = {"input_ids": TensorProto.INT64}
    path = save_graph(tmp_path / "graph.onnx", inputs, nodes, outputs=("first", "second"))
    answer = next(iter(OnnxRunner(path, "input_ids", ("second",)).run([IDS], 1)))[0]
    np.testing.assert_array_equal(answer, -IDS)
    with pytest.raises(ModelFormatError, match=r"no output 'third'; it has \['first', 'second'\]"):
        OnnxRunner(path, "input_ids", ("third",))


def test_a_graph_of_one_row_gets_one_row_at_a_time(tmp_path):
    """And a pooled map of one by one is a vector."""
    node = helper.make_node("GlobalAveragePool", ["data"], ["answer"])
    graph = helper.make_graph(
        [node],
        "graph",
        [helper.make_tensor_value_info("data", TensorProto.FLOAT, [1, 2, 3, 3])],
        [helper.make_tensor_value_info("answer", TensorProto.FLOAT, [1, 2, 1, 1])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    onnx.save(model, tmp_path / "graph.onnx")
    images = np.random.default_rng(0).random((4, 2, 3, 3), dtype=np.float32)
    answer = next(iter(OnnxRunner(tmp_path / "graph.onnx", "pixel_values").run([images], 1)))[0]
    np.testing.assert_allclose(answer, images.mean(axis=(2, 3)), atol=1e-6)


@pytest.mark.parametrize("content", [b"", b"not a graph"])
def test_what_is_no_graph_is_named(tmp_path, content):
    """The file, in an error of skembed's own."""
    (tmp_path / "graph.onnx").write_bytes(content)
    with pytest.raises(ModelFormatError, match=f"{tmp_path / 'graph.onnx'} cannot be read"):
        OnnxRunner(tmp_path / "graph.onnx", "input_ids")


def test_the_first_output_is_the_answer(tmp_path):
    """Others, such as the states that it was pooled from, are not computed into it."""
    nodes = [
        helper.make_node("Cast", ["input_ids"], ["answer"], to=TensorProto.FLOAT),
        helper.make_node("Neg", ["answer"], ["other"]),
    ]
    inputs = {"input_ids": TensorProto.INT64}
    path = save_graph(tmp_path / "graph.onnx", inputs, nodes, outputs=("answer", "other"))
    np.testing.assert_array_equal(
        next(iter(of_texts(path).run([IDS], 1)))[0],
        IDS,
    )


def test_a_session_has_one_thread_inside(tmp_path):
    """So that vectors do not depend on the number of threads, and cores are shared fairly."""
    runner = OnnxRunner(identity(tmp_path / "graph.onnx"), "input_ids")
    options = runner._session.get_session_options()
    assert (options.intra_op_num_threads, options.inter_op_num_threads) == (1, 1)
    assert runner.describe()["device"] == "CPUExecutionProvider"
    assert runner.describe()["library"].startswith("onnxruntime ")


def save_answer(path, *, axes=(1,), kind=TensorProto.FLOAT, shape=("r", "t")):
    """Write a graph that averages rows of three vectors over some axes."""
    nodes = [
        helper.make_node("Gather", ["table", "input_ids"], ["states"]),
        helper.make_node("ReduceMean", ["states", "axes"], ["mean"], keepdims=0),
        helper.make_node("Cast", ["mean"], ["answer"], to=kind),
    ]
    weights = [
        numpy_helper.from_array(np.ones((6, 4), dtype=np.float32), "table"),
        numpy_helper.from_array(np.array(axes, dtype=np.int64), "axes"),
    ]
    given = [helper.make_tensor_value_info("input_ids", TensorProto.INT64, shape)]
    wanted = [helper.make_tensor_value_info("answer", kind, None)]
    graph = helper.make_graph(nodes, "graph", given, wanted, weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    onnx.save(model, path)
    return of_texts(path)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"shape": ("r", 5)}, r"takes inputs of the shape \('r', 5\)"),
        ({"shape": (3, "t")}, r"takes inputs of the shape \(3, 't'\)"),
        ({"axes": (0,)}, "whose first axis is that of the rows"),
        ({"axes": (0, 1, 2)}, "whose first axis is that of the rows"),
        ({"kind": TensorProto.STRING}, "an array of numbers"),
        ({"kind": TensorProto.BOOL}, "an array of numbers"),
    ],
)
def test_a_graph_that_does_not_answer_row_by_row_is_named(tmp_path, settings, message):
    """With the shapes that it has and that it got."""
    path = tmp_path / "graph.onnx"
    (tmp_path / "good").mkdir()
    (good,) = next(iter(save_answer(tmp_path / "good" / "g.onnx").run([IDS % 6], 1)))
    assert good.shape == (2, 4)
    with pytest.raises(ModelFormatError, match=message) as raised:
        list(save_answer(path, **settings).run([IDS % 6], 1))
    assert str(raised.value).startswith(str(path))


def test_ids_behind_the_table_are_an_error_that_names_the_graph(tmp_path):
    """ONNX Runtime's own errors have no base, and do not say which graph failed."""
    path = tmp_path / "graph.onnx"
    with pytest.raises(ModelFormatError, match=r"fails on inputs of shape .* from 1 to 9"):
        list(save_answer(path).run([IDS], 1))


def test_an_implied_input_beside_one_of_another_name(tmp_path):
    """As graphs of speech models have them: waveforms under a name of their own, and a mask."""
    nodes = [helper.make_node("Mul", ["input_values", "floats"], ["answer"])]
    nodes.insert(0, helper.make_node("Cast", ["attention_mask"], ["floats"], to=TensorProto.FLOAT))
    inputs = {"input_values": TensorProto.FLOAT, "attention_mask": TensorProto.INT64}
    path = save_graph(tmp_path / "graph.onnx", inputs, nodes)
    runner = OnnxRunner(path, SOUNDS.input_name, implied=SOUNDS.implied_inputs)
    waves = np.float32([[0.5, -0.25, 1], [1, 2, 3]])
    np.testing.assert_array_equal(next(iter(runner.run([waves], 1)))[0], waves)


def test_an_output_without_a_name_is_no_default(tmp_path):
    path = identity(tmp_path / "graph.onnx")
    with pytest.raises(ModelFormatError, match="no output ''"):
        OnnxRunner(path, "input_ids", ("",))


@pytest.mark.parametrize("kind", [TensorProto.FLOAT16, TensorProto.DOUBLE, TensorProto.INT64])
def test_vectors_are_float32(tmp_path, kind):
    cast = [helper.make_node("Cast", ["input_ids"], ["answer"], to=kind)]
    path = save_graph(tmp_path / "graph.onnx", {"input_ids": TensorProto.INT64}, cast)
    model = onnx.load(path)
    model.graph.output[0].type.tensor_type.elem_type = kind
    onnx.save(model, path)
    (vectors,) = next(iter(OnnxRunner(path, "input_ids").run([IDS], 1)))
    assert vectors.dtype == np.float32
    np.testing.assert_array_equal(vectors, IDS)


def test_rows_run_one_by_one_where_a_run_has_one_scale(tmp_path):
    nodes = [
        helper.make_node("Cast", ["input_ids"], ["floats"], to=TensorProto.FLOAT),
        helper.make_node("DynamicQuantizeLinear", ["floats"], ["q", "scale", "zero"]),
        helper.make_node("DequantizeLinear", ["q", "scale", "zero"], ["answer"]),
    ]
    path = save_graph(tmp_path / "graph.onnx", {"input_ids": TensorProto.INT64}, nodes)
    batch = np.array([[1, 2], [3000, 4000]])
    found = [
        next(iter(OnnxRunner(path, "input_ids", one_by_one=alone).run([batch], 1)))[0][0]
        for alone in (False, True)
    ]
    assert np.abs(found[0] - batch[0]).max() > 0.5
    np.testing.assert_allclose(found[1], batch[0], atol=0.01)


def test_messages_name_the_file_of_the_user(tmp_path):
    path = identity(tmp_path / "graph.onnx")
    with pytest.raises(ModelFormatError, match=r"^theirs\.onnx has no output 'other'"):
        OnnxRunner(path, "input_ids", ("other",), name="theirs.onnx")
