"""ONNX files made elsewhere: the vectors of the torch model, or an error that names the cause."""

import copy
import json
import pickle
import shutil
import sys
import warnings

import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from onnx.helper import make_node
from onnx_files import INPUTS, SETTINGS, export_bert, save_graph
from processes import run_python
from sklearn.base import clone
from tiny import add_modules, change_json

import skembed
from skembed import BertEmbedder
from skembed.exceptions import (
    ExportError,
    MissingDependencyError,
    ModelFormatError,
    NetworkChangedError,
    TruncationWarning,
)
from skembed.network import _load

STATES = "last_hidden_state"


@pytest.fixture(scope="module")
def graph(tiny_bert, tmp_path_factory):
    """A file with all inputs; outputs: states, the pooler's vector, states of two layers."""
    path = tmp_path_factory.mktemp("graph") / "model.onnx"
    outputs = ("pooler_output", STATES, "hidden_0", "hidden_1")
    return export_bert(tiny_bert, path, outputs=outputs)


def of_torch(folder, texts, **given):
    return BertEmbedder(folder, backend="torch", cache=None, **given).fit_transform(texts)


# -- inputs and outputs ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("inputs", "opset"),
    [
        (INPUTS[:1], 14),
        (INPUTS[:2], 17),
        (INPUTS, 18),
        (("attention_mask", "position_ids", "input_ids"), 14),
    ],
    ids=str,
)
def test_declared_inputs_are_filled(tiny_bert, tmp_path, texts, inputs, opset):
    path = export_bert(tiny_bert, tmp_path / "model.onnx", inputs, opset=opset)
    for model in (path, tmp_path):
        vectors = BertEmbedder(model).fit_transform(texts)
        np.testing.assert_allclose(vectors, of_torch(tiny_bert, texts), atol=1e-5)


@pytest.mark.parametrize(
    ("layers", "same"),
    [
        (-1, -1),
        (STATES, -1),
        ("hidden_1", 1),
        (["hidden_0", STATES], [0, -1]),
    ],
    ids=str,
)
@pytest.mark.parametrize("pooling", ["auto", "cls", ["max", "weighted_mean"]], ids=str)
def test_outputs_per_token_are_pooled(tiny_bert, graph, texts, layers, same, pooling):
    vectors = BertEmbedder(graph, layers=layers, pooling=pooling).fit_transform(texts)
    expected = of_torch(tiny_bert, texts, layers=same, pooling=pooling)
    np.testing.assert_allclose(vectors, expected, atol=1e-5)


def test_vectors_are_truncated_normalized_and_precomputed(tiny_bert, graph, texts):
    heads = {"layers": [-1, "hidden_0"], "pooling": ["mean", "max"]}
    given = {"normalize": True, "truncate_dim": 7}
    embedder = BertEmbedder(graph, precompute=heads, **given).fit(texts)
    np.testing.assert_allclose(
        embedder.transform(texts), of_torch(tiny_bert, texts, **given), atol=1e-5
    )
    other = BertEmbedder(graph, layers="hidden_0", pooling="max", precompute=heads).fit(texts)
    assert len(set(embedder._network.fingerprints)) == 4
    assert set(other._network.fingerprints) == set(embedder._network.fingerprints)


def test_the_first_output_is_the_default(tiny_bert, tmp_path, texts):
    outputs = ("hidden_1", "pooler_output")
    path = export_bert(tiny_bert, tmp_path / "model.onnx", outputs=outputs)
    expected = of_torch(tiny_bert, texts, layers=1)
    np.testing.assert_allclose(BertEmbedder(path).fit_transform(texts), expected, atol=1e-5)


