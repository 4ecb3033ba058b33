"""Embedders that learn in `fit`: what changes, what is kept, and what is refused."""

import pickle

import numpy as np
import pytest
import sklearn
from pytorch_metric_learning.losses import ContrastiveLoss
from pytorch_metric_learning.miners import PairMarginMiner
from safetensors.torch import load
from scipy.sparse import csr_array
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.utils import get_tags
from tiny_images import noise
from tiny_sounds import sound

from skembed import AudioEmbedder, BertEmbedder, CNNImageEmbedder, MemoryCache, Training
from skembed.exceptions import BadRowsError
from skembed.training._objectives import OBJECTIVES

ANIMALS = ["the cat sat on the mat", "a cat and a dog", "the dog ran", "a cat ran", "dog and cat"]
PLACES = ["over the hill", "down to the river", "to the town", "on the bank", "a hill and a river"]
TEXTS = ANIMALS + PLACES
MINILM = "sentence-transformers/all-MiniLM-L6-v2"
LABELS = ["animal"] * 5 + ["place"] * 5
NUMBERS = np.arange(10) / 10
# Without bfloat16: results are compared to more digits than it has.
FAST = {"epochs": 20, "batch_size": 10, "learning_rate": 5e-3, "mixed_precision": False}


def separation(vectors, labels):
    """Return how much more similar rows of one class are than those of two."""
    vectors = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    cosines = vectors @ vectors.T
    same = np.equal.outer(labels, labels) & ~np.eye(len(labels), dtype=bool)
    other = ~np.equal.outer(labels, labels)
    return cosines[same].mean() - cosines[other].mean()


def learner(tiny_bert, objective="classification", trainable="last:1", **given):
    parameters = {"cache": None, "random_state": 0, "n_threads": 1, "backend": "torch"}
    training = Training(objective, trainable=trainable, **{**FAST, **given.pop("training", {})})
    return BertEmbedder(tiny_bert, training=training, **{**parameters, **given})


# -- objectives -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("objective", "given"),
    [
        *((name, {}) for name in ("classification", "cosine", "supcon", "triplet", "proxy_anchor")),
        ("supcon", {"trainable": "lora", "learning_rate": 3e-3}),
        ("supcon", {"trainable": "head", "learning_rate": 3e-3, "epochs": 30}),
        ("classification", {"projection_dim": 16}),
        # The default miner leaves out rows of two classes that are already a distance of 0.8 apart.
        ((ContrastiveLoss(neg_margin=1.4), PairMarginMiner(neg_margin=1.4)), {}),
    ],
)
def test_rows_of_a_class_come_together(objective, given):
    """On the packaged MiniLM: vectors of the tiny networks are nearly parallel."""
    labels = np.array(LABELS)
    frozen = BertEmbedder(backend="torch", cache=None).fit_transform(TEXTS)
    given = {"learning_rate": 3e-4, "epochs": 10, "trainable": "last:1", **given}
    embedder = learner(MINILM, objective, given.pop("trainable"), training=given)
    vectors = embedder.fit_transform(TEXTS, LABELS)
    assert separation(vectors, labels) > separation(frozen, labels) + 0.1
    epochs = embedder.training_history_["epochs"]
    assert epochs[-1]["loss"] < epochs[0]["loss"]


def test_all_layers_learn(tiny_bert):
    labels = np.array(LABELS)
    frozen = BertEmbedder(tiny_bert, backend="torch", cache=None).fit_transform(TEXTS)
    vectors = learner(tiny_bert, trainable="all").fit_transform(TEXTS, LABELS)
    assert separation(vectors, labels) > separation(frozen, labels) + 0.1


def test_regression_learns_numbers(tiny_bert):
    embedder = learner(tiny_bert, "regression", "all", training={"epochs": 80}).fit(TEXTS, NUMBERS)
    epochs = embedder.training_history_["epochs"]
    assert epochs[-1]["loss"] < 0.5 < epochs[0]["loss"]


