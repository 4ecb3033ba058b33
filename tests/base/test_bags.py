"""Bags of tokens and their means, against a loop over rows."""

import numpy as np
import pytest

from skembed.base._bags import bag_of, weighted_means

VECTORS = np.random.default_rng(0).standard_normal((7, 3)).astype(np.float32)
ROWS = [[0, 1, 1], [], [-1], [6, -1, 2, 6], [3]]
IDS = np.array([i for row in ROWS for i in row], dtype=np.int32)
STARTS = np.cumsum([0, *map(len, ROWS)])
WEIGHTS = np.linspace(0.5, 2, 8, dtype=np.float32)


def mean(row, weights, divisor):
    row = [i for i in row if i >= 0]
    if not row:
        return np.zeros(3)
    total = sum(weights[i] * VECTORS[i] for i in row)
    return total / {"words": len(row), "weights": sum(weights[i] for i in row), None: 1}[divisor]


@pytest.mark.parametrize("divisor", ["words", "weights", None])
@pytest.mark.parametrize("weights", [None, WEIGHTS])
def test_means_equal_a_loop_over_rows(weights, divisor):
    expected = [mean(row, np.ones(8) if weights is None else weights, divisor) for row in ROWS]
    means = weighted_means(bag_of(IDS, STARTS, VECTORS), weights, divisor)
    assert means.dtype == np.float32
    np.testing.assert_allclose(means, expected, atol=1e-6)


def test_words_without_a_vector_have_no_entry():
    assert np.diff(bag_of(IDS, STARTS, VECTORS).counts.indptr).tolist() == [3, 0, 0, 3, 1]


def test_columns_of_words_outside_the_vocabulary_take_the_last_weight():
    columns = np.array([2, -1, 0, 1, 3, 4, 5])
    bag = bag_of(np.array([1, 0]), np.array([0, 2]), VECTORS, columns)
    sums = weighted_means(bag, WEIGHTS, None)
    np.testing.assert_allclose(sums[0], WEIGHTS[7] * VECTORS[1] + WEIGHTS[2] * VECTORS[0], 1e-6)
