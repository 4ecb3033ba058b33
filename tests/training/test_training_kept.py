"""States below the trained layers: computed once, bounded, never those of something else."""

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from tiny import save_tiny_bert

from skembed import BertEmbedder, CNNImageEmbedder, EmbeddingCache, MemoryCache, Training
from skembed.cache._states import store_of_states
from skembed.training import _kept
from skembed.training._kept import KeptStates, packed, unpacked
from skembed.training._trainee import TrainedNetwork

TEXTS = ["the cat sat", "a dog ran over the hill", "the cat ran", "a dog sat", "town"] * 4
LABELS = np.array([0, 1, 0, 1, 1] * 4)


def learner(folder, trainable="last:1", **given):
    given = {"cache": MemoryCache(), "random_state": 0, "n_threads": 1, **given}
    training = Training(
        trainable=trainable,
        epochs=3,
        batch_size=4,
        learning_rate=1e-3,
        mixed_precision=False,
        weight_decay=0.0,
    )
    return BertEmbedder(folder, training=training, **given)


def images():
    random = np.random.default_rng(0)
    return list(random.integers(0, 256, (12, 24, 24, 3), dtype=np.uint8)), np.array([0, 1] * 6)


def losses(embedder):
    return [step["loss"] for step in embedder.training_history_["steps"]]


@pytest.fixture
def counted(monkeypatch):
    """The numbers of states that each call computes."""
    counts, real = [], KeptStates._computed

    def computed(self, inputs):
        counts.append(len(inputs))
        return real(self, inputs)

    monkeypatch.setattr(KeptStates, "_computed", computed)
    return counts


@pytest.fixture
def whole(monkeypatch):
    """Let networks run all layers in each step."""

    def use():
        real = TrainedNetwork.__init__

        def init(self, *given, **states):
            real(self, *given, **states)
            self._upper = self._states_below = None

        monkeypatch.setattr(TrainedNetwork, "__init__", init)

    return use


@pytest.mark.parametrize("in_file", [False, True])
@pytest.mark.parametrize("half", [False, True])
@pytest.mark.parametrize("backend", ["torch", "onnx"])
def test_the_course_is_that_of_the_whole_network(
    tiny_bert, whole, monkeypatch, backend, half, in_file
):
    monkeypatch.setattr(_kept, "_HALF_BYTES", 0 if half else 2**30)
    monkeypatch.setattr(_kept, "_FILE_BYTES", 0 if in_file else 2**30)
    embedder = learner(tiny_bert, backend=backend)
    kept, read = (losses(clone(embedder).fit(TEXTS, LABELS)) for _ in range(2))
    assert kept == read
    whole()
    np.testing.assert_allclose(kept, losses(embedder.fit(TEXTS, LABELS)), atol=1e-3)


@pytest.mark.parametrize("backend", ["torch", "onnx"])
def test_maps_of_images(tiny_cnn, counted, whole, backend):
    rows, labels = images()
    training = Training(
        trainable="last:1", epochs=2, batch_size=4, mixed_precision=False, weight_decay=0.0
    )
    embedder = CNNImageEmbedder(
        tiny_cnn, training=training, random_state=0, backend=backend, cache=MemoryCache()
    )
    kept = losses(embedder.fit(rows, labels))
    assert losses(embedder.fit(rows, labels)) == kept
    assert counted == [12]
    whole()
    np.testing.assert_allclose(kept, losses(embedder.fit(rows, labels)), atol=1e-3)


def test_a_graph_is_used_where_it_agrees(tiny_bert, tiny_cnn, monkeypatch):
    used, real = [], KeptStates._use_graph

    def use(self, spec):
        real(self, spec)
        used.append(self._runner is not None)

    monkeypatch.setattr(KeptStates, "_use_graph", use)
    rows, labels = images()
    learner(tiny_bert, backend="auto", cache=None).fit(TEXTS, LABELS)
    training = Training(trainable="last:1", epochs=1)
    CNNImageEmbedder(tiny_cnn, training=training, cache=None).fit(rows, labels)
    assert used == [True, True]
    learner(tiny_bert, backend="torch", cache=None).fit(TEXTS, LABELS)
    assert used == [True, True]
    real_runner = _kept.state_runner

    class Wrong:
        def __init__(self, spec):
            self.runner = real_runner(spec)

        def run(self, batches, n_threads):
            return (tuple(a + 0.01 for a in out) for out in self.runner.run(batches, n_threads))

    monkeypatch.setattr(_kept, "state_runner", Wrong)
    learner(tiny_bert, backend="auto", cache=None).fit(TEXTS, LABELS)
    assert used == [True, True, False]