def test_several_classes_a_row(tiny_bert):
    y = np.array([[1, i % 2] if i < 5 else [0, i % 2] for i in range(10)])
    embedder = learner(tiny_bert, trainable="all", training={"epochs": 80}).fit(TEXTS, y)
    epochs = embedder.training_history_["epochs"]
    assert epochs[-1]["loss"] < 0.7 * epochs[0]["loss"]


def test_images_and_sounds_learn_from_scratch():
    """Small networks with random weights; batch norms learn, too."""
    random = np.random.default_rng(0)
    dark = [random.integers(0, 90, (32, 32, 3), dtype=np.uint8) for _ in range(8)]
    light = [random.integers(120, 255, (32, 32, 3), dtype=np.uint8) for _ in range(8)]
    labels = np.repeat([0, 1], 8)
    training = Training(trainable="all", epochs=4, batch_size=8)
    parameters = {"pretrained": False, "random_state": 0, "cache": None, "backend": "torch"}
    images = CNNImageEmbedder("resnet-small-32", training=training, **parameters)
    before = clone(images).set_params(training=None).fit_transform(dark + light)
    assert separation(images.fit_transform(dark + light, labels), labels) > separation(
        before, labels
    )
    low = [(np.sin(np.arange(8000) * 0.02 + i).astype(np.float32) / 2, 16000) for i in range(4)]
    high = [(np.sin(np.arange(8000) * 0.8 + i).astype(np.float32) / 2, 16000) for i in range(4)]
    training = Training(trainable="last:2", epochs=4, batch_size=8)
    sounds = AudioEmbedder("cnn-small", training=training, **parameters)
    before = clone(sounds).set_params(training=None).fit_transform(low + high)
    labels = np.repeat([0, 1], 4)
    assert separation(sounds.fit_transform(low + high, labels), labels) > separation(before, labels)


@pytest.mark.parametrize("pretrained", [False, True])
def test_batch_norms_of_pretrained_networks_keep_their_statistics(tiny_cnn, pretrained):
    random = np.random.default_rng(0)
    rows = [random.integers(0, 255, (32, 32, 3), dtype=np.uint8) for _ in range(8)]
    training = Training(trainable="all", epochs=1, batch_size=8, augment=None)
    model = tiny_cnn if pretrained else "resnet-small-32"
    embedder = CNNImageEmbedder(model, pretrained=pretrained, random_state=0, training=training)
    learned = embedder.fit(rows, [0, 1] * 4)._network.learned.weights
    changed = {name.rpartition(".")[2] for name in load(learned)}
    assert "weight" in changed
    assert ("running_mean" in changed) is not pretrained


def test_texts_without_labels_differ_more(tiny_bert):
    """SimCSE: two passes with other dropout are one text, other texts are others."""
    frozen = BertEmbedder(tiny_bert, backend="torch", cache=None).fit_transform(TEXTS)
    embedder = learner(tiny_bert, "simcse", "all").fit(TEXTS)
    vectors = embedder.transform(TEXTS)

    def mean_cosine(vectors):
        vectors = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
        return (vectors @ vectors.T)[~np.eye(len(vectors), dtype=bool)].mean()

    assert mean_cosine(vectors) < mean_cosine(frozen) - 0.1
    assert not get_tags(embedder).target_tags.required


def test_images_without_labels_learn_what_changes_leave_alone():
    random = np.random.default_rng(0)
    rows = [random.integers(0, 255, (32, 32, 3), dtype=np.uint8) for _ in range(16)]
    training = Training("simclr", trainable="all", epochs=8, batch_size=16)
    embedder = CNNImageEmbedder(
        "resnet-small-32", pretrained=False, random_state=0, cache=None, training=training
    )
    epochs = embedder.set_params(backend="torch").fit(rows).training_history_["epochs"]
    assert epochs[-1]["loss"] < epochs[0]["loss"]


