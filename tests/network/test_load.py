"""Networks are loaded and exported once, found where they have moved, and checked."""

import pickle
import shutil
import sys
from dataclasses import replace

import numpy as np
import pytest
from sklearn.base import clone
from tiny import add_modules, save_tiny_bert

import skembed
from skembed import BertEmbedder
from skembed.exceptions import (
    MissingDependencyError,
    NetworkChangedError,
    RuntimeFallbackWarning,
)
from skembed.models import _storage
from skembed.network import _load, _spec
from skembed.text import _tokens

TEXTS = ["the cat sat", "a dog"]
DENSE = {"in_features": 16, "out_features": 4, "bias": True}


def forget():
    """Forget all networks, as another process would."""
    for registry in (_load._runners, _load._backbones, _tokens._tokenizers):
        registry.clear()


def test_where_torch_is_missing_export_is_named(tiny_bert, monkeypatch):
    """As in a process that unpickles a pipeline in a smaller environment."""
    embedder = BertEmbedder(tiny_bert, backend="torch", cache=None).fit(TEXTS)
    forget()
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(MissingDependencyError, match=r"'skembed\[torch\]'.*export\(folder\)"):
        embedder.transform(TEXTS)


def test_clones_share_one_network(tiny_bert, texts):
    one = BertEmbedder(tiny_bert).fit(texts)
    other = clone(one).fit(texts)
    assert _load.runner_of(one._network) is _load.runner_of(other._network)


def test_two_heads_share_the_files_of_one_backbone(tmp_path, texts):
    folder = save_tiny_bert(tmp_path / "model", seed=5)
    with skembed.config_context(cache_folder=tmp_path / "cache"):
        for pooling in ("mean", "max"):
            BertEmbedder(folder, pooling=pooling, cache=None).fit_transform(texts)
    files = [path.name for path in (tmp_path / "cache").rglob("*") if path.is_file()]
    assert files.count("backbone.onnx.data") == 1
    assert files.count("export.json") == 1
    assert len([name for name in files if name.endswith(".onnx")]) == 3  # and the backbone's


def test_a_changed_network_is_noticed(tmp_path, texts):
    folder = save_tiny_bert(tmp_path / "model", seed=6)
    fitted = BertEmbedder(folder, backend="torch").fit(texts)
    content = pickle.dumps(fitted)
    save_tiny_bert(folder, seed=7)
    _load._runners.clear()
    _load._backbones.clear()
    with pytest.raises(NetworkChangedError, match="holds another network now"):
        pickle.loads(content).transform(texts)
    vectors = fitted.fit_transform(texts)
    assert np.isfinite(vectors).all()


@pytest.mark.parametrize("damaged", ["backbone.onnx.data", "graph", "report"])
def test_a_damaged_export_is_made_again(tiny_bert, tmp_path, texts, damaged):
    """A flipped bit of an exported network costs time, and no wrong vector is served or kept."""
    with skembed.config_context(cache_folder=tmp_path):
        embedder = BertEmbedder(tiny_bert, cache=None).fit(texts)
        _load._runners.clear()
        expected = embedder.transform(texts)
        (report,) = tmp_path.rglob("export.json")
        (graph,) = set(tmp_path.rglob("*.onnx")) - set(tmp_path.rglob("backbone.onnx"))
        files = {
            "backbone.onnx.data": report.with_name("backbone.onnx.data"),
            "graph": graph,
            "report": report,
        }
        content = bytearray(files[damaged].read_bytes())
        content[len(content) // 2] ^= 255
        files[damaged].write_bytes(content)
        _load._runners.clear()
        np.testing.assert_array_equal(clone(embedder).fit(texts).transform(texts), expected)


def test_changed_dense_weights_are_noticed(tmp_path, texts):
    dense = {"in_features": 16, "out_features": 4, "bias": True}
    folder = add_modules(save_tiny_bert(tmp_path), dense=dense)
    fitted = BertEmbedder(folder, backend="torch").fit(texts)
    weights = folder / "2_Dense" / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    _load._runners.clear()
    with pytest.raises(NetworkChangedError, match="holds another network now"):
        fitted.transform(texts)


def test_a_pickle_finds_its_files_where_the_model_is_now(tmp_path, texts, monkeypatch):
    """As in another environment, where the same model lies in another place."""
    dense = {"in_features": 16, "out_features": 4, "bias": True}
    before = add_modules(save_tiny_bert(tmp_path / "before"), dense=dense)
    texts = [text for text in texts if len(text.split()) < 8]
    fitted = BertEmbedder(before, backend="torch", cache=None).fit(texts)
    expected = fitted.transform(texts)
    content = pickle.dumps(fitted)
    before.rename(tmp_path / "after")
    _load._runners.clear()
    _load._backbones.clear()
    _tokens._tokenizers.clear()
    monkeypatch.setattr(_spec, "locate", lambda *_, **__: tmp_path / "after")
    np.testing.assert_array_equal(pickle.loads(content).transform(texts), expected)


def test_a_read_only_folder_with_a_ready_export_is_used(tiny_bert, tmp_path, texts, monkeypatch):
    with skembed.config_context(cache_folder=tmp_path):
        BertEmbedder(tiny_bert, cache=None).fit(texts)

        def fail(*_, **__):
            raise OSError("read-only file system")

        monkeypatch.setattr(_storage.tempfile, "TemporaryFile", fail)
        BertEmbedder(tiny_bert, cache=None).fit(texts).transform(texts)


def test_a_lost_cache_folder_costs_only_time(tiny_bert, tmp_path, texts):
    with skembed.config_context(cache_folder=tmp_path / "cache"):
        embedder = BertEmbedder(tiny_bert).fit(texts)
        expected = embedder.transform(texts)
        shutil.rmtree(tmp_path / "cache")
        _load._runners.clear()
        skembed.memory_cache().clear()
        np.testing.assert_array_equal(embedder.transform(texts), expected)


def test_an_unwritable_cache_folder_warns_and_goes_on(tiny_bert, tmp_path, texts):
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    with skembed.config_context(cache_folder=blocked / "cache"):
        with pytest.warns(RuntimeFallbackWarning, match="cannot be written"):
            vectors = BertEmbedder(tiny_bert, cache=None).fit_transform(texts)
    np.testing.assert_array_equal(vectors, BertEmbedder(tiny_bert).fit_transform(texts))


def test_two_modalities_do_not_share_a_backbone(tiny_bert):
    """They may wrap the same folder's network in other ways."""
    spec = BertEmbedder(tiny_bert, backend="torch").fit(["a"])._network
    other = replace(spec, modality=replace(spec.modality, reference="elsewhere:TEXTS"))
    one = _load.torch_network(spec, spec.pieces).backbone
    assert _load.torch_network(spec, spec.pieces).backbone is one
    assert _load.torch_network(other, spec.pieces).backbone is not one
