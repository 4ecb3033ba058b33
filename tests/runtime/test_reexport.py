"""Exports of trained networks that use the graph of the network before training."""

import copy
import json
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from tiny_images import noise
from tiny_sounds import sound
from torch import nn

from runtime.toys import PROBES
from skembed import AudioEmbedder, BertEmbedder, CNNImageEmbedder, Training, config_context
from skembed.image._cnn import IMAGES
from skembed.models._backbone import Backbone, build, load_backbone
from skembed.models._head import Head
from skembed.models._modules import Network
from skembed.network import _load
from skembed.runtime import _reexport, _torch_export
from skembed.runtime._export import ensure_exported
from skembed.runtime._reexport import CannotReuse, has_fresh_norms, with_other_weights
from skembed.text._bert import TEXTS

PICTURES = [noise(32, 32, seed=seed) for seed in range(4)]
ROWS = ["the cat sat", "a cat ran", "over the hill", "a river to town"]
LABELS = [0, 0, 1, 1]
FILES = ("backbone.onnx", "backbone.onnx.data", "export.json")
FLOATS = [np.linspace(-1, 1, n * 24, dtype=np.float32).reshape(n, 3, 8) for n in (2, 1)]


@pytest.fixture
def exporter(monkeypatch):
    """Count the exports of backbones from torch."""
    calls, save = [], _torch_export._save_fastest

    def counted(path, *given):
        calls.append(path)
        save(path, *given)

    monkeypatch.setattr(_torch_export, "_save_fastest", counted)
    return calls


def trained(backbone, seed=1):
    """Return a copy with other weights and other statistics of batch norms."""
    backbone = copy.deepcopy(backbone)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, tensor in backbone.state_dict().items():
            if tensor.is_floating_point() and "pooler" not in name:
                tensor.add_(torch.rand(tensor.shape, generator=generator) * 0.05)
    return backbone


def export(folder, backbone, probes, base=None, **given):
    job = ([Head()], partial(Network, backbone), lambda: probes, "x")
    return ensure_exported(folder, *job, base=base, **given)


def check_same_bytes(folder, before, after, probes, exporter):
    """The files are those of an export from torch, so fingerprints are the same."""
    export(folder / "base", before, probes)
    export(folder / "torch", after, probes)
    assert len(exporter) == 2
    found = export(folder / "reused", after, probes, lambda: (folder / "base", before))
    assert len(exporter) == 2
    assert found["verdicts"][0]["agrees"]
    for file in FILES:
        assert (folder / "reused" / file).read_bytes() == (folder / "torch" / file).read_bytes()


def test_a_transformer(tiny_bert, tmp_path, exporter):
    before = load_backbone(tiny_bert, TEXTS)
    check_same_bytes(tmp_path, before, trained(before), PROBES, exporter)


def test_a_cnn_of_transformers(tiny_cnn, tmp_path, exporter):
    """Its batch norms are in the convolutions, and begin with equal values."""
    before = load_backbone(tiny_cnn, IMAGES)
    probes = [np.random.default_rng(0).random((n, 3, 32, 32), np.float32) for n in (2, 1)]
    check_same_bytes(tmp_path, before, trained(before), probes, exporter)


def test_a_cnn_of_skembed(tmp_path, exporter):
    config = {"model_type": "skembed-resnet", "depths": [1, 1], "hidden_sizes": [16, 32]}
    torch.manual_seed(0)
    fresh = build(config, IMAGES).eval()
    before = trained(fresh, seed=0)
    assert has_fresh_norms(fresh)
    assert not has_fresh_norms(before)
    probes = [np.random.default_rng(0).random((n, 3, 16, 16), np.float32) for n in (2, 1)]
    check_same_bytes(tmp_path, before, trained(before), probes, exporter)


class Tied(Backbone):
    """Two names of one tensor, and two tensors that begin equal."""

    def __init__(self, *, tied):
        super().__init__()
        self.first, self.second = nn.Linear(8, 8), nn.Linear(8, 8)
        self.unused = nn.Linear(8, 3)
        if tied:
            self.second.weight = self.first.weight
        else:
            self.second.weight.data.copy_(self.first.weight.data)

    def forward(self, inputs):
        state = self.first(inputs).tanh()
        return state, self.second(state)


def test_tied_weights(tmp_path, exporter):
    before = Tied(tied=True)
    check_same_bytes(tmp_path, before, trained(before), FLOATS, exporter)


def test_equal_weights_that_become_different_are_exported_from_torch(tmp_path, exporter):
    """Their transposed initializers have no names: which is which is not known."""
    before = Tied(tied=False)
    export(tmp_path / "base", before, FLOATS)
    after = trained(before)
    graph = tmp_path / "base" / "backbone.onnx"
    with pytest.raises(CannotReuse, match=r"(first|second)\.weight|equals several tensors"):
        with_other_weights(graph, tmp_path / "backbone.onnx", before, after)
    found = export(tmp_path / "after", after, FLOATS, lambda: (tmp_path / "base", before))
    assert found["verdicts"][0]["agrees"]
    assert len(exporter) == 2


def test_a_changed_tensor_without_a_place_is_refused(tmp_path, exporter):
    """The graph contains a product that no tensor equals, so it may depend on it."""

    class Product(Backbone):
        def __init__(self):
            super().__init__()
            self.left, self.right = nn.Linear(8, 8), nn.Linear(8, 8)

        def forward(self, inputs):
            return (inputs @ (self.left.weight * 2.0 + self.right.weight),)

    before, other = Product(), Tied(tied=True)
    export(tmp_path / "base", before, FLOATS)
    with pytest.raises(CannotReuse, match="has no certain place"):
        with_other_weights(
            tmp_path / "base" / "backbone.onnx", tmp_path / "new.onnx", other, trained(other)
        )