def test_augment_is_called_on_training_batches_and_no_states_are_kept():
    shapes = []

    def halved(batch):
        shapes.append(tuple(batch.shape))
        return batch / 2

    rows = [np.full((32, 32, 3), 15 * i, dtype=np.uint8) for i in range(8)]
    training = Training(
        trainable="last:1", augment=halved, epochs=2, batch_size=4, validation_fraction=0.5
    )
    CNNImageEmbedder(
        "resnet-small-32", pretrained=False, random_state=0, cache=None, training=training
    ).fit(rows, [0, 1] * 4)
    assert shapes == [(4, 3, 32, 32)] * 2


def test_sounds_of_several_lengths_share_batches():
    """Batch norms need several rows at a time."""
    rows = [(sound(0.2 + 0.05 * i, seed=i), 16_000) for i in range(8)]
    sizes = []

    def counted(batch):
        sizes.append(len(batch))
        return batch

    training = Training(trainable="all", augment=counted, epochs=1, batch_size=8)
    embedder = AudioEmbedder("cnn-small", pretrained=False, random_state=0, training=training)
    embedder.fit(rows, [0, 1] * 4)
    assert sizes == [8]


# -- what changes ---------------------------------------------------------------------------------


def changed(embedder):

    return set(load(embedder._network.learned.weights))


@pytest.mark.parametrize(
    ("trainable", "layers"), [("last:1", {"1"}), ("last:2", {"0", "1"}), ("all", {"0", "1"})]
)
def test_exactly_the_named_layers_change(tiny_bert, trainable, layers):
    names = changed(learner(tiny_bert, trainable=trainable).fit(TEXTS, LABELS))
    found = {name.split("layer.")[1].split(".")[0] for name in names if "layer." in name}
    assert found == layers
    assert any("embeddings" in name for name in names) == (trainable == "all")


def test_low_rank_changes_are_small_and_the_same_in_a_pickle(tiny_bert):
    embedder = learner(tiny_bert, trainable="lora", training={"lora_rank": 2}).fit(TEXTS, LABELS)
    assert all(".low_rank_" in name for name in changed(embedder))
    whole = learner(tiny_bert, trainable="all").fit(TEXTS, LABELS)
    assert len(embedder._network.learned.weights) < 0.5 * len(whole._network.learned.weights)
    again = pickle.loads(pickle.dumps(embedder))
    np.testing.assert_array_equal(again.transform(TEXTS), embedder.transform(TEXTS))


def test_a_projection_of_cached_vectors_runs_no_network_again(tiny_bert, monkeypatch):
    cache = MemoryCache()
    BertEmbedder(tiny_bert, backend="torch", cache=cache).fit_transform(TEXTS)
    monkeypatch.setattr(BertEmbedder, "_run_batches", None)
    embedder = learner(tiny_bert, trainable="head", cache=cache, training={"projection_dim": 3})
    vectors = embedder.fit_transform(TEXTS, LABELS)
    assert vectors.shape == (10, 3)
    other = clone(embedder).set_params(random_state=1).fit(TEXTS, LABELS)
    assert other.fingerprint_ != embedder.fingerprint_


@pytest.mark.parametrize(("truncate_dim", "n_dims"), [(36, 36), (None, 40)])
@pytest.mark.parametrize("trainable", ["last:1", "head"])
def test_a_projection_may_be_longer_than_the_vectors(tiny_bert, trainable, truncate_dim, n_dims):
    training = {"projection_dim": 40, "epochs": 2}
    embedder = learner(tiny_bert, "classification", trainable, truncate_dim=truncate_dim)
    embedder.set_params(**{f"training__{name}": value for name, value in training.items()})
    assert embedder.fit_transform(TEXTS, LABELS).shape == (10, n_dims)


def test_a_column_and_a_sparse_matrix_are_labels(tiny_bert):
    training = {"epochs": 1}
    plain = learner(tiny_bert, training=training).fit(TEXTS, LABELS)
    column = learner(tiny_bert, training=training).fit(TEXTS, np.array(LABELS)[:, None])
    assert column.fingerprint_ == plain.fingerprint_
    indicator = np.stack([NUMBERS > 0.2, NUMBERS > 0.6], axis=1).astype(int)
    dense = learner(tiny_bert, training=training).fit(TEXTS, indicator)
    sparse = learner(tiny_bert, training=training).fit(TEXTS, csr_array(indicator))
    assert sparse.fingerprint_ == dense.fingerprint_


