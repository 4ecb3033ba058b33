"""What `fit` learned as part of a network: its identity, its pickle, its export."""

import json
import pickle
from dataclasses import replace

import numpy as np
import pytest
from processes import run_python
from safetensors.torch import load_file, save
from sklearn.base import clone
from tiny import save_tiny_bert
from tiny_images import noise
from tiny_sounds import sound

import skembed
from skembed import (
    AudioEmbedder,
    BertEmbedder,
    CNNImageEmbedder,
    EmbeddingCache,
    MemoryCache,
    Training,
    config_context,
)
from skembed.embedder import _learner, _neural
from skembed.exceptions import ModelFormatError
from skembed.models._projection import Projection
from skembed.network import _load
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


# -- projections ----------------------------------------------------------------------------------

IMAGES = [noise(40, 40, seed=seed) for seed in range(3)]
SOUNDS = [(sound(seconds, seed=i), 16000) for i, seconds in enumerate((0.5, 2.6, 0.7))]
WINDOWS = {"window_seconds": 1.0, "hop_seconds": 0.5}  # several for the second sound


@pytest.fixture
def cases(tiny_bert, tiny_cnn, tiny_hearing):
    """Frozen embedders that neither truncate nor normalize, and rows of their modality."""
    given = {"normalize": False, "n_threads": 1}
    return {
        "text": (BertEmbedder(tiny_bert, pooling=["mean", "max"], **given), TEXTS),
        "image": (CNNImageEmbedder(tiny_cnn, layers=[-2, -1], **given), IMAGES),
        "sound": (AudioEmbedder(tiny_hearing, **WINDOWS, **given), SOUNDS),
    }


@pytest.fixture
def learning(monkeypatch):
    """Return a function: an embedder and rows -> a copy whose `fit` learned a projection."""

    def fitted(embedder, rows, projection, **given):
        learned = Learned(projection=projection)
        monkeypatch.setattr(_learner, "learned_from_rows", lambda *fit: (learned, {}))
        copy = clone(embedder).set_params(training=Training("classification"), **given)
        return copy.fit(rows, range(len(rows)))

    return fitted


def projection_of(n_in, n_out=5, seed=0):
    return Projection.of(np.random.default_rng(seed).standard_normal((n_in, n_out)))


def no_runner(*given):
    raise AssertionError("a network was loaded")


@pytest.mark.parametrize("backend", ["onnx", "torch"])
@pytest.mark.parametrize("kind", ["text", "image", "sound"])
def test_vectors_are_projected_then_truncated_then_normalized(cases, learning, kind, backend):
    frozen, rows = cases[kind]
    before = frozen.set_params(backend=backend).fit_transform(rows).astype(np.float64)
    projection = projection_of(before.shape[1])
    expected = before @ projection.matrix
    plain = learning(frozen, rows, projection)
    np.testing.assert_allclose(plain.transform(rows), expected, atol=1e-5)
    assert plain.n_features_out_ == plain.show_runtime()["n_dims"] == 5
    assert len(plain.get_feature_names_out()) == 5
    cut = learning(frozen, rows, projection, truncate_dim=3, normalize=True)
    vectors = cut.transform(rows)
    assert vectors.shape == (len(rows), cut.n_features_out_) == (len(rows), 3)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, rtol=1e-6)
    if kind != "sound":  # their windows are normalized one by one, see below
        expected = expected[:, :3] / np.linalg.norm(expected[:, :3], axis=1, keepdims=True)
        np.testing.assert_allclose(vectors, expected, atol=1e-5)


@pytest.mark.parametrize("pooling", ["mean", "mean_max"])
def test_windows_of_a_sound_are_finished_before_they_are_joined(cases, learning, pooling):
    frozen, rows = cases["sound"]
    projection = projection_of(16)
    embedder = learning(
        frozen, rows, projection, window_pooling=pooling, normalize=True, truncate_dim=3
    )
    network = embedder._network
    windows = embedder._run(network, network.preprocessor.prepare(rows, [b"0", b"1", b"2"], 1)[0])
    counts = windows.counts.tolist()
    assert counts[0] == 1 < counts[1]
    some = slice(1, 1 + counts[1])
    finished = windows.vectors[0][some].astype(np.float64) @ projection.matrix[:, :3]
    finished /= np.linalg.norm(finished, axis=1, keepdims=True)
    joined = network.preprocessor.joined(finished.astype(np.float32), windows.weights[some])
    vectors = embedder.transform(rows)
    assert vectors.shape[1] == embedder.n_features_out_ == (6 if pooling == "mean_max" else 3)
    np.testing.assert_allclose(vectors[1], joined / np.linalg.norm(joined), atol=1e-5)


