"""Windows: every sample in one, the same ones every time."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skembed.audio._windows import padded, repeated, windows_of


@given(st.integers(1, 200), st.integers(1, 60), st.data())
def test_each_sample_is_in_a_window(n_samples, size, data):
    """The first windows are whole; the last one is the first that reaches the end."""
    hop = data.draw(st.integers(1, size))
    samples = np.arange(n_samples)
    windows = windows_of(samples, size, hop)
    assert set(np.concatenate(windows)) == set(range(n_samples))
    for i, window in enumerate(windows):
        assert window[0] == i * hop
        assert len(window) == size or i == len(windows) - 1
    assert all(window[-1] < n_samples - 1 for window in windows[:-1])


@pytest.mark.parametrize(("n_samples", "n_windows"), [(1, 1), (10, 1), (11, 2), (20, 2), (21, 3)])
def test_how_many(n_samples, n_windows):
    assert len(windows_of(np.zeros(n_samples), 10, 10)) == n_windows


def test_padding():
    sound = np.float32([1, 2, 3])
    assert padded(sound, 7).tolist() == [1, 2, 3, 0, 0, 0, 0]
    assert repeated(sound, 7).tolist() == [1, 2, 3, 1, 2, 3, 0]
    for fill in (padded, repeated):
        assert fill(sound, 3).tolist() == [1, 2, 3]
        assert fill(sound, 7).dtype == np.float32
