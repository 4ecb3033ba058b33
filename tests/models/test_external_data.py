"""The files of weights that a graph names."""

import onnx
import pytest

from skembed.exceptions import ModelFormatError
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
