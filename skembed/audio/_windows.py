"""A waveform in windows of one length: the same ones every time."""

import numpy as np


def windows_of(samples, size, hop):
    """Cut a waveform into windows, of which the last one may be shorter.

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
    windows : list of ndarray of shape (up to size,)
        Views of `samples`. Each sample is in one of them.

    Examples
    --------
    >>> [window.tolist() for window in windows_of(np.arange(7), size=4, hop=2)]
    [[0, 1, 2, 3], [2, 3, 4, 5], [4, 5, 6]]
    """
    n_more = max(0, -(-(len(samples) - size) // hop))
    return [samples[i * hop : i * hop + size] for i in range(n_more + 1)]


def filled(samples, size):
    """Fill a waveform up with zeros."""
    missing = size - len(samples)
    return np.pad(samples, (0, missing)) if missing > 0 else samples


def repeated(samples, size):
    """Repeat a waveform as often as it fits as a whole, then fill it up with zeros."""
    return filled(np.tile(samples, max(1, size // len(samples))), size)