def test_states_are_computed_once_for_all_fits(tiny_bert, counted):
    embedder = learner(tiny_bert, backend="torch").fit(TEXTS, LABELS)
    assert counted == [5]  # rows that are alike have one state
    other = clone(embedder).set_params(training__epochs=1, training__learning_rate=1e-2)
    other.fit(TEXTS[::-1], LABELS)
    assert counted == [5]
    other.fit([*TEXTS, "a cat sat on the hill"], [*LABELS, 1])
    assert counted == [5, 1]
    clone(other).set_params(cache=None).fit(TEXTS, LABELS)
    assert counted == [5, 1, 5]


@pytest.mark.parametrize("change", ["model", "layer", "prompt", "max_length", "pooling", "half"])
def test_states_of_something_else_are_never_read(tiny_bert, tmp_path, monkeypatch, change):
    """Trained after another embedder with the same cache, or alone: the same losses."""
    cache = MemoryCache()
    learner(tiny_bert, backend="torch", cache=cache).fit(TEXTS, LABELS)
    given = {
        "model": {"folder": save_tiny_bert(tmp_path / "other", seed=1)},
        "layer": {"trainable": "last:2"},
        "prompt": {"prompt": "a cat "},
        "max_length": {"max_length": 4},
        "pooling": {"pooling": "max"},
    }.get(change, {})
    given = {"folder": tiny_bert, "backend": "torch", **given}
    if change == "half":
        monkeypatch.setattr(_kept, "_HALF_BYTES", 0)
    found = losses(learner(cache=cache, **given).fit(TEXTS, LABELS))
    assert found == losses(learner(cache=None, **given).fit(TEXTS, LABELS))


def test_damaged_states_are_computed_again(tiny_bert, counted):
    embedder = learner(tiny_bert, backend="torch").fit(TEXTS, LABELS)
    expected = losses(embedder)
    states = store_of_states(embedder.cache)[0]
    for name, value in list(states._rows.items()):
        states._rows[name] = value[:-1]
    assert losses(embedder.fit(TEXTS, LABELS)) == expected
    assert counted == [5, 5]


def test_a_training_uses_no_more_room_than_it_may(tiny_bert):
    cache = MemoryCache(4000)
    embedder = learner(tiny_bert, backend="torch", cache=cache)
    rows = [f"the cat {word}" for word in ("sat", "ran", "dog", "hill", "town", "over", "mat")] * 20
    rows = [f"{row} {'cat ' * (i % 9)}" for i, row in enumerate(rows)]
    labels = np.arange(len(rows)) % 2
    found = losses(embedder.fit(rows, labels))
    states = store_of_states(cache)[0]
    assert 0 < states.info()["bytes"] <= 8000
    assert found == losses(embedder.fit(rows, labels))
    assert found == losses(clone(embedder).set_params(cache=None).fit(rows, labels))


def test_large_numbers_stay_in_float32():
    assert _kept._as(np.array([1.0, 7e4], dtype=np.float32), np.float16).dtype == np.float32
    assert _kept._as(np.array([1.0, 6e4], dtype=np.float32), np.float16).dtype == np.float16


@pytest.mark.parametrize("value", [b"", b"e", b"x\x01\x01\0\0\0ab", packed(np.ones(3, "f4"))[:-1]])
def test_values_that_are_no_states(value):
    assert unpacked(value) is None


def test_packed_states_are_unpacked():
    for dtype in (np.float16, np.float32):
        state = np.random.default_rng(0).standard_normal((2, 3, 4)).astype(dtype)
        np.testing.assert_array_equal(unpacked(packed(state)), state)
        assert unpacked(packed(state)).dtype == dtype


@pytest.mark.parametrize("on_disk", [False, True])
def test_a_search_in_two_processes(tiny_bert, tmp_path, on_disk):
    cache = EmbeddingCache(tmp_path / "cache") if on_disk else None
    pipeline = make_pipeline(learner(tiny_bert, backend="torch", cache=cache), LogisticRegression())
    grid = {"bertembedder__training__epochs": [1, 2]}

    def search(n_jobs):
        found = GridSearchCV(pipeline, grid, cv=2, scoring="neg_log_loss", n_jobs=n_jobs)
        found.fit(np.array(TEXTS, dtype=object), LABELS)
        return found

    one, two = search(1), search(2)
    np.testing.assert_allclose(
        one.cv_results_["mean_test_score"], two.cv_results_["mean_test_score"], atol=1e-6
    )
    if on_disk:
        models = [item["model"] for item in cache.info()]
        assert sum("states of layer 1" in model for model in models) == 1
        assert cache.verify()["damaged"] == 0


def test_states_are_tensors_on_the_cpu(tiny_bert):
    spec = BertEmbedder(tiny_bert, backend="torch").fit(TEXTS)._network
    trainee = TrainedNetwork(spec, Training(trainable="last:1"))
    prepared, _ = spec.preprocessor.prepare(TEXTS, [b""] * len(TEXTS), 1)
    states = trainee.kept([row.inputs[0] for row in prepared])
    assert {(state.device.type, state.dtype) for state in states} == {("cpu", torch.float32)}
    assert [len(state) for state in states] == [len(row.inputs[0]) for row in prepared]
