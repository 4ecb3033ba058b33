"""Seeds from `random_state`."""

import numpy as np
import pytest

from skembed.base._seeds import seed_of


@pytest.mark.parametrize("value", [0, 7, 2**32 - 1, np.int64(7), np.uint32(2**32 - 1)])
def test_an_int_is_the_seed(value):
    """Of Python's type, which torch and gensim take."""
    assert seed_of(value) == int(value)
    assert type(seed_of(value)) is int


def test_a_generator_is_advanced():
    random = np.random.RandomState(0)
    seeds = [seed_of(random), seed_of(random)]
    again = np.random.RandomState(0)
    assert seeds == [seed_of(again), seed_of(again)]
    assert seeds[0] != seeds[1]
    assert all(type(seed) is int and 0 <= seed < 2**31 for seed in seeds)


def test_none_is_numpys_global_generator():
    before = np.random.get_state()
    try:
        np.random.seed(0)
        seed = seed_of(None)
    finally:
        np.random.set_state(before)
    assert seed == seed_of(np.random.RandomState(0))
