"""fit_pairs: similar rows come together; what is refused; what remains an ordinary embedder."""

import pickle

import numpy as np
import pandas as pd
import pytest
from scipy.stats import spearmanr
from sklearn.base import clone

from skembed import BertEmbedder, CNNImageEmbedder, Training
from skembed.exceptions import BadRowsError

LEFT = ["the cat sat", "a dog ran", "over the hill", "down to the river", "to the town", "a man"]
RIGHT = ["a cat", "the dog and the man", "the hill", "a river", "the town and the bank", "the man"]


def learner(tiny_bert, **given):
    training = {"trainable": "all", "epochs": 60, "learning_rate": 5e-3, "mixed_precision": False}
    training = Training(**{**training, **given.pop("training", {})})
    given = {"training": training, "backend": "torch", "cache": None, **given}
    return BertEmbedder(tiny_bert, random_state=0, n_threads=1, **given)


def cosines(embedder):
    left, right = embedder.transform(LEFT), embedder.transform(RIGHT)
    left, right = (v / np.linalg.norm(v, axis=1, keepdims=True) for v in (left, right))
    return left @ right.T


def test_pairs_find_their_partner(tiny_bert):
    embedder = learner(tiny_bert)
    frozen = BertEmbedder(tiny_bert, backend="torch").fit(LEFT)
    embedder.fit_pairs(LEFT, RIGHT)
    before, after = (
        (cosines(item).argmax(axis=1) == np.arange(6)).sum() for item in (frozen, embedder)
    )
    assert after >= before + 2
    again = pickle.loads(pickle.dumps(embedder))
    np.testing.assert_array_equal(again.transform(LEFT), embedder.transform(LEFT))
    assert embedder.n_features_in_ == 1
    assert embedder.training_history_["epochs"][-1]["epoch"] == 60


def test_scored_pairs_learn_the_order(tiny_bert):
    similarity = np.array([0.0, 5, 1, 4, 2, 3])
    embedder = learner(tiny_bert).fit_pairs(LEFT, pd.Series(RIGHT), similarity)
    assert spearmanr(np.diag(cosines(embedder)), similarity).statistic > 0.7


@pytest.mark.parametrize("trainable", ["head", "last:1", "lora"])
def test_every_part_learns_from_pairs(tiny_bert, trainable):
    training = {"trainable": trainable, "epochs": 30, "learning_rate": 1e-2}
    embedder = learner(tiny_bert, training=training).fit_pairs(LEFT, RIGHT)
    epochs = embedder.training_history_["epochs"]
    assert epochs[-1]["loss"] < epochs[0]["loss"]


def test_without_training_the_defaults_are_used(tiny_bert):
    embedder = BertEmbedder(tiny_bert, backend="torch", random_state=0).fit_pairs(LEFT, RIGHT)
    assert embedder.training is None
    assert embedder.fingerprint_ != clone(embedder).fit(LEFT).fingerprint_


def test_images_learn_from_pairs():
    random = np.random.default_rng(0)
    rows = [random.integers(0, 255, (32, 32, 3), dtype=np.uint8) for _ in range(8)]
    training = Training(trainable="all", epochs=2)
    embedder = CNNImageEmbedder(
        "resnet-small-32", pretrained=False, random_state=0, training=training, backend="torch"
    )
    assert embedder.fit_pairs(rows[:4], rows[4:]).transform(rows).shape[0] == 8


def test_a_pair_with_a_bad_row_is_left_out(tiny_bert):
    expected = learner(tiny_bert).fit_pairs(LEFT[1:], RIGHT[1:])
    embedder = learner(tiny_bert, bad_rows="zero")
    embedder.fit_pairs([None, *LEFT[1:]], RIGHT)
    assert embedder._network.learned == expected._network.learned
    with pytest.raises(BadRowsError, match="row 2 of column 'right'"):
        learner(tiny_bert).fit_pairs(LEFT, [*RIGHT[:2], None, *RIGHT[3:]])


@pytest.mark.parametrize(
    ("left", "right", "similarity", "message"),
    [
        (LEFT, RIGHT[:-1], None, "left has 6 rows and right has 5"),
        (LEFT, RIGHT, [1, 2], r"left has 6 rows and similarity has the shape \(2,\)"),
        (LEFT, RIGHT, [1.0] * 6, "similarity has the same value for all pairs"),
        (LEFT, RIGHT, [np.nan, *range(5)], "similarity holds NaN or infinite values"),
        (LEFT, RIGHT, ["much"] * 6, "similarity must hold numbers; got"),
        (LEFT[:1], RIGHT[:1], None, "compares pairs, and got 1 that can be used"),
        (pd.DataFrame({"a": LEFT, "b": RIGHT}), RIGHT, None, "left and right must be one column"),
    ],
)
def test_pairs_that_cannot_be_used(tiny_bert, left, right, similarity, message):
    embedder = learner(tiny_bert)
    with pytest.raises(ValueError, match=message):
        embedder.fit_pairs(left, right, similarity)
    assert not embedder.__sklearn_is_fitted__()
