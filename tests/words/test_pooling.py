"""Each pooling against a NumPy implementation of its paper."""

import numpy as np
import pytest
from scipy import sparse
from sklearn.feature_extraction.text import TfidfVectorizer

from skembed.base._bags import Bag
from skembed.words._pooling import POOLINGS, fit_pooling
from skembed.words._table import WordTable
from skembed.words._tokenize import word_ids

RANDOM = np.random.default_rng(0)
N_WORDS, N_DIMS = 30, 7
VOCABULARY = {f"w{i}": i for i in range(N_WORDS)}
VECTORS = RANDOM.standard_normal((N_WORDS, N_DIMS)).astype(np.float32)
# Zipf's frequencies; the last words occur nowhere, row 3 is empty.
_SHARES = 1 / np.arange(1, N_WORDS - 2)
IDS = [RANDOM.choice(N_WORDS - 3, n, p=_SHARES / _SHARES.sum()) for n in RANDOM.integers(1, 5, 50)]
IDS[3] = IDS[3][:0]
ROWS = [[f"w{i}" for i in row] for row in IDS]
TABLE = WordTable(VOCABULARY, VECTORS)


def bag(rows):
    return TABLE.bag(*word_ids(rows, VOCABULARY))


def pooled(name, rows=ROWS):
    def bags():
        return [bag(ROWS[:20]), bag(ROWS[20:])]

    pooling = fit_pooling(name, bags, N_WORDS, N_DIMS)
    return pooling.pool(bag(rows))


def probabilities():
    counts = np.bincount(np.concatenate(IDS), minlength=N_WORDS)
    return counts / counts.sum()


def without_components(sums, n_components):
    """Remove the first singular vectors, in proportion to their squared singular values."""
    _, values, directions = np.linalg.svd(sums, full_matrices=False)
    shares = values[:n_components] ** 2 / (values[:n_components] ** 2).sum()
    for share, direction in zip(shares, directions, strict=False):
        sums = sums - share * np.outer(sums @ direction, direction)
    return sums


def sif():
    """Arora et al. 2017, algorithm 1."""
    p = probabilities()
    sums = [sum(1e-3 / (1e-3 + p[i]) * VECTORS[i] for i in row) / max(len(row), 1) for row in IDS]
    sums[3] = np.zeros(N_DIMS)
    return without_components(np.array(sums), 1)


def usif():
    """Ethayarajh 2018, algorithm 1."""
    p = probabilities()
    n = np.mean([len(row) for row in IDS])
    alpha = np.mean(p > 1 - (1 - 1 / N_WORDS) ** n)
    a = (1 - alpha) / (alpha * N_WORDS / 2)
    sums = [sum(a / (a / 2 + p[i]) * VECTORS[i] for i in row) / max(len(row), 1) for row in IDS]
    sums[3] = np.zeros(N_DIMS)
    return without_components(np.array(sums), 5)


def tfidf():
    weigher = TfidfVectorizer(analyzer=lambda row: row, norm=None, vocabulary=VOCABULARY)
    weights = weigher.fit_transform(ROWS).toarray()
    return weights @ VECTORS / np.maximum(weights.sum(axis=1, keepdims=True), 1e-9)


def each(pool, n_dims=N_DIMS):
    return lambda: [pool(VECTORS[row]) if len(row) else np.zeros(n_dims) for row in IDS]


EXPECTED = {
    "mean": each(lambda words: words.mean(axis=0)),
    "sum": each(lambda words: words.sum(axis=0)),
    "max": each(lambda words: words.max(axis=0)),
    "min_max": each(lambda w: np.concatenate([w.min(axis=0), w.max(axis=0)]), 2 * N_DIMS),
    "tfidf": tfidf,
    "sif": sif,
    "usif": usif,
}


def test_every_pooling_has_a_reference():
    assert EXPECTED.keys() == POOLINGS.keys()


@pytest.mark.parametrize("name", POOLINGS)
def test_against_numpy(name):
    vectors, known = pooled(name)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(vectors, EXPECTED[name](), atol=2e-6)
    np.testing.assert_array_equal(known, [len(row) > 0 for row in IDS])


@pytest.mark.parametrize("name", POOLINGS)
def test_words_that_fit_has_not_seen(name):
    """They have the weight of the rarest words, and no row is NaN."""
    vectors, known = pooled(name, [["w29"], ["w29", "unknown"], ["unknown"], []])
    assert np.isfinite(vectors).all()
    np.testing.assert_array_equal(vectors[0], vectors[1])
    assert known.tolist() == [True, True, False, False]
    assert vectors[0].any()
    assert not vectors[2:].any()


@pytest.mark.parametrize("name", ["tfidf", "sif", "usif"])
def test_learning_from_no_rows(name):
    pooling = fit_pooling(name, list, N_WORDS, N_DIMS)
    vectors, _ = pooling.pool(bag(ROWS))
    assert np.isfinite(vectors).all()


@pytest.mark.parametrize("name", ["tfidf", "sif", "usif"])
def test_columns_may_be_some_of_the_words(name):
    """As in bags with columns for unknown words, which are not counted."""
    whole = bag(ROWS)
    seen, columns = np.unique(whole.counts.indices, return_inverse=True)
    order = np.random.default_rng(0).permutation(len(seen))
    places = np.empty_like(order)
    places[order] = np.arange(len(seen))
    parts = (np.ones(len(columns), dtype=np.float32), places[columns], whole.counts.indptr)
    counts = sparse.csr_matrix(parts, (len(ROWS), len(seen)))

    def some():
        return [Bag(counts.copy(), VECTORS[seen[order]], seen[order])]

    learned = fit_pooling(name, some, N_WORDS, N_DIMS)
    np.testing.assert_allclose(learned.pool(some()[0])[0], EXPECTED[name](), atol=2e-6)


def test_words_outside_the_vocabulary_weigh_as_unseen_ones():
    """They are columns of the bag without an index."""
    pooling = fit_pooling("sif", lambda: [bag(ROWS)], N_WORDS, N_DIMS)
    ones = sparse.csr_matrix(np.ones((1, 1), dtype=np.float32))
    outside = pooling.pool(Bag(ones, VECTORS[29:], np.array([-1])))[0]
    unseen = pooling.pool(bag([["w29"]]))[0]
    np.testing.assert_array_equal(outside, unseen)
