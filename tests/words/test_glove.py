"""GloVeVectorizer: its counts and its steps against loops written from the paper."""

import builtins
import re
import sys
from collections import defaultdict

import numpy as np
import pytest
from gensim.test.utils import datapath
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import clone

from skembed import GloVeVectorizer
from skembed.exceptions import MissingDependencyError
from skembed.words._glove_training import Model, Pairs, count_pairs
from skembed.words._tokenize import word_ids


@pytest.fixture(scope="module")
def news():
    """200 short news texts (of the Lee background corpus, which gensim ships)."""
    with open(datapath("lee_background.cor"), encoding="utf-8") as file:
        return file.read().splitlines()[:200]


def counted(words, vocabulary, window):
    """Count pairs by a loop: {(word, word): sum of 1 / distance}."""
    counts = defaultdict(float)
    for row in words:
        known = [vocabulary[word] for word in row if word in vocabulary]
        for i, a in enumerate(known):
            for distance, b in enumerate(known[i + 1 : i + 1 + window], 1):
                counts[a, b] += 1 / distance
                counts[b, a] += 1 / distance
    return counts


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.lists(st.sampled_from("abcdef"), max_size=9), min_size=1, max_size=6),
    st.integers(1, 4),
)
def test_counts_against_a_loop(words, window):
    vocabulary = {"a": 0, "b": 1, "d": 2, "never": 3}
    pairs = count_pairs(*word_ids(words, vocabulary), len(vocabulary), window)
    expected = counted(words, vocabulary, window)
    keys = list(zip(pairs.rows.tolist(), pairs.columns.tolist(), strict=True))
    assert sorted(keys) == sorted(expected)
    np.testing.assert_allclose(pairs.counts, [expected[key] for key in keys], rtol=1e-6)


def trained(words, *, vector_size, window, epochs, x_max, power, rate, seed):
    """Train by a loop over pairs in float64, with the same draws; return vectors and losses."""
    vocabulary = {}
    counts = defaultdict(int)
    for row in words:
        for word in row:
            counts[word] += 1
    for word in sorted(counts, key=counts.get, reverse=True):
        vocabulary[word] = len(vocabulary)
    pairs = count_pairs(*word_ids(words, vocabulary), len(vocabulary), window)
    random = np.random.default_rng(seed)
    n = len(vocabulary)
    W, C = ((random.random((n, vector_size)) - 0.5) / vector_size for _ in range(2))
    biases = (random.random((2, n)) - 0.5) / vector_size
    squares_W, squares_C, squares_b = np.ones_like(W), np.ones_like(C), np.ones_like(biases)
    order = random.permutation(len(pairs.rows))
    losses = []
    for _ in range(epochs):
        loss = 0
        for i, j, x in zip(*(array[order] for array in pairs), strict=True):
            error = W[i] @ C[j] + biases[0, i] + biases[1, j] - np.log(x)
            weighted = min(1, (x / x_max) ** power) * error
            loss += weighted * error / 2
            step_W, step_C = rate * weighted * C[j], rate * weighted * W[i]
            W[i] -= step_W / np.sqrt(squares_W[i])
            C[j] -= step_C / np.sqrt(squares_C[j])
            squares_W[i] += step_W**2
            squares_C[j] += step_C**2
            for side, k in ((0, i), (1, j)):
                biases[side, k] -= weighted / np.sqrt(squares_b[side, k])
                squares_b[side, k] += weighted**2
        losses.append(loss / len(order))
    return vocabulary, W + C, losses


def test_training_against_a_loop():
    random = np.random.default_rng(0)
    words = [random.choice([*"abcdefgh"], 12, p=np.arange(1, 9) / 36).tolist() for _ in range(9)]
    settings = {"vector_size": 5, "window": 3, "epochs": 4, "x_max": 6, "power": 0.5}
    embedder = GloVeVectorizer(**settings, min_count=1, learning_rate=0.1, random_state=2)
    vocabulary, vectors, losses = trained(words, **settings, rate=0.1, seed=2)
    embedder.fit(words)
    assert embedder.vocabulary_ == vocabulary
    np.testing.assert_allclose(embedder.loss_curve_, losses, rtol=1e-4)
    np.testing.assert_allclose(embedder.vectors_, vectors, atol=1e-4)


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


def test_numbers_that_are_of_no_words_do_not_reach_compiled_loops():
    with pytest.raises(ValueError, match=re.escape("Numbers of words must be in [-1, 2)")):
        count_pairs(np.array([0, 2]), np.array([0, 2]), n_words=2, window=2)
    pairs = Pairs(np.array([0]), np.array([5]), np.ones(1, dtype=np.float32))
    model = Model(2, 3, np.random.default_rng(0))
    settings = {"epochs": 1, "x_max": 10, "power": 1, "rate": 0.1, "n_threads": 1}
    with pytest.raises(ValueError, match=re.escape("Numbers of words must be in [0, 2)")):
        next(model.train(pairs, **settings, random=np.random.default_rng(0)))


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
            "no two words that occur min_count=1 times or more stand together",
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


def test_a_file_system_that_cannot_be_written(monkeypatch):
    """Numba refuses to compile for its cache where there is no place for that."""
    from numba.core.caching import CacheImpl

    from skembed.words import _glove_kernels

    monkeypatch.setattr(CacheImpl, "_locator_classes", [])
    increased = _glove_kernels._compiled()(lambda x: x + 1)
    assert increased(1) == 2


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
