"""Windows: the same every time, and no sample in none of them."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from skembed.audio._windows import filled, repeated, windows_of


@given(st.integers(1, 60), st.integers(1, 20), st.data())
def test_each_sample_is_in_a_window(n_samples, size, data):
    hop = data.draw(st.integers(1, size))
    samples = np.arange(n_samples)
    windows = windows_of(samples, size, hop)
    assert sorted(set(np.concatenate(windows))) == list(samples)
    assert all(len(window) == size for window in windows[:-1])
    assert 1 <= len(windows[-1]) <= size
    assert [window[0] for window in windows] == [i * hop for i in range(len(windows))]
    # None is only there for samples that the one before holds already.
    if len(windows) > 1:
        assert windows[-1][-1] > windows[-2][-1]


def test_short_windows_are_filled_up():
    samples = np.float32([1, 2, 3])
    assert filled(samples, 5).tolist() == [1, 2, 3, 0, 0]
    assert filled(samples, 2) is samples
    assert repeated(samples, 8).tolist() == [1, 2, 3, 1, 2, 3, 0, 0]
    assert repeated(samples, 3).tolist() == [1, 2, 3]