def test_vectors_per_row_are_taken_as_they_are(tiny_bert, tmp_path, texts, monkeypatch):
    """Also beside a modules.json; the package onnx is not needed."""
    outputs = ("sentence_embedding", "hidden_0")
    add_modules(tmp_path, normalize=True)
    export_bert(tiny_bert, tmp_path / "model.onnx", outputs=outputs)
    monkeypatch.setitem(sys.modules, "onnx", None)
    embedder = BertEmbedder(tmp_path, max_length=32).fit(texts)
    np.testing.assert_allclose(embedder.transform(texts), of_torch(tiny_bert, texts), atol=1e-5)
    with pytest.raises(ValueError, match=r"output that can be pooled, one of \['hidden_0'\]"):
        embedder.set_params(pooling="max").fit(texts)
    with pytest.raises(ValueError, match="is a ready-made graph, which returns one vector"):
        BertEmbedder(tmp_path).fit(texts).embed_tokens(texts)


def test_a_graph_that_was_pooled_once_runs_without_onnx(graph, texts):
    expected = BertEmbedder(graph).fit_transform(texts)
    code = f"""
    import sys
    sys.modules["onnx"] = None
    from skembed import BertEmbedder
    print(BertEmbedder({str(graph)!r}).fit_transform({texts!r}).tolist())
    assert not {{"torch", "transformers"}} & set(sys.modules)
    """
    np.testing.assert_array_equal(np.array(json.loads(run_python(code)), np.float32), expected)


@pytest.mark.parametrize(
    ("layers", "error", "message"),
    [
        ("other", ModelFormatError, "has no output 'other'; it has"),
        (1, ValueError, "must be the name of an output of .*model.onnx or a list of names; the"),
        ([STATES, 0], ValueError, "must be the name of an output"),
        ([STATES, "pooler_output"], ValueError, "'pooler_output' of .* does not have one vector"),
    ],
)
def test_other_layers_are_refused(graph, layers, error, message):
    with pytest.raises(error, match=message):
        BertEmbedder(graph, layers=layers).fit(["a"])


def test_tokens_of_a_text(tiny_bert, graph, texts):
    ours = BertEmbedder(graph).fit(texts).embed_tokens(texts)
    expected = BertEmbedder(tiny_bert, backend="torch").fit(texts).embed_tokens(texts)
    for found, other in zip(ours, expected, strict=True):
        assert found.tokens == other.tokens
        np.testing.assert_allclose(found.vectors, other.vectors, atol=1e-5)


# -- settings of the model ------------------------------------------------------------------------

DENSE = {
    "in_features": 16,
    "out_features": 6,
    "bias": True,
    "activation_function": "torch.nn.modules.activation.GELU",
}


@pytest.mark.parametrize("place", ["model.onnx", "onnx/model.onnx", "onnx/model_quantized.onnx"])
@pytest.mark.parametrize("beside", [False, True], ids=["settings above", "settings beside"])
def test_modules_and_prompts_are_those_of_the_folder(tiny_bert, tmp_path, texts, place, beside):
    weights = shutil.copytree(tiny_bert, tmp_path / "weights")
    folder = tmp_path / "graph"
    folder.mkdir()
    for path in (weights, folder):
        modules = {"pooling": {"pooling_mode_cls_token": True}, "dense": DENSE, "normalize": True}
        add_modules(path, **modules, prompts={"query": "the cat "}, default="query")
    file = export_bert(tiny_bert, folder / place, settings=SETTINGS if beside else ())
    if not beside:
        for name in SETTINGS:
            shutil.copy(tiny_bert / name, folder)
    rows = [*texts, "the cat sat on a mat " * 6]  # is cut at 24 tokens
    with pytest.warns(TruncationWarning):
        expected = of_torch(weights, rows)
    models = [file] if "quantized" in place else [file, folder]
    for model in models:
        with pytest.warns(TruncationWarning, match="max_length=24"):
            vectors = BertEmbedder(model, cache=None).fit_transform(rows)
        np.testing.assert_allclose(vectors, expected, atol=1e-5)


def test_weights_come_before_a_graph(tiny_bert, tmp_path, graph):
    folder = shutil.copytree(tiny_bert, tmp_path / "both")
    (folder / "onnx").mkdir()
    shutil.copy(graph, folder / "onnx")
    for model, is_graph in ((folder, False), (folder / "onnx" / "model.onnx", True)):
        embedder = BertEmbedder(model).fit(["a"])
        assert embedder._network.external_graph is is_graph
        assert (embedder.show_runtime()["precision"] == "as in the graph") is is_graph