def test_kept_states_do_not_change_the_course(tiny_bert):
    """The lower layers run once; the losses are those of running them each time."""
    kept = learner(tiny_bert, trainable="last:1", training={"weight_decay": 0.0})
    kept.fit(TEXTS, LABELS)
    with pytest.MonkeyPatch.context() as patch:
        from skembed.training._trainee import TrainedNetwork

        real = TrainedNetwork.__init__

        def whole(self, *given, **states):
            real(self, *given, **states)
            self._upper = self._states_below = (
                None  # all layers run; those that are trained stay the same
            )

        patch.setattr(TrainedNetwork, "__init__", whole)
        uncut = learner(tiny_bert, trainable="last:1", training={"weight_decay": 0.0})
        uncut.fit(TEXTS, LABELS)
    losses = [
        [step["loss"] for step in embedder.training_history_["steps"]] for embedder in (kept, uncut)
    ]
    np.testing.assert_allclose(*losses, atol=1e-3)


@pytest.mark.parametrize("trainable", ["last:1", "all"])
def test_the_same_seed_gives_the_same_weights(tiny_bert, trainable):
    one, two = (learner(tiny_bert, trainable=trainable).fit(TEXTS, LABELS) for _ in range(2))
    assert one._network.learned == two._network.learned
    assert one.fingerprint_ == two.fingerprint_
    other = learner(tiny_bert, trainable=trainable, random_state=1).fit(TEXTS, LABELS)
    assert other.fingerprint_ != one.fingerprint_


def test_a_refit_starts_from_the_model(tiny_bert):
    embedder = learner(tiny_bert).fit(TEXTS, LABELS)
    first = embedder.fingerprint_
    embedder.fit(TEXTS[::-1], LABELS)
    assert embedder.fit(TEXTS, LABELS).fingerprint_ == first
    frozen = embedder.set_params(training=None).fit(TEXTS)
    assert not hasattr(frozen, "training_history_")
    assert frozen._network.learned.weights == b""


def test_rows_outside_of_the_fold_change_nothing(tiny_bert):
    """The weights of a fold depend on its own rows and labels, and on nothing else."""
    half = learner(tiny_bert, cache=MemoryCache())
    alone = clone(half).fit(TEXTS[::2], LABELS[::2])
    search = GridSearchCV(
        make_pipeline(clone(half), LogisticRegression()),
        {"bertembedder__training__epochs": [8]},
        cv=[(np.arange(0, 10, 2), np.arange(1, 10, 2))],
        refit=False,
    )
    search.fit(TEXTS, LABELS)
    marked = [text + " river" if i % 2 else text for i, text in enumerate(TEXTS)]
    search.fit(marked, LABELS)
    again = clone(half).fit(TEXTS[::2], LABELS[::2])
    assert again._network.learned == alone._network.learned


def test_a_search_in_processes_finds_what_one_process_finds(tiny_bert):
    pipeline = make_pipeline(learner(tiny_bert, training={"epochs": 3}), LogisticRegression())
    grid = {"bertembedder__training__objective": ["classification", "supcon"]}
    one, two = (
        GridSearchCV(pipeline, grid, cv=2, n_jobs=n_jobs, error_score="raise").fit(TEXTS, LABELS)
        for n_jobs in (1, 2)
    )
    np.testing.assert_array_equal(
        one.cv_results_["mean_test_score"], two.cv_results_["mean_test_score"]
    )
    found = [search.best_estimator_[0].fingerprint_ for search in (one, two)]
    assert found[0] == found[1]


def test_folds_do_not_share_vectors(tiny_bert):
    """Each fold's weights have fingerprints of their own, so a shared cache mixes nothing."""
    cache = MemoryCache()
    one = learner(tiny_bert, cache=cache).fit(TEXTS[:8], LABELS[:8])
    two = learner(tiny_bert, cache=cache).fit(TEXTS[2:], LABELS[2:])
    assert set(one._network.fingerprints).isdisjoint(two._network.fingerprints)
    for embedder in (one, two):
        expected = pickle.loads(pickle.dumps(embedder)).set_params(cache=None).transform(TEXTS)
        embedder.transform(TEXTS)
        np.testing.assert_array_equal(embedder.transform(TEXTS), expected)