@pytest.mark.parametrize("kind", ["text", "image", "sound"])
def test_projections_share_the_vectors_of_the_frozen_network(cases, learning, kind, monkeypatch):
    """Folds and candidates that learn a projection run no row that was run before."""
    frozen, rows = cases[kind]
    cache = MemoryCache()
    before = frozen.set_params(cache=cache).fit(rows)
    vectors = before.transform(rows)
    computed = cache.info()["computed"]
    monkeypatch.setattr(_neural, "runner_of", no_runner)
    first, second = (
        learning(frozen, rows, projection_of(vectors.shape[1], n_out, seed))
        for seed, n_out in ((1, 5), (2, 7))
    )
    assert first.transform(rows).shape[1] == 5
    assert second.transform(rows).shape[1] == 7
    assert cache.info()["computed"] == computed
    assert first._network.fingerprints == second._network.fingerprints
    assert len({e.fingerprint_ for e in (before, first, second)}) == 3
    np.testing.assert_array_equal(before.transform(rows), vectors)


@pytest.mark.parametrize("backend", ["onnx", "torch"])
def test_a_row_alone_has_the_vector_that_it_has_among_others(cases, learning, backend, tmp_path):
    """Kept vectors are the same, and so are the projected ones, to the bit."""
    frozen, rows = cases["text"]
    cache = EmbeddingCache(tmp_path)
    embedder = learning(frozen, rows, projection_of(32), backend=backend, cache=cache)
    together = embedder.transform(rows)
    for i, row in enumerate(rows):
        np.testing.assert_array_equal(embedder.transform([row])[0], together[i])


@pytest.mark.parametrize("kind", ["text", "image", "sound"])
def test_an_exported_folder_holds_the_projection(cases, learning, kind, tmp_path):
    """Two projections of one network have graphs of their own."""
    frozen, rows = cases[kind]
    n_in = frozen.fit(rows).n_features_out_
    plain = WINDOWS if kind == "sound" else {}
    for seed, given in ((1, {}), (2, {}), (3, {"truncate_dim": 3, "normalize": True})):
        embedder = learning(frozen, rows, projection_of(n_in, seed=seed), backend="onnx", **given)
        folder = embedder.export(tmp_path / str(seed))
        manifest = json.loads((folder / "manifest.json").read_text())
        assert manifest["n_dims"] == (3 if given else 5)
        served = type(embedder)(folder, **plain).fit(rows)
        np.testing.assert_allclose(served.transform(rows), embedder.transform(rows), atol=1e-5)
        assert served.n_features_out_ == embedder.n_features_out_


def test_integers_are_projected_in_float32(cases, learning, tmp_path):
    frozen, rows = cases["text"]
    frozen.set_params(precision="int8")
    before = frozen.fit_transform(rows)
    embedder = learning(frozen, rows, projection_of(32))
    expected = before.astype(np.float64) @ embedder._network.head.projection.matrix
    np.testing.assert_allclose(embedder.transform(rows), expected, atol=1e-5)
    served = BertEmbedder(embedder.export(tmp_path / "int8")).fit(rows)
    np.testing.assert_allclose(served.transform(rows), expected, atol=1e-5)


def test_a_projection_is_served_without_torch(cases, learning, tmp_path):
    """From an exported folder, and from a pickle whose network was exported before."""
    frozen, rows = cases["text"]
    embedder = learning(frozen, rows, projection_of(32), backend="onnx", cache=None)
    folder, file = embedder.export(tmp_path / "exported"), tmp_path / "fitted.pickle"
    expected = embedder.transform(rows)
    file.write_bytes(pickle.dumps(embedder))
    code = f"""
    import json, pickle, sys
    from pathlib import Path

    class NotInstalled:
        def find_spec(self, name, path=None, target=None):
            if name.partition(".")[0] in ("torch", "transformers", "onnx"):
                raise ModuleNotFoundError(name)

    sys.meta_path.insert(0, NotInstalled())
    from skembed import BertEmbedder
    for embedder in (BertEmbedder({str(folder)!r}), pickle.loads(Path({str(file)!r}).read_bytes())):
        embedder = embedder if hasattr(embedder, "fingerprint_") else embedder.fit({rows!r})
        print(json.dumps(embedder.transform({rows!r}).astype(float).tolist()))
    """
    lines = run_python(code).splitlines()
    assert len(lines) == 2
    for line in lines:
        np.testing.assert_allclose(json.loads(line), expected, atol=1e-5)


@pytest.mark.parametrize("backend", ["onnx", "torch"])
def test_a_pickle_holds_the_projection_once(cases, learning, backend):
    frozen, rows = cases["text"]
    frozen.set_params(backend=backend)
    embedder = learning(frozen, rows, projection_of(32, 200))
    vectors = embedder.transform(rows)
    content = pickle.dumps(embedder)
    assert len(content) - len(pickle.dumps(frozen.fit(rows))) < 4 * 32 * 200 + 1000
    skembed.memory_cache().clear()
    again = pickle.loads(content)
    assert again._network.fingerprint == embedder.fingerprint_
    np.testing.assert_allclose(again.transform(rows), vectors, atol=1e-6)


