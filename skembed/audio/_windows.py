"""A waveform in windows of one length: the same ones every time."""

import numpy as np


def windows_of(samples, size, hop):
    """Cut a waveform into windows, the last one filled up with zeros.

    Parameters
    ----------
    samples : ndarray of shape (n_samples,), float32
        The waveform.
    size : int
        Of a window, in samples.
    hop : int
        From one window's start to the next one's, in samples.

    Returns
    -------
    windows : list of ndarray of shape (size,)
        A waveform that is not longer than `size` is the only window, as it is.
    counts : list of int
        Samples of the waveform in each.

    Examples
    --------
    >>> windows, counts = windows_of(np.arange(1.0, 8.0), size=4, hop=2)
    >>> [window.tolist() for window in windows]
    [[1.0, 2.0, 3.0, 4.0], [3.0, 4.0, 5.0, 6.0], [5.0, 6.0, 7.0, 0.0]]
    >>> counts
    [4, 4, 3]
    """
    if len(samples) <= size:
        return [samples], [len(samples)]
    n_windows = 1 + -(-(len(samples) - size) // hop)
    parts = [samples[i * hop : i * hop + size] for i in range(n_windows)]
    return [filled(part, size) for part in parts], [len(part) for part in parts]


def filled(samples, size):
    """Fill a waveform up with zeros."""
    missing = size - len(samples)
    return np.pad(samples, (0, missing)) if missing > 0 else samples


def repeated(samples, size):
    """Repeat a waveform as often as it fits as a whole, then fill it up with zeros."""
    return filled(np.tile(samples, max(1, size // len(samples))), size)
