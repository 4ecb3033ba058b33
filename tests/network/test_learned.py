"""What `fit` learned as part of a network: its identity, its pickle, its export."""

import pickle
from dataclasses import replace

import numpy as np
import pytest
from safetensors.torch import load_file, save
from tiny import save_tiny_bert

from skembed import BertEmbedder
from skembed.exceptions import ModelFormatError
from skembed.network._learned import Learned

TEXTS = ["the cat sat", "a dog ran over the hill"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return save_tiny_bert(tmp_path_factory.mktemp("learned"))


def changed_weights(folder):
    """Return one of the network's weights, doubled, as bytes in the format of safetensors."""
    weights = load_file(folder / "model.safetensors")
    name = next(name for name in weights if name.endswith("layer.1.output.dense.weight"))
    return save({f"model.{name}": weights[name] * 2})


def with_learned(embedder, learned):
    """Return an embedder that is fitted as if `fit` had learned this."""
    embedder = pickle.loads(pickle.dumps(embedder))
    embedder._network = replace(embedder._network, learned=learned)
    return embedder


@pytest.mark.parametrize("backend", ["onnx", "torch"])
def test_changed_weights_are_another_network(folder, backend, tmp_path):
    """Its vectors differ, are kept under another name, and survive a pickle."""
    base = BertEmbedder(folder, backend=backend, pooling="mean").fit(TEXTS)
    learned = Learned(weights=changed_weights(folder))
    trained = with_learned(base, learned)
    before, after = base.transform(TEXTS), trained.transform(TEXTS)
    assert np.abs(before - after).max() > 1e-3
    assert trained._network.fingerprint != base._network.fingerprint
    assert set(trained._network.fingerprints).isdisjoint(base._network.fingerprints)
    np.testing.assert_array_equal(base.transform(TEXTS), before)
    again = pickle.loads(pickle.dumps(trained))
    np.testing.assert_array_equal(again.transform(TEXTS), after)
    assert len(pickle.dumps(trained)) - len(pickle.dumps(base)) < len(learned.weights) + 1000


def test_both_backends_and_an_exported_folder_agree(folder, tmp_path):
    learned = Learned(weights=changed_weights(folder))
    onnx, torch = (
        with_learned(BertEmbedder(folder, backend=backend).fit(TEXTS), learned)
        for backend in ("onnx", "torch")
    )
    expected = torch.transform(TEXTS)
    np.testing.assert_allclose(onnx.transform(TEXTS), expected, atol=1e-5)
    served = BertEmbedder(onnx.export(tmp_path / "exported")).fit(TEXTS)
    np.testing.assert_allclose(served.transform(TEXTS), expected, atol=1e-5)


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        (b"no weights", "The learned weights cannot be used"),
        (lambda values: save({"encoder.unknown": values}), "no weights 'encoder.unknown'"),
        (
            lambda values: save({"model.embeddings.word_embeddings.weight": values[:1]}),
            "size mismatch for",
        ),
    ],
)
def test_weights_of_another_network_are_refused(folder, weights, message):
    values = next(iter(load_file(folder / "model.safetensors").values()))
    learned = Learned(weights=weights if isinstance(weights, bytes) else weights(values))
    base = BertEmbedder(folder, backend="torch", cache=None).fit(TEXTS)
    with pytest.raises(ModelFormatError, match=message):
        with_learned(base, learned).transform(TEXTS)


def test_nothing_learned_leaves_the_fingerprint_as_it_is(folder):
    base = BertEmbedder(folder, backend="torch").fit(TEXTS)
    assert (
        with_learned(base, Learned()).transform(TEXTS).tobytes() == base.transform(TEXTS).tobytes()
    )
    assert Learned().digest is None
    assert base._network.fingerprint == with_learned(base, Learned())._network.fingerprint
