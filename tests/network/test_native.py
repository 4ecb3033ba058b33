"""Networks whose graph is built from the files of their folder, without torch."""

import json
import shutil

import numpy as np
import pytest
import torch
from processes import run_python
from safetensors.torch import load_file, save_file
from tiny import change_json, save_tiny_bert

import skembed
from skembed import BertEmbedder
from skembed.exceptions import ModelFormatError
from skembed.network import _load
from skembed.runtime._export_folder import REPORT

FILE = "model.safetensors"


@pytest.fixture
def folder(tiny_bert, tmp_path):
    shutil.copytree(tiny_bert, tmp_path / "model")
    return tmp_path / "model"


def change_weights(folder, function):
    weights = load_file(folder / FILE)
    save_file(function(weights), folder / FILE)


def vectors_of(folder, texts, **settings):
    return BertEmbedder(folder, cache=None, **settings).fit_transform(texts)


@pytest.mark.parametrize(
    "change",
    [
        lambda name: f"bert.{name}",
        lambda name: name.replace("LayerNorm.weight", "LayerNorm.gamma"),
        lambda name: name.replace("LayerNorm.bias", "LayerNorm.beta"),
    ],
    ids=["of a larger model", "gamma", "beta"],
)
def test_other_names_of_weights(folder, tiny_bert, texts, change):
    """As in files of models with a task's head, and in old ones."""
    change_weights(folder, lambda weights: {change(name): w for name, w in weights.items()})
    np.testing.assert_array_equal(vectors_of(folder, texts), vectors_of(tiny_bert, texts))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_weights_in_half_precision(folder, texts, dtype):
    """They are computed with in float32, as by torch."""
    change_weights(folder, lambda weights: {name: w.to(dtype) for name, w in weights.items()})
    expected = vectors_of(folder, texts, backend="torch")
    np.testing.assert_allclose(vectors_of(folder, texts), expected, atol=1e-5)


def test_weights_in_several_files(folder, tiny_bert, texts):
    weights = load_file(folder / FILE)
    names = sorted(weights)
    files = {}
    for number, part in enumerate((names[::2], names[1::2])):
        file = f"model-0000{number + 1}-of-00002.safetensors"
        save_file({name: weights[name] for name in part}, folder / file)
        files |= dict.fromkeys(part, file)
    (folder / FILE).unlink()
    index = {"metadata": {}, "weight_map": files}
    (folder / f"{FILE}.index.json").write_text(json.dumps(index))
    np.testing.assert_array_equal(vectors_of(folder, texts), vectors_of(tiny_bert, texts))


def without(name):
    return lambda weights: {n: w for n, w in weights.items() if n != name}


def shorter(name):
    return lambda weights: {n: w[:-1] if n == name else w for n, w in weights.items()}


@pytest.mark.parametrize("change", [without, shorter])
@pytest.mark.parametrize(
    "name",
    [
        "embeddings.word_embeddings.weight",
        "encoder.layer.1.attention.self.query.weight",
        "encoder.layer.0.output.LayerNorm.bias",
    ],
)
def test_weights_that_are_missing_or_have_another_shape(folder, texts, name, change):
    change_weights(folder, change(name))
    with pytest.raises(ModelFormatError, match=rf"{name}. (are missing|have the shape)"):
        vectors_of(folder, texts)


def test_damaged_weights(folder, texts):
    content = (folder / FILE).read_bytes()
    (folder / FILE).write_bytes(content[: len(content) // 2])
    with pytest.raises(ModelFormatError, match="is not a safetensors file"):
        vectors_of(folder, texts)


def test_weights_that_are_not_numbers_are_noticed(folder, texts):
    def broken(weights):
        weights["embeddings.LayerNorm.weight"][0] = float("nan")
        return weights

    change_weights(folder, broken)
    with pytest.raises(skembed.exceptions.ExportError, match="not finite"):
        vectors_of(folder, texts, backend="onnx")


def test_a_config_that_disagrees_with_the_weights(folder, texts):
    change_json(folder / "config.json", hidden_size=24, num_attention_heads=2)
    with pytest.raises(
        ModelFormatError,
        match=r"have the shape \(\d+, 16\); config.json describes the shape \(\d+, 24\)",
    ):
        vectors_of(folder, texts)


def test_neither_torch_nor_its_version_matters(tiny_bert, texts, tmp_path, monkeypatch):
    """All of `fit` and `transform` runs without torch, and other versions find the same export."""
    code = f"""
    import sys, json
    from skembed import BertEmbedder
    embedder = BertEmbedder({str(tiny_bert)!r}, cache=None)
    vectors = [
        embedder.set_params(**given).fit_transform({texts!r}).astype(float).tolist()
        for given in ({{"precision": "float32"}}, {{"precision": "int8", "pooling": "mean_max"}})
    ]
    print(json.dumps([vectors, embedder.fingerprint_]))
    assert not {{"torch", "transformers"}} & set(sys.modules)
    """
    there = json.loads(run_python(code, SKEMBED_CACHE=str(tmp_path / "there")))
    other = {"torch": "9.9", "transformers": "9.9", "onnxscript": "9.9"}
    with skembed.config_context(cache_folder=tmp_path / "here"):
        monkeypatch.setattr(_load, "exporter_versions", lambda: other)
        given = {"precision": "int8", "pooling": "mean_max"}
        embedder = BertEmbedder(tiny_bert, cache=None, **given).fit(texts)
        np.testing.assert_array_equal(np.float32(there[0][1]), embedder.transform(texts))
        np.testing.assert_array_equal(np.float32(there[0][0]), vectors_of(tiny_bert, texts))
    assert there[1] == embedder.fingerprint_


def test_integers_are_compared_with_float32(tiny_bert, texts, monkeypatch):
    embedder = BertEmbedder(tiny_bert, precision="int8", cache=None).fit(texts)
    runtime = embedder.show_runtime()
    assert 0.95 < runtime["min_cosine"] < 1
    assert "min_cosine" not in BertEmbedder(tiny_bert, cache=None).fit(texts).show_runtime()


def test_integers_do_not_depend_on_neighbors(tiny_bert, texts):
    """Each token has its own scale."""
    embedder = BertEmbedder(tiny_bert, precision="int8", cache=None).fit(texts)
    alone = np.concatenate([embedder.transform([text]) for text in texts])
    np.testing.assert_array_equal(embedder.transform(texts), alone)


def test_a_damaged_graph_is_built_again(tmp_path, texts):
    folder = save_tiny_bert(tmp_path / "model", seed=5)
    with skembed.config_context(cache_folder=tmp_path / "cache"):
        expected = vectors_of(folder, texts)
        (report,) = (tmp_path / "cache").rglob(REPORT)
        graph = report.with_name("backbone.onnx")
        whole = graph.read_bytes()
        graph.write_bytes(whole[:-9])
        _load._runners.clear()
        np.testing.assert_array_equal(vectors_of(folder, texts), expected)
        assert graph.read_bytes() == whole
