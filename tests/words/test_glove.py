"""GloVeVectorizer: training, pretrained vectors, messages."""

import builtins
import re
import sys

import numpy as np
import pytest
from sklearn.base import clone

from skembed import GloVeVectorizer
from skembed.exceptions import MissingDependencyError


@pytest.fixture(scope="module")
def news(news):
    return news[:200]


def test_the_loss_falls_and_neighbors_make_sense(news):
    embedder = GloVeVectorizer(20, epochs=10, random_state=0).fit(news)
    assert np.all(np.diff(embedder.loss_curve_) < 0)
    assert embedder.loss_curve_[-1] < embedder.loss_curve_[0] * 0.7
    assert len(embedder.loss_curve_) == 10
    assert embedder.vectors_.dtype == np.float32
    assert embedder.similarity("israeli", "palestinian") > embedder.similarity("israeli", "fire")


def test_the_same_seed_gives_the_same_bits(news):
    embedder = GloVeVectorizer(5, epochs=2, random_state=1)
    vectors = embedder.fit(news).vectors_
    np.testing.assert_array_equal(clone(embedder).fit(news).vectors_, vectors)
    assert not np.array_equal(embedder.set_params(random_state=2).fit(news).vectors_, vectors)


def test_several_threads_come_near_one(news):
    one = GloVeVectorizer(10, epochs=5, random_state=0).fit(news)
    two = GloVeVectorizer(10, epochs=5, random_state=0, n_jobs=2).fit(news)
    np.testing.assert_allclose(two.loss_curve_, one.loss_curve_, rtol=0.05)


def test_published_vectors_are_not_trained(word_file):
    embedder = GloVeVectorizer(vectors=word_file).fit(["the cat"])
    assert embedder.loss_curve_ is None
    assert embedder.vectors_.shape[1] == 5


def test_fine_tuning_starts_from_the_file(news, word_file):
    published = GloVeVectorizer(vectors=word_file).fit(["the cat"])
    embedder = GloVeVectorizer(
        vectors=word_file, fine_tune=True, epochs=1, learning_rate=1e-6, random_state=0
    ).fit(news)
    for word in ("the", "over", "café"):
        a, b = (e.vectors_[e.vocabulary_[word]] for e in (embedder, published))
        np.testing.assert_allclose(a, b, atol=1e-3)
    assert "café" in list(embedder.vocabulary_)[-15:]


@pytest.mark.parametrize(
    ("parameters", "X", "message"),
    [
        (
            {},
            ["the cat"],
            "empty vocabulary; no word occurs min_count=5 times",
        ),
        (
            {"min_count": 1},
            ["cat", "dog"],
            "no two words that occur min_count=1 times or more co-occur",
        ),
        (
            {"min_count": 1, "learning_rate": 1e30, "epochs": 9},
            ["cat dog cat dog bird cat"] * 9,
            "GloVeVectorizer: training diverged in epoch",
        ),
    ],
)
def test_messages_of_fit(parameters, X, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        GloVeVectorizer(**parameters).fit(X)


def test_without_numba_the_error_names_the_extra(news, monkeypatch):
    import_module = builtins.__import__
    monkeypatch.delitem(sys.modules, "numba", raising=False)

    def without_numba(name, *args):
        if name.partition(".")[0] == "numba":
            raise ImportError("No module named 'numba'")
        return import_module(name, *args)

    monkeypatch.setattr(builtins, "__import__", without_numba)
    monkeypatch.setitem(sys.modules, "numba", None)
    message = r"Training GloVe needs numba, .* pip install 'skembed\[glove\]'"
    with pytest.raises(MissingDependencyError, match=message):
        GloVeVectorizer(5).fit(news)


def test_verbose_shows_a_progress_bar(news, capsys):
    GloVeVectorizer(5, epochs=2, verbose=1, random_state=0).fit(news)
    assert "GloVeVectorizer: 100%" in capsys.readouterr().err


@pytest.mark.slow
def test_the_loss_on_novels_is_that_of_the_authors_program(shared_text):
    """Stanford's C program on the same words: 0.065169, 0.046966, 0.041970 (its seed 1)."""
    paths = sorted((shared_text / "novels").glob("*.txt"))
    texts = [path.read_text(encoding="utf-8", errors="replace") for path in paths]
    embedder = GloVeVectorizer(epochs=3, random_state=0).fit(texts)
    assert len(embedder.vocabulary_) == 19_585
    np.testing.assert_allclose(embedder.loss_curve_, [0.065169, 0.046966, 0.041970], rtol=0.02)
