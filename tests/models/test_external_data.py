"""The files of weights that a graph names."""

import contextlib

import onnx
import pytest

from skembed.exceptions import ModelFormatError
from skembed.models._external_data import external_files
from skembed.models._folder import ModelFolder


def save_graph(path, location):
    """Write a graph whose one weight lies in another file, or in a sparse, nested or local one."""
    weights = onnx.TensorProto(
        name="w", data_type=onnx.TensorProto.FLOAT, dims=[2], data_location=1
    )
    weights.external_data.add(key="location", value=location)
    node = onnx.helper.make_node("Constant", [], ["w"], value=weights)
    graph = onnx.helper.make_graph([], "g", [], [], [weights] if path.stem == "model" else [])
    inner = onnx.helper.make_graph([node], "inner", [], [])
    if path.stem == "nested":
        graph.node.append(onnx.helper.make_node("If", ["x"], [], then_branch=inner))
    model = onnx.helper.make_model(graph)
    if path.stem == "function":
        opsets = [onnx.helper.make_opsetid("", 17)]
        model.functions.append(
            onnx.helper.make_function("own", "f", [], ["w"], [node], opset_imports=opsets)
        )
    path.write_bytes(model.SerializeToString())


@pytest.mark.parametrize("kind", ["model", "nested", "function"])
@pytest.mark.parametrize("data", ["model.onnx.data", "sub/model.onnx_data", "w"])
def test_the_digest_follows_the_files_that_a_graph_names(tmp_path, kind, data):
    """Wherever in the folder they lie, and wherever in the graph they are named; no others."""
    graph = tmp_path / f"{kind}.onnx"
    save_graph(graph, data)
    with pytest.raises(ModelFormatError, match="which does not exist"):
        _ = ModelFolder(graph).digest
    (tmp_path / data).parent.mkdir(exist_ok=True)
    seen = set()
    for content in (b"weights", b"others.."):
        (tmp_path / data).write_bytes(content)
        seen.add(ModelFolder(graph).digest)
    assert len(seen) == 2
    (tmp_path / f"{kind}.onnx.notes").write_bytes(b"x")
    assert ModelFolder(graph).digest in seen


@pytest.mark.parametrize(
    "location", ["../w", "/etc/hostname", "sub/../../w", "*/_ORT_MEM_ADDR_/*", "..\\w", "C:w", ""]
)
def test_a_graph_names_no_file_outside_of_its_folder(tmp_path, location):
    """Nor memory of the process, nor the folder itself."""
    (tmp_path / "w").write_bytes(b"weights")
    (tmp_path / "folder").mkdir()
    save_graph(tmp_path / "folder" / "model.onnx", location)
    with pytest.raises(ModelFormatError, match=r"folder|not a regular file"):
        _ = ModelFolder(tmp_path / "folder").digest


def test_what_is_no_graph_has_no_digest(tmp_path):
    """The file is named."""
    (tmp_path / "model.onnx").write_bytes(b"graph")
    with pytest.raises(ModelFormatError, match=r"model.onnx is not an ONNX graph: "):
        _ = ModelFolder(tmp_path).digest


# -- the reader by itself -------------------------------------------------------------------------


def weights_in(name, *locations):
    tensors = []
    for location in locations:
        tensor = onnx.TensorProto(name=name, data_type=1, dims=[2], data_location=1)
        tensor.external_data.add(key="offset", value="8")
        tensor.external_data.add(key="location", value=location)
        tensors.append(tensor)
    return tensors


def test_locations_are_named_once_in_their_order(tmp_path):
    graph = onnx.helper.make_graph([], "g", [], [], weights_in("w", "b", "a", "b", "ü/c"))
    (tmp_path / "g.onnx").write_bytes(onnx.helper.make_model(graph).SerializeToString())
    assert external_files(tmp_path / "g.onnx") == ["b", "a", "ü/c"]


def test_weights_within_the_graph_name_no_file(tmp_path):
    """Even if their bytes look like a location."""
    tensor = onnx.TensorProto(name="w", data_type=2, dims=[12], raw_data=b"\n\x08location\x12\x01x")
    graph = onnx.helper.make_graph([], "location", [], [], [tensor])
    model = onnx.helper.make_model(graph, producer_name="location", doc_string="\n\x08location")
    (tmp_path / "g.onnx").write_bytes(model.SerializeToString())
    assert external_files(tmp_path / "g.onnx") == []


def test_sparse_weights_name_files(tmp_path):
    values, indices = weights_in("w", "values", "indices")
    sparse = onnx.SparseTensorProto(values=values, indices=indices, dims=[9])
    graph = onnx.GraphProto(name="g", sparse_initializer=[sparse])
    (tmp_path / "g.onnx").write_bytes(onnx.ModelProto(graph=graph).SerializeToString())
    assert external_files(tmp_path / "g.onnx") == ["values", "indices"]


def test_a_graph_that_ends_anywhere_is_an_error_or_a_shorter_graph(tmp_path):
    """No other error, and no reading on behind the end."""
    graph = onnx.helper.make_graph([], "g", [], [], weights_in("w", "first", "second"))
    content = onnx.helper.make_model(graph).SerializeToString()
    path = tmp_path / "g.onnx"
    for stop in range(len(content)):
        path.write_bytes(content[:stop])
        with contextlib.suppress(ModelFormatError):
            assert external_files(path) in ([], ["first"], ["first", "second"])


def nested(depth):
    """Return a graph's message of nodes whose attributes hold graphs."""
    content = b""
    for _ in range(depth):
        for tag in (b"\x32", b"\x2a", b"\x0a"):  # an attribute's graph, attribute, node
            size, sizes = len(content), b""
            while size > 127:
                sizes += bytes([size & 127 | 128])
                size >>= 7
            content = tag + sizes + bytes([size]) + content
    return content


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "cannot mmap an empty file"),
        (b"\x3a\x05ab", "ends too early"),  # a graph of five bytes, of which two are there
        (b"\x3b", "a field of the unknown kind 3"),
        (b"\x80" * 11, "ends too early"),  # a number without an end
        (b"\x09\x00", "ends too early"),  # eight bytes, of which one is there
    ],
)
def test_messages_that_are_damaged(tmp_path, content, message):
    (tmp_path / "g.onnx").write_bytes(content)
    with pytest.raises(ModelFormatError, match=message):
        external_files(tmp_path / "g.onnx")


def test_messages_are_nested_so_deep_and_no_deeper(tmp_path):
    for depth, expected in ((20, None), (30, "nested too deeply")):
        content = nested(depth)
        size = len(content)
        sizes = bytes([size & 127 | 128, size >> 7]) if size > 127 else bytes([size])
        (tmp_path / "g.onnx").write_bytes(b"\x3a" + sizes + content)
        if expected is None:
            assert external_files(tmp_path / "g.onnx") == []
        else:
            with pytest.raises(ModelFormatError, match=expected):
                external_files(tmp_path / "g.onnx")