def test_without_torch_the_error_names_the_graph(tiny_electra, tmp_path, graph, monkeypatch):
    folder = shutil.copytree(tiny_electra, tmp_path / "both")
    shutil.copy(graph, folder)
    change_json(folder / "config.json", name="another network")  # which has no export yet
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(MissingDependencyError, match=r"Or give its ONNX file as model: .*both/mod"):
        BertEmbedder(folder).fit(["a"])


def test_a_snapshot_of_the_hub(graph, tmp_path, texts, monkeypatch):
    """Its files, also those with weights, are links to blobs."""
    from huggingface_hub import constants

    before = with_external_data(graph, tmp_path / "onnx" / "model.onnx").parent
    storage = tmp_path / "hub" / "models--acme--tiny"
    snapshot = storage / "snapshots" / ("a" * 40)
    for folder in (storage / "refs", storage / "blobs", snapshot / "onnx"):
        folder.mkdir(parents=True)
    (storage / "refs" / "main").write_text("a" * 40)
    for file in before.iterdir():
        place = snapshot / "onnx" if file.name.startswith("model") else snapshot
        file.rename(storage / "blobs" / file.name)
        (place / file.name).symlink_to(storage / "blobs" / file.name)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    for layers in (-1, "pooler_output"):
        vectors = BertEmbedder("acme/tiny", layers=layers).fit_transform(texts)
        layers = STATES if layers == -1 else layers
        expected = BertEmbedder(graph, layers=layers).fit_transform(texts)
        np.testing.assert_allclose(vectors, expected, atol=1e-6)


# -- number formats and files ---------------------------------------------------------------------