def test_a_pickle_without_projections_is_one_that_learned_none():
    """As a version of skembed before there were projections wrote it."""
    learned = Learned(weights=b"weights")
    state = learned.__getstate__()
    del state["projection"]
    again = object.__new__(Learned)
    vars(again).update(state)
    assert again == learned
    assert again.projection is None


@pytest.mark.parametrize("backend", ["onnx", "torch"])
def test_tokens_are_not_projected(cases, learning, backend):
    frozen, rows = cases["text"]
    frozen.set_params(backend=backend)
    embedder = learning(frozen, rows, projection_of(32))
    pairs = zip(
        frozen.fit(rows).embed_tokens([*rows, ""]), embedder.embed_tokens([*rows, ""]), strict=True
    )
    for expected, found in pairs:
        np.testing.assert_array_equal(found.vectors, expected.vectors)


def test_other_heads_are_computed_with_a_projected_one(cases, learning):
    """`precompute` names pieces, which have no projection."""
    frozen, rows = cases["text"]
    cache = MemoryCache()
    given = {"precompute": {"pooling": ["cls", "mean"]}, "truncate_dim": 30, "cache": cache}
    embedder = learning(frozen, rows, projection_of(32, 40), **given)
    assert embedder.transform(rows).shape[1] == 30
    computed = cache.info()["computed"]
    frozen.set_params(pooling="cls", cache=cache).fit(rows).transform(rows)
    assert cache.info()["computed"] == computed


def test_a_projection_may_be_longer_than_the_vectors(cases, learning):
    frozen, rows = cases["text"]
    longer = projection_of(32, 50)
    assert learning(frozen, rows, longer, truncate_dim=40).transform(rows).shape[1] == 40
    for n_out in (5, 50):
        message = f"at most {n_out}, the length of the learned projection. Got {n_out + 1} instead"
        with pytest.raises(ValueError, match=message):
            learning(frozen, rows, projection_of(32, n_out), truncate_dim=n_out + 1)


def test_truncate_dim_is_compared_where_only_a_run_tells_the_width(cases, learning):
    frozen, rows = cases["image"]
    n_in = frozen.fit(rows).n_features_out_
    with pytest.raises(ValueError, match="at most 5, the length of the learned projection"):
        learning(frozen, rows, projection_of(n_in), truncate_dim=6)


@pytest.mark.parametrize("backend", ["onnx", "torch"])
def test_projections_that_do_not_fit_are_refused(cases, learning, backend):
    frozen, rows = cases["text"]
    frozen.set_params(backend=backend)
    with pytest.raises(ModelFormatError, match=r"vectors of length 31, .* have length 32"):
        learning(frozen, rows, projection_of(31))
    damaged = replace(projection_of(32), content=b"1234")
    with pytest.raises(ModelFormatError, match="The learned projection cannot be used"):
        learning(frozen, rows, damaged)
    embedder = learning(frozen, rows, projection_of(32))
    head = replace(embedder._network.head, projection=damaged)
    embedder._network = replace(embedder._network, head=head)
    with pytest.raises(ModelFormatError, match="The learned projection cannot be used"):
        embedder.transform(rows)


def test_changed_weights_and_a_projection(folder, learning, monkeypatch):
    """Both are learned; the weights change the kept vectors, the projection does not."""
    base = BertEmbedder(folder, normalize=False, backend="torch")
    weights = changed_weights(folder)
    trained = with_learned(base.fit(TEXTS), Learned(weights=weights))
    learned = Learned(weights=weights, projection=projection_of(16))
    monkeypatch.setattr(_learner, "learned_from_rows", lambda *fit: (learned, {}))
    both = clone(base).set_params(training=Training("classification")).fit(TEXTS, [0, 1])
    assert both._network.fingerprints == trained._network.fingerprints
    assert both._network.learned.weights == weights
    expected = trained.transform(TEXTS) @ projection_of(16).matrix
    np.testing.assert_allclose(both.transform(TEXTS), expected, atol=1e-5)


def test_the_folder_of_an_export_has_no_projection_in_its_name(cases, learning):
    frozen, rows = cases["text"]
    frozen.set_params(backend="onnx")
    folders = {
        _load.export_folder(embedder._network)
        for embedder in (
            frozen.fit(rows),
            learning(frozen, rows, projection_of(32)),
            learning(frozen, rows, projection_of(32, seed=1)),
        )
    }
    assert len(folders) == 1


# -- in other processes and on other machines -----------------------------------------------------