def test_a_wrong_place_is_detected(tiny_bert, tmp_path, exporter, monkeypatch):
    """The comparison with torch finds it; the files are then exported from torch."""
    before = load_backbone(tiny_bert, TEXTS)
    after = trained(before)
    export(tmp_path / "base", before, PROBES)
    new_arrays, calls = _reexport._new_arrays, []

    def swapped(*given):
        new = new_arrays(*given)
        names = [name for name in new if name.endswith("output.dense.bias")][:2]
        new[names[0]], new[names[1]] = new[names[1]] + 1, new[names[0]]
        calls.append(names)
        return new

    monkeypatch.setattr(_reexport, "_new_arrays", swapped)
    found = export(tmp_path / "after", after, PROBES, lambda: (tmp_path / "base", before))
    assert found["verdicts"][0]["agrees"]
    assert len(calls) == 1
    assert len(exporter) == 2


def test_nothing_is_recorded_before_all_agrees(tiny_bert, tmp_path, exporter, monkeypatch):
    before = load_backbone(tiny_bert, TEXTS)
    export(tmp_path / "base", before, PROBES)

    def no_space(*given):
        raise OSError("no space left")

    monkeypatch.setattr(_torch_export, "_compared", no_space)
    with pytest.raises(OSError, match="no space"):
        export(tmp_path / "after", trained(before), PROBES, lambda: (tmp_path / "base", before))
    assert not (tmp_path / "after" / "export.json").exists()


def test_without_an_export_of_the_base(tiny_bert, tmp_path, exporter):
    before = load_backbone(tiny_bert, TEXTS)
    found = export(tmp_path / "after", trained(before), PROBES, lambda: None)
    assert found["verdicts"][0]["agrees"]
    assert len(exporter) == 1


# -- in fit ---------------------------------------------------------------------------------------


def check_fit(embedder, rows, cache_folder, exporter, *, atol=1e-4):
    """Two trainings export one base; vectors are those of torch."""
    n_before = len(exporter)
    with config_context(cache_folder=cache_folder):
        for seed in (0, 1):
            fitted = embedder.set_params(backend="onnx", random_state=seed).fit(rows, LABELS)
            assert fitted._network.learned.weights
            vectors = fitted.transform(rows)
        assert len(exporter) == n_before + 1
        network = replace(fitted._network, backend="torch", precision="float32")
        fitted._network = _load.with_export(network)
        expected = fitted.transform(rows)
    if atol is not None:
        np.testing.assert_allclose(vectors, expected, atol=atol)
    else:
        lengths = np.linalg.norm(vectors, axis=1) * np.linalg.norm(expected, axis=1)
        assert ((vectors * expected).sum(axis=1) / lengths).min() > 0.95


@pytest.mark.parametrize("trainable", ["last:1", "all", "lora"])
def test_texts(tiny_electra, tmp_path, exporter, trainable):
    training = Training("classification", trainable=trainable, epochs=2, batch_size=4)
    embedder = BertEmbedder(tiny_electra, training=training, cache=None)
    check_fit(embedder, ROWS, tmp_path, exporter)


def test_integers(tiny_electra, tmp_path, exporter):
    training = Training("classification", trainable="last:1", epochs=2, batch_size=4)
    embedder = BertEmbedder(tiny_electra, training=training, cache=None, precision="int8")
    check_fit(embedder, ROWS, tmp_path, exporter, atol=None)


def test_images(tiny_cnn, tmp_path, exporter):
    training = Training("classification", trainable="all", epochs=2, batch_size=4)
    embedder = CNNImageEmbedder(tiny_cnn, training=training, cache=None)
    check_fit(embedder, PICTURES, tmp_path, exporter)


def test_a_network_with_fresh_norms_is_exported_once(tmp_path, exporter):
    """It would be exported in vain before training."""
    training = Training("classification", trainable="all", epochs=1, batch_size=4)
    given = {"pretrained": False, "sampling_rate": 16000, "cache": None, "backend": "onnx"}
    embedder = AudioEmbedder("cnn-small", training=training, random_state=0, **given)
    sounds = [(sound(0.5, seed=seed), 16000) for seed in range(4)]
    with config_context(cache_folder=tmp_path):
        embedder.fit(sounds, LABELS)
    assert len(exporter) == 1


def test_another_machine_finds_the_same_fingerprint(tiny_electra, tmp_path, exporter, monkeypatch):
    """There the export is made from torch, where torch is not loaded yet."""
    training = Training("classification", trainable="last:1", epochs=2, batch_size=4)
    with config_context(cache_folder=tmp_path / "here"):
        fitted = BertEmbedder(tiny_electra, training=training, backend="onnx").fit(ROWS, LABELS)
        before = _load.export_folder(fitted._network)
    monkeypatch.setattr(_load, "_base_of", lambda *given: None)
    with config_context(cache_folder=tmp_path / "there"):
        network = _load.with_export(fitted._network)
        after = _load.export_folder(network)
    assert before != after
    assert network.fingerprint == fitted.fingerprint_
    reports = [json.loads((folder / "export.json").read_text()) for folder in (before, after)]
    assert reports[0]["sha256"] == reports[1]["sha256"]