# -- afterwards: an ordinary embedder -------------------------------------------------------------


def test_the_trained_network_is_exported_pickled_and_served(tiny_bert, tmp_path):
    torch = learner(tiny_bert).fit(TEXTS, LABELS)
    onnx = learner(tiny_bert, backend="onnx").fit(TEXTS, LABELS)
    expected = torch.transform(TEXTS)
    np.testing.assert_allclose(onnx.transform(TEXTS), expected, atol=1e-4)
    again = pickle.loads(pickle.dumps(onnx))
    np.testing.assert_array_equal(again.transform(TEXTS), onnx.transform(TEXTS))
    served = BertEmbedder(onnx.export(tmp_path / "served")).fit(TEXTS)
    np.testing.assert_allclose(served.transform(TEXTS), expected, atol=1e-4)
    whole = learner(tiny_bert, trainable="all").fit(TEXTS, LABELS)
    assert len(pickle.dumps(onnx)) < 0.7 * len(pickle.dumps(whole))


def test_int8_after_training(tiny_bert):
    trained = learner(tiny_bert, backend="onnx").fit(TEXTS, LABELS).transform(TEXTS)
    embedder = learner(tiny_bert, backend="onnx", precision="int8").fit(TEXTS, LABELS)
    assert np.abs(embedder.transform(TEXTS) - trained).max() < 0.2


def test_bad_rows_are_left_out_with_their_labels(tiny_bert):
    texts, labels = [TEXTS[0], None, *TEXTS[1:]], [LABELS[0], "place", *LABELS[1:]]
    expected = learner(tiny_bert).fit(TEXTS, LABELS)
    embedder = learner(tiny_bert, bad_rows="zero").fit(texts, labels)
    assert embedder._network.learned == expected._network.learned


def test_rows_that_fail_while_they_are_read_are_named():
    training = Training(trainable="all", epochs=1)
    embedder = AudioEmbedder(
        "cnn-small", pretrained=False, random_state=0, training=training, window_pooling="none"
    )
    rows = [(sound(0.5), 16000), (sound(3.0), 16000), (sound(0.5, seed=1), 16000)]
    with pytest.raises(BadRowsError, match=r"row 1: 3 s, longer than one window"):
        embedder.set_params(window_seconds=1.0).fit(rows, [0, 1, 0])


# -- parameters -----------------------------------------------------------------------------------


def test_nested_parameters(tiny_bert):
    embedder = BertEmbedder(tiny_bert, training="supcon")
    embedder.set_params(training__epochs=3)
    assert embedder.training.objective == "supcon"
    assert embedder.get_params()["training__epochs"] == 3
    embedder.set_params(training=None, training__epochs=5)
    assert embedder.training is None
    copy = clone(BertEmbedder(tiny_bert, training=Training(epochs=2)))
    assert copy.training.epochs == 2


def test_a_search_over_objectives(tiny_bert):
    pipeline = make_pipeline(learner(tiny_bert), LogisticRegression())
    grid = {
        "bertembedder__training": [None, "classification", Training("supcon", **FAST)],
        "bertembedder__training__epochs": [1, 2],
    }
    search = GridSearchCV(pipeline, grid, cv=2, error_score="raise").fit(TEXTS, LABELS)
    assert len(search.cv_results_["params"]) == 6


def test_validation_and_patience(tiny_bert):
    training = {"validation_fraction": 0.4, "patience": 2, "epochs": 50, "learning_rate": 0.05}
    embedder = learner(tiny_bert, training=training).fit(TEXTS, LABELS)
    epochs = embedder.training_history_["epochs"]
    losses = [epoch["validation_loss"] for epoch in epochs]
    assert len(epochs) < 50
    assert int(np.argmin(losses)) == len(epochs) - 3  # the best one, then two without progress