ROWS = ["the cat sat", "a cat ran", "over the hill", "a river to town"]
LABELS = [0, 0, 1, 1]
SERVE = """
import pickle, sys, warnings

class NotInstalled:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {missing!r}:
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, NotInstalled())
from skembed.exceptions import MissingDependencyError, RuntimeFallbackWarning
from skembed.runtime import _export
_export.in_child = False  # saves the time of a second import of torch
with open({file!r}, "rb") as file:
    embedder = pickle.load(file)
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always", RuntimeFallbackWarning)
    try:
        print(embedder.transform({texts!r}).astype(float).tolist())
    except MissingDependencyError as error:
        print(str(error))
assert {warned!r} == any(item.category is RuntimeFallbackWarning for item in caught)
assert "skembed.training._loop" not in sys.modules  # nothing is trained again
"""


@pytest.fixture(scope="module")
def pickled(tiny_electra, tmp_path_factory):
    """A trained embedder's pickle, the cache folder with its export, and its vectors."""
    place = tmp_path_factory.mktemp("trained")
    with config_context(cache_folder=place / "cache"):
        training = Training("classification", trainable="last:1", epochs=3, batch_size=8)
        embedder = BertEmbedder(
            tiny_electra, training=training, backend="onnx", cache=None, random_state=0
        )
        vectors = embedder.fit(ROWS, LABELS).transform(ROWS)
    (place / "embedder.pkl").write_bytes(pickle.dumps(embedder))
    return place / "embedder.pkl", place / "cache", vectors


def serve(file, cache_folder, *, missing=(), warned=False):
    code = SERVE.format(file=str(file), texts=ROWS, missing=missing, warned=warned)
    return run_python(code, SKEMBED_CACHE=str(cache_folder))


WITHOUT_TORCH = ("torch", "transformers", "onnx", "onnxscript")


def test_another_process_finds_what_was_learned(pickled):
    """Without torch, so nothing is trained nor exported again."""
    file, cache_folder, vectors = pickled
    again = json.loads(serve(file, cache_folder, missing=WITHOUT_TORCH))
    np.testing.assert_array_equal(np.array(again, dtype=np.float32), vectors)


def test_another_machine_exports_again_from_the_pickle(pickled, tmp_path):
    file, _, vectors = pickled
    again = json.loads(serve(file, tmp_path / "cache"))
    np.testing.assert_allclose(again, vectors, atol=1e-6)
    (export,) = (tmp_path / "cache").rglob("export.json")
    reports = {path.parent.name: path.read_text() for path in pickled[1].rglob("export.json")}
    assert len(reports) == 2  # that of the network before training is used again, see `_reexport`
    # The same file, made from torch: fingerprints contain the digest of the graph.
    assert (
        json.loads(export.read_text())["sha256"]
        == (json.loads(reports[export.parent.name])["sha256"])
    )


def test_another_machine_without_torch_is_told_what_to_do(pickled, tmp_path):
    file, _, _ = pickled
    message = serve(file, tmp_path / "cache", missing=WITHOUT_TORCH)
    assert "pip install 'skembed[torch]'" in message
    assert "write the fitted embedder's network with export(folder)" in message


def test_a_cache_folder_that_cannot_be_written(pickled, tmp_path):
    """The export goes to a temporary folder, with a warning."""
    file, _, vectors = pickled
    (tmp_path / "file").write_text("not a folder")
    again = json.loads(serve(file, tmp_path / "file" / "cache", warned=True))
    np.testing.assert_allclose(again, vectors, atol=1e-6)


@pytest.mark.parametrize("trainable", ["last:1", "lora"])
def test_a_trained_graph_that_is_built_needs_no_torch_elsewhere(tiny_bert, tmp_path, trainable):
    """It is built there from the files of the model and what the pickle holds."""
    training = Training("classification", trainable=trainable, epochs=3, batch_size=8)
    with config_context(cache_folder=tmp_path / "here"):
        embedder = BertEmbedder(tiny_bert, training=training, cache=None, random_state=0)
        vectors = embedder.fit(ROWS, LABELS).transform(ROWS)
        frozen = BertEmbedder(tiny_bert, cache=None).fit_transform(ROWS)
    assert np.abs(vectors - frozen).max() > 1e-3
    torch = embedder.set_params(backend="torch").fit(ROWS, LABELS).transform(ROWS)
    np.testing.assert_allclose(vectors, torch, atol=1e-5)
    file = tmp_path / "embedder.pkl"
    embedder.set_params(backend="onnx").fit(ROWS, LABELS)
    file.write_bytes(pickle.dumps(embedder))
    again = json.loads(serve(file, tmp_path / "there", missing=("torch", "transformers")))
    np.testing.assert_array_equal(np.array(again, dtype=np.float32), vectors)