def test_float16(tiny_bert, graph, tmp_path, texts):
    """Computed in float16; vectors are float32."""
    from onnxruntime.transformers.float16 import convert_float_to_float16

    for name in SETTINGS:
        shutil.copy(tiny_bert / name, tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        onnx.save(convert_float_to_float16(onnx.load(graph)), tmp_path / "model_fp16.onnx")
    for layers in (STATES, "pooler_output"):
        embedder = BertEmbedder(tmp_path / "model_fp16.onnx", layers=layers).fit(texts)
        vectors, expected = (
            embedder.transform(texts),
            BertEmbedder(graph, layers=layers).fit_transform(texts),
        )
        assert vectors.dtype == np.float32
        assert 1e-5 < np.abs(vectors - expected).max() < 1e-2
        assert embedder.show_runtime()["precision"] == "as in the graph"


@pytest.fixture(scope="module")
def quantized(tiny_bert, graph, tmp_path_factory):
    """The graph in dynamic int8, by ONNX Runtime."""
    from onnxruntime.quantization import quantize_dynamic

    folder = tmp_path_factory.mktemp("int8")
    for name in SETTINGS:
        shutil.copy(tiny_bert / name, folder)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        quantize_dynamic(graph, folder / "model_quantized.onnx")
    return folder / "model_quantized.onnx"


@pytest.mark.parametrize("layers", [STATES, "pooler_output"])
def test_dynamic_int8(quantized, graph, texts, layers, tmp_path):
    """Scales are those of a run, so rows run one by one and do not depend on one another."""
    embedder = BertEmbedder(quantized, layers=layers, cache=None).fit(texts)
    vectors = embedder.transform(texts)
    expected = BertEmbedder(graph, layers=layers).fit_transform(texts)
    lengths = np.linalg.norm(vectors, axis=1) * np.linalg.norm(expected, axis=1)
    cosines = (vectors * expected).sum(axis=1) / lengths
    assert cosines.min() > 0.97
    assert np.abs(vectors - expected).max() > 1e-4
    alone = np.concatenate([embedder.transform([text]) for text in texts])
    np.testing.assert_array_equal(vectors, alone)
    served = BertEmbedder(embedder.export(tmp_path / "served"), cache=None).fit(texts)
    np.testing.assert_array_equal(served.transform(texts), vectors)


def with_external_data(graph, path, location="model.onnx_data"):
    path.parent.mkdir(parents=True, exist_ok=True)
    for name in SETTINGS:
        shutil.copy(graph.parent / name, path.parent)
    onnx.save(
        onnx.load(graph), path, save_as_external_data=True, location=location, size_threshold=0
    )
    return path


@pytest.mark.parametrize("layers", [STATES, "pooler_output"])
def test_weights_in_a_file_beside_the_graph(graph, tmp_path, texts, layers):
    path = with_external_data(graph, tmp_path / "model.onnx")
    embedder = BertEmbedder(path, layers=layers).fit(texts)
    expected = BertEmbedder(graph, layers=layers).fit_transform(texts)
    np.testing.assert_allclose(embedder.transform(texts), expected, atol=1e-6)
    served = BertEmbedder(embedder.export(tmp_path / "served")).fit_transform(texts)
    np.testing.assert_allclose(served, expected, atol=1e-6)
    data = tmp_path / "model.onnx_data"
    data.write_bytes(bytes(data.stat().st_size))
    _load._runners.clear()
    with pytest.raises(NetworkChangedError):
        pickle.loads(pickle.dumps(embedder)).transform(["other"])
    data.unlink()
    with pytest.raises(ModelFormatError, match=r"needs the file 'model\.onnx_data', which"):
        BertEmbedder(path, layers=layers).fit(texts)


@pytest.mark.parametrize("kind", ["above", "absolute", "link"])
def test_weights_outside_of_the_folder_are_refused(graph, tmp_path, kind):
    path = with_external_data(graph, tmp_path / "inner" / "model.onnx")
    outside = tmp_path / "secret"
    (tmp_path / "inner" / "model.onnx_data").rename(outside)
    if kind == "link":
        (tmp_path / "inner" / "model.onnx_data").symlink_to(outside)
    else:
        model = onnx.load(path, load_external_data=False)
        for tensor in model.graph.initializer:
            for entry in tensor.external_data:
                if entry.key == "location":
                    entry.value = "../secret" if kind == "above" else str(outside)
        onnx.save(model, path)
    with pytest.raises(ModelFormatError, match=r"(outside|leaves) the model's folder"):
        BertEmbedder(path).fit(["a"])


# -- hostile files --------------------------------------------------------------------------------


@pytest.fixture
def settings(tiny_bert, tmp_path):
    for name in SETTINGS:
        shutil.copy(tiny_bert / name, tmp_path)
    return tmp_path


@pytest.mark.parametrize("content", [b"", b"not a graph", b"<html>", b"\x3a\x05abc", bytes(99)])
@pytest.mark.parametrize("place", ["model.onnx", "onnx/model.onnx"])
def test_files_that_are_no_graph(settings, content, place):
    (settings / place).parent.mkdir(exist_ok=True)
    (settings / place).write_bytes(content)
    with pytest.raises(ModelFormatError, match=r"model\.onnx (is not an ONNX graph|has no output)"):
        BertEmbedder(settings).fit(["a"])


def test_a_truncated_graph(graph, settings):
    content = graph.read_bytes()
    for size in (100, len(content) // 2, len(content) - 1):
        (settings / "model.onnx").write_bytes(content[:size])
        with pytest.raises(ModelFormatError, match=r"model\.onnx is not an ONNX graph"):
            BertEmbedder(settings).fit(["a"])


IDS = ("input_ids", ["r", "t"])
FLOATS = make_node("Cast", ["input_ids"], ["floats"], to=1)
TWO = numpy_helper.from_array(np.array([2], dtype=np.int64), "axes")


def reshaped(target, *more):
    """Return a graph of the ids as floats, reshaped."""
    shape = numpy_helper.from_array(np.array(target, dtype=np.int64), "target")
    nodes = [FLOATS, make_node("Reshape", ["floats", "target"], ["found"]), *more]
    return nodes, [shape]


@pytest.mark.parametrize(
    ("target", "stated", "message"),
    [
        ([-1], ["r"], "first axis is that of the rows"),
        ([0, -1, 1, 1, 1], list("rtabc"), r"returns shape .* An output of shape \(n_rows, n_dims"),
        ([0, -1, 1], None, "the graph must state the number of axes"),
        ([0, 1, -1], ["r", "t"], "returns shape|cannot be read|fails on inputs"),
        ([0, 1, -1], ["r", "t", "d"], "after pooling, its output has the shapes"),
        ([0, -1], ["r", "t", "d"], "model.onnx"),
        ([0, -1], ["r", "d"], "returns shape"),
        ([-1, 1, 1], ["r", "t", "d"], "first axis is that of the rows"),
    ],
    ids=str,
)
def test_wrong_numbers_of_axes(settings, target, stated, message):
    nodes, weights = reshaped(target)
    save_graph(settings / "model.onnx", nodes, [IDS], [("found", stated)], weights)
    with pytest.raises(ModelFormatError, match=message) as raised:
        BertEmbedder(settings).fit(["a"])
    assert str(settings / "model.onnx") in str(raised.value)


@pytest.mark.parametrize("shape", [["r", "t", "d"], ["r", "d"]], ids=str)
def test_unknown_operators_and_inputs_are_named(settings, shape):
    node = make_node("Mystery", ["input_ids"], ["found"], domain="evil")
    save_graph(settings / "model.onnx", [node], [IDS], [("found", shape)], domains=["evil"])
    with pytest.raises(ModelFormatError, match=r"model\.onnx cannot be read by .*Mystery"):
        BertEmbedder(settings).fit(["a"])
    nodes, weights = reshaped([0, -1, 1], make_node("Add", ["found", "pixel_mask"], ["out"]))
    inputs = [IDS, ("pixel_mask", [1])]
    save_graph(settings / "model.onnx", nodes, inputs, [("out", shape)], weights)
    with pytest.raises(
        ModelFormatError, match=r"model\.onnx has the inputs .*not \['pixel_mask'\]"
    ):
        BertEmbedder(settings).fit(["a"])


def test_older_operator_sets_are_refused(settings):
    nodes, weights = reshaped([0, -1, 1])
    save_graph(settings / "model.onnx", nodes, [IDS], [("found", list("rtd"))], weights, opset=9)
    with pytest.raises(ModelFormatError, match="has the operator set 9"):
        BertEmbedder(settings).fit(["a"])


def test_a_missing_tokenizer_is_named(graph, tmp_path):
    shutil.copy(graph, tmp_path / "model.onnx")
    with pytest.raises(ModelFormatError, match=r"has no tokenizer\.json"):
        BertEmbedder(tmp_path).fit(["a"])


def test_names_that_the_head_uses_are_renamed(settings):
    """As in graphs that skembed made."""
    nodes = [
        FLOATS,
        make_node("Unsqueeze", ["floats", "axes"], ["state_0"]),
        make_node("Concat", ["state_0", "state_0"], ["head_0/1"], axis=2),
        make_node("Neg", ["head_0/1"], ["vectors"]),
    ]
    save_graph(settings / "model.onnx", nodes, [IDS], [("vectors", list("rtd"))], [TWO])
    embedder = BertEmbedder(settings).fit(["the cat"])
    (ids,) = embedder._network.preprocessor.tokens("the cat").inputs
    np.testing.assert_allclose(embedder.transform(["the cat"]), [[-ids.mean()] * 2])


# -- identity -------------------------------------------------------------------------------------


def test_fingerprints_contain_file_output_and_head(graph, settings, texts):
    shutil.copy(graph, settings / "model.onnx")
    model = onnx.load(graph)
    first = next(item for item in model.graph.initializer if len(item.dims) == 2)
    changed = numpy_helper.to_array(first) * 1.5
    first.CopyFrom(numpy_helper.from_array(changed, first.name))
    onnx.save(model, settings / "other.onnx")

    def kept(model, **given):
        network = BertEmbedder(model, **given).fit(texts)._network
        return frozenset(network.fingerprints), network.fingerprint

    different = [
        kept(settings),
        kept(settings / "other.onnx"),
        kept(settings, layers="hidden_0"),
        kept(settings, layers="pooler_output"),
        kept(settings, pooling="max"),
    ]
    assert len({pieces for pieces, _ in different}) == len({whole for _, whole in different}) == 5
    same = [kept(graph), kept(settings, layers=STATES), kept(settings, normalize=True)]
    assert {pieces for pieces, _ in same} == {kept(settings)[0]}
    assert same[2][1] != same[0][1]


def test_copies_pickles_and_other_processes(graph, tmp_path, texts):
    embedder = BertEmbedder(graph, layers=["hidden_0", STATES]).fit(texts)
    expected = embedder.transform(texts)
    (tmp_path / "pickle").write_bytes(pickle.dumps(embedder))
    assert (tmp_path / "pickle").stat().st_size < 4000
    for other in (clone(embedder).fit(texts), copy.deepcopy(embedder)):
        np.testing.assert_array_equal(other.transform(texts), expected)
    code = f"""
    import pickle, pathlib
    embedder = pickle.loads(pathlib.Path({str(tmp_path / "pickle")!r}).read_bytes())
    print(embedder.transform({texts!r}).tolist())
    """
    found = run_python(code, SKEMBED_CACHE=str(tmp_path / "cache"))  # it takes the graph over anew
    np.testing.assert_array_equal(np.array(json.loads(found), np.float32), expected)


def test_a_moved_folder_is_found(tiny_bert, tmp_path, texts):
    folder = tmp_path / "before"
    folder.mkdir()
    add_modules(folder, dense=DENSE)
    export_bert(tiny_bert, folder / "onnx" / "model.onnx", settings=())
    for name in SETTINGS:
        shutil.copy(tiny_bert / name, folder)
    embedder = BertEmbedder(folder, max_length=32, cache=None).fit(texts)
    expected = embedder.transform(texts)
    folder.rename(tmp_path / "after")
    embedder.relocate(tmp_path / "after")
    np.testing.assert_array_equal(embedder.transform(texts), expected)
    weights = tmp_path / "after" / "2_Dense" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"!")
    with pytest.raises(NetworkChangedError):
        embedder.relocate(tmp_path / "after")


def test_a_damaged_copy_is_written_again(graph, tmp_path, texts):
    with skembed.config_context(cache_folder=tmp_path):
        embedder = BertEmbedder(graph, cache=None, layers=["hidden_1"]).fit(texts)
        expected = embedder.transform(texts)
        (data,) = tmp_path.rglob("backbone.onnx.data")
        data.write_bytes(bytes(data.stat().st_size))
        _load._runners.clear()
        np.testing.assert_array_equal(embedder.transform(texts), expected)


# -- export and training --------------------------------------------------------------------------


@pytest.mark.parametrize(
    "given", [{"pooling": "mean_max", "normalize": True}, {"layers": "pooler_output"}], ids=str
)
def test_export(graph, tmp_path, texts, given):
    embedder = BertEmbedder(graph, **given).fit(texts)
    served = BertEmbedder(embedder.export(tmp_path / "served")).fit(texts)
    np.testing.assert_allclose(served.transform(texts), embedder.transform(texts), atol=1e-6)
    assert len(onnx.load(tmp_path / "served" / "model.onnx").graph.output) == 1
    assert served._network.ready_made
    assert "max_difference" not in embedder.show_runtime()
    with pytest.raises(ExportError, match="is an ONNX graph, and format='transformers' writes"):
        embedder.export(tmp_path / "weights", format="transformers")


def test_training_needs_weights(graph):
    with pytest.raises(ValueError, match=r"is an ONNX graph, which cannot be trained\. Give the"):
        BertEmbedder(graph, training="classification").fit(["a", "b"], [0, 1])


def test_torch_and_other_precisions_are_refused(graph):
    for given in ({"backend": "torch"}, {"precision": "int8"}):
        with pytest.raises(ValueError, match="is an ONNX graph"):
            BertEmbedder(graph, **given).fit(["a"])


def test_changed_settings_are_another_network(graph, settings, texts):
    shutil.copy(graph, settings / "model.onnx")
    embedder = BertEmbedder(settings, cache=None).fit(texts)
    change_json(settings / "config.json", hidden_act="relu")
    with pytest.raises(NetworkChangedError):
        pickle.loads(pickle.dumps(embedder)).relocate(settings)