def test_time_is_limited(tiny_bert):
    embedder = learner(tiny_bert, training={"max_seconds": 1e-6, "epochs": 50})
    assert len(embedder.fit(TEXTS, LABELS).training_history_["steps"]) == 1


def test_a_row_with_weight_zero_is_not_learned_from(tiny_bert):
    weights = np.ones(10)
    weights[3] = 0
    wrong = [*LABELS[:3], "place", *LABELS[4:]]
    right = learner(tiny_bert).fit(TEXTS, LABELS, weights)
    assert learner(tiny_bert).fit(TEXTS, wrong, weights).fingerprint_ == right.fingerprint_
    assert learner(tiny_bert).fit(TEXTS, wrong).fingerprint_ != right.fingerprint_


def test_weights_are_routed(tiny_bert):
    with sklearn.config_context(enable_metadata_routing=True):
        embedder = learner(tiny_bert).set_fit_request(sample_weight=True)
        weights = np.arange(10.0)
        expected = clone(embedder).fit(TEXTS, LABELS, weights)
        pipeline = Pipeline([("embedder", embedder)])
        pipeline.fit(TEXTS, LABELS, sample_weight=weights)
        assert pipeline[0].fingerprint_ == expected.fingerprint_


@pytest.mark.parametrize(
    ("objective", "weights", "message"),
    [
        ("supcon", np.ones(10), "sample_weight is for objective='classification' and 'regression'"),
        ("classification", np.ones(9), "X has 10 rows and sample_weight has 9 entries"),
        ("classification", -np.ones(10), "one finite number >= 0 for each row"),
        ("classification", np.full(10, np.nan), "one finite number >= 0 for each row"),
        ("classification", np.zeros(10), "sample_weight is 0 for all rows"),
    ],
)
def test_weights_that_cannot_be_used(tiny_bert, objective, weights, message):
    with pytest.raises(ValueError, match=message):
        learner(tiny_bert, objective).fit(TEXTS, LABELS, weights)


def test_class_weights_count(tiny_bert):
    plain = learner(tiny_bert).fit(TEXTS, LABELS)
    weighted = learner(tiny_bert, training={"class_weight": {"animal": 9.0, "place": 1.0}})
    assert weighted.fit(TEXTS, LABELS).fingerprint_ != plain.fingerprint_
    balanced = learner(tiny_bert, training={"class_weight": "balanced"}).fit(TEXTS, LABELS)
    assert balanced.fingerprint_ == plain.fingerprint_  # the classes are equally large


