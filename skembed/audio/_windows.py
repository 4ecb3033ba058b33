"""Cut waveforms into windows, and pad them."""

import numpy as np


def windows_of(samples, size, hop):
    """Cut a waveform into windows; the last one may be shorter.

    Parameters
    ----------
    samples : ndarray of shape (n_samples,), float32
        The waveform.
    size : int
        Length of a window, in samples.
    hop : int
        Distance between the starts of consecutive windows, in samples.

    Returns
    -------
    windows : list of ndarray of shape (up to size,)
        Views of `samples`. Each sample is in at least one window if ``hop <= size``.

    Examples
    --------
    >>> [window.tolist() for window in windows_of(np.arange(7), size=4, hop=2)]
    [[0, 1, 2, 3], [2, 3, 4, 5], [4, 5, 6]]
    """
    # Windows after the first one; ceiling division, so that the rest gets a window of its own.
    n_more = max(0, -(-(len(samples) - size) // hop))
    return [samples[i * hop : i * hop + size] for i in range(n_more + 1)]


def padded(samples, size):
    """Pad a waveform with zeros to `size` samples."""
    missing = size - len(samples)
    return np.pad(samples, (0, missing)) if missing > 0 else samples


def repeated(samples, size):
    """Repeat a whole waveform as often as it fits into `size` samples, then pad it with zeros."""
    return padded(np.tile(samples, max(1, size // len(samples))), size)
