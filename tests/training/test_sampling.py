"""Batches of an epoch: every row once, few shapes a batch, several rows of each class."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from skembed.training._sampling import epoch_batches

SIZES = st.integers(2, 40)


@given(st.lists(st.integers(1, 9), min_size=1, max_size=200), SIZES, st.integers(0, 99))
def test_each_row_is_in_one_batch(lengths, size, seed):
    batches = epoch_batches(np.array(lengths), None, size, np.random.default_rng(seed))
    assert sorted(np.concatenate(batches).tolist()) == list(range(len(lengths)))
    assert max(map(len, batches)) <= size + 1


@given(st.integers(2, 700), SIZES)
def test_no_row_is_alone_in_a_batch(n_rows, size):
    batches = epoch_batches(np.ones(n_rows), None, size, np.random.default_rng(0))
    assert min(map(len, batches)) >= 2
    assert sum(len(batch) > size for batch in batches) <= 1


def test_batches_hold_few_lengths():
    lengths = np.random.default_rng(0).integers(1, 65, size=1000)
    batches = epoch_batches(lengths, None, 32, np.random.default_rng(1))
    assert np.mean([len(set(lengths[batch])) for batch in batches]) < 8


@given(st.lists(st.integers(2, 9), min_size=2, max_size=12), SIZES, st.integers(0, 99))
def test_batches_hold_pairs_of_each_class(counts, size, seed):
    classes = np.repeat(np.arange(len(counts)), counts)
    for batch in epoch_batches(classes, classes, size, np.random.default_rng(seed)):
        assert len(set(batch.tolist())) == len(batch)
        found = np.bincount(classes[batch])
        assert (found > 0).sum() >= 2
        assert found[found > 0].min() >= 1


def test_a_seed_names_the_batches():
    lengths = np.arange(100)
    one, two, other = (
        epoch_batches(lengths, None, 8, np.random.default_rng(seed)) for seed in (0, 0, 1)
    )
    assert all(np.array_equal(a, b) for a, b in zip(one, two, strict=True))
    assert not all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))
