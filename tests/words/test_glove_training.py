"""GloVe's counts and steps against loops written from the paper."""

import re
from collections import defaultdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skembed import GloVeVectorizer
from skembed.words._glove_training import GloVeModel, Pairs, count_pairs
from skembed.words._tokenize import word_ids


def counted(words, vocabulary, window):
    """Count pairs in a loop: {(word, word): sum of 1 / distance}."""
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
    """Train in a loop over pairs in float64, with the same draws; return vectors and losses."""
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


def test_indices_out_of_bounds_do_not_reach_compiled_loops():
    with pytest.raises(ValueError, match=re.escape("Indices of words must be in [-1, 2)")):
        count_pairs(np.array([0, 2]), np.array([0, 2]), n_words=2, window=2)
    pairs = Pairs(np.array([0]), np.array([5]), np.ones(1, dtype=np.float32))
    model = GloVeModel(2, 3, np.random.default_rng(0))
    settings = {"epochs": 1, "x_max": 10, "power": 1, "learning_rate": 0.1, "n_threads": 1}
    with pytest.raises(ValueError, match=re.escape("Indices of words must be in [0, 2)")):
        next(model.train(pairs, **settings, random=np.random.default_rng(0)))


def test_more_threads_than_pairs():
    embedder = GloVeVectorizer(4, min_count=1, epochs=2, n_jobs=5, random_state=0)
    assert np.isfinite(embedder.fit(["cat dog"]).loss_curve_).all()