@pytest.mark.parametrize(
    ("training", "y", "message"),
    [
        ({}, None, r"(?s)BertEmbedder learns from labels with training=.*: call fit\(X, y\)"),
        ({}, LABELS[:-1], "X has 10 rows and y has 9 entries"),
        ({}, ["animal"] * 10, "y has one class only, 'animal'"),
        ({}, [None, *LABELS[1:]], r"y holds missing values \(row 0\)"),
        ({}, [np.nan] + [1.0] * 9, r"y holds missing values \(row 0\)"),
        ({}, NUMBERS + 0.05, "y must hold one class for each row; got continuous"),
        ({}, np.full((10, 2), 3), "A 2-D y must hold zeros and ones"),
        ({}, np.zeros((10, 2, 1)), r"y must have one or two dimensions; its shape is \(10, 2, 1\)"),
        ({}, [["a", "b"], ["a"]] * 5, "different lengths. .*MultiLabelBinarizer"),
        ({"class_weight": {"animal": np.nan}}, LABELS, "class_weight must hold finite numbers"),
        ({"class_weight": {"animal": -1.0}}, LABELS, "class_weight must hold finite numbers"),
        ({"objective": "supcn"}, LABELS, "'supcn' is no objective"),
        ({"augment": lambda batch: batch[:1]}, LABELS, r"returned the shape \(1, "),
        ({"augment": lambda batch: None}, LABELS, "returned <class 'NoneType'>"),
        ({"augment": lambda batch: batch / 0}, LABELS, "augment returned NaN or infinite values"),
        ({"objective": "supcon"}, ["rare", *LABELS[1:]], "The class 'rare' has one row"),
        ({"objective": "triplet"}, ["rare", *LABELS[1:]], "The class 'rare' has one row"),
        ({"objective": "regression"}, LABELS, "y must hold numbers for regression"),
        ({"objective": "regression"}, [np.inf] + [0.0] * 9, "y holds NaN or infinite"),
        ({"objective": "regression"}, [1.0] * 10, "y has the same value in all rows"),
        ({"validation_fraction": 0.05}, LABELS, "validation_fraction=0.05 cannot be kept aside"),
        ({"patience": 2}, LABELS, "patience=2 compares validation losses"),
        ({"objective": "supcon", "class_weight": "balanced"}, LABELS, "class_weight is for"),
        ({"trainable": "last"}, LABELS, "'last:N' with N >= 1, 'lora' or 'all'. Got 'last'"),
        ({"trainable": "last:0"}, LABELS, "must be 'head', 'last:N' with N >= 1"),
        ({"trainable": "last:9"}, LABELS, "trainable='last:9': .* has 2 layers"),
        ({"epochs": 0}, LABELS, "The 'epochs' parameter of Training must be"),
        ({"learning_rate": 1e30, "epochs": 50}, LABELS, "The loss is not finite in epoch"),
    ],
)
def test_what_cannot_be_learned_is_said(tiny_bert, training, y, message):
    objective = training.pop("objective", "classification")
    trainable = training.pop("trainable", "last:1")
    embedder = learner(tiny_bert, objective, trainable, training=training)
    with pytest.raises(ValueError, match=message):
        embedder.fit(TEXTS, y)
    assert not hasattr(embedder, "fingerprint_")


def test_layers_that_the_vectors_do_not_depend_on(tiny_bert):
    with pytest.raises(ValueError, match="trains the layers above 1, and the vectors are pooled"):
        learner(tiny_bert, layers=0).fit(TEXTS, LABELS)


def test_a_ready_made_graph_is_not_trained(tiny_bert, tmp_path):
    folder = BertEmbedder(tiny_bert, backend="onnx").fit(["a"]).export(tmp_path / "exported")
    with pytest.raises(ValueError, match="is an ONNX graph, which cannot be trained"):
        BertEmbedder(folder, training="classification").fit(TEXTS, LABELS)


def test_warm_trains_too(tiny_bert):
    cache = MemoryCache()
    embedder = learner(tiny_bert, cache=cache).warm(TEXTS, LABELS)
    computed = cache.info()["computed"]
    embedder.transform(TEXTS)
    assert cache.info()["computed"] == computed


@pytest.mark.parametrize("training", ["supcn", Training("supcn"), {"objective": "supcon"}, True])
def test_tags_of_a_wrong_parameter_are_no_error(training):
    embedder = BertEmbedder(training=training)
    assert not get_tags(embedder).target_tags.required
    with pytest.raises(ValueError, match=r"'supcn' is no objective|The 'training' parameter"):
        embedder.fit(TEXTS, LABELS)


def test_scikit_learn_is_told_that_labels_are_needed(tiny_bert):
    assert get_tags(learner(tiny_bert)).target_tags.required
    assert not get_tags(BertEmbedder(tiny_bert)).target_tags.required


def test_every_objective_has_a_test():
    assert set(OBJECTIVES) == {
        "classification",
        "regression",
        "cosine",
        "supcon",
        "triplet",
        "proxy_anchor",
        "simcse",
        "simclr",
    }


def test_pixels_are_not_kept_as_they_are(tiny_cnn):
    """Kept states of images give the vectors of the whole network."""
    embedder = CNNImageEmbedder(
        tiny_cnn, training=Training(trainable="last:1", epochs=1), cache=None, random_state=0
    )
    images = [noise(40, 40, seed=i) if i else noise(40, 40) for i in range(4)]
    assert embedder.fit_transform(images, [0, 1, 0, 1]).shape[0] == 4
