"""GloVe: from words to weighted counts of pairs, and from these to vectors."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from itertools import chain, pairwise
from typing import NamedTuple

import numpy as np

from skembed._optional import import_optional
from skembed.text._words import word_ids

_BLOCK = 1 << 20  # pairs between two moments at which an interrupt is noticed


def _kernels():
    """Return `_glove_kernels`; numba is an optional dependency."""
    import_optional("numba", extra="glove", purpose="Training GloVe")
    from skembed.text import _glove_kernels

    return _glove_kernels


class Pairs(NamedTuple):
    """Words that stand together; each pair is there in both orders.

    Attributes
    ----------
    rows, columns : ndarray of shape (n_pairs,), int32
        The two words.
    counts : ndarray of shape (n_pairs,), float32
        How often, each time divided by the distance.
    """

    rows: np.ndarray
    columns: np.ndarray
    counts: np.ndarray


def frequent_words(words, min_count):
    """Return the words that occur `min_count` times, frequent ones first, and all words' counts.

    Examples
    --------
    >>> frequent_words([["a", "b"], ["b", "c", "b", "c"]], 2)
    (['b', 'c'], Counter({'b': 3, 'c': 2, 'a': 1}))
    """
    counts = Counter(chain.from_iterable(words))
    frequent = [word for word, count in counts.items() if count >= min_count]
    return sorted(frequent, key=counts.__getitem__, reverse=True), counts


def count_pairs(words, vocabulary, window):
    """Count pairs of words at most `window` words apart in a row, words left out not counting.

    Parameters
    ----------
    words : list of n_rows lists of str
        The words of each row.
    vocabulary : dict of str to int
        The numbers of the words that count.
    window : int
        The greatest distance.

    Returns
    -------
    pairs : Pairs

    Examples
    --------
    >>> pairs = count_pairs([["a", "b", "?", "a"]], {"a": 0, "b": 1}, window=2)
    >>> [array.tolist() for array in pairs]
    [[0, 0, 1], [1, 0, 0], [2.0, 1.0, 2.0]]
    """
    count_neighbors = _kernels().count_neighbors
    ids, starts = word_ids(words, vocabulary)
    known = np.flatnonzero(ids >= 0)
    row_of = np.searchsorted(starts, known, side="right")
    sequence = np.full(len(known) + len(words) + 1, -1, dtype=np.int32)
    sequence[np.arange(len(known)) + row_of] = ids[known]

    n_words = len(vocabulary)
    positions = np.argsort(sequence, kind="stable")[len(words) + 1 :]
    firsts = np.zeros(n_words + 1, dtype=np.int64)
    np.cumsum(np.bincount(ids[known], minlength=n_words), out=firsts[1:])
    weights = np.concatenate([[0], 1 / np.arange(1, window + 1)])
    starts = np.zeros(n_words + 1, dtype=np.int64)
    columns, counts = np.empty(0, dtype=np.int32), np.empty(0, dtype=np.float32)
    given = (sequence, positions, firsts, weights, starts)
    count_neighbors(*given, columns, counts)
    n_neighbors = starts[1:].copy()
    np.cumsum(starts, out=starts)
    if starts[-1]:
        columns, counts = np.empty(starts[-1], np.int32), np.empty(starts[-1], np.float32)
        count_neighbors(*given, columns, counts)
    return Pairs(np.repeat(np.arange(n_words, dtype=np.int32), n_neighbors), columns, counts)


class Model:
    """Vectors and biases of words and of contexts, as they are learned.

    Parameters
    ----------
    n_words, n_dims : int
        Shape of the vectors.
    random : numpy.random.Generator
        Draws the first values.
    """

    def __init__(self, n_words, n_dims, random):
        # With each value the sum of its squared steps, which starts at one; side by side, since
        # they are read together.
        self._words, self._contexts = np.ones((2, n_words, 2, n_dims), dtype=np.float32)
        self._biases = np.ones((2, n_words, 2), dtype=np.float32)
        for values in (self._words[:, 0], self._contexts[:, 0], self._biases[:, :, 0]):
            values[:] = (random.random(values.shape) - 0.5) / n_dims

    def start_from(self, numbers, vectors):
        """Set the vectors of some words."""
        self._words[numbers, 0] = self._contexts[numbers, 0] = vectors / 2

    @property
    def vectors(self):
        """Sums of the vectors of words and of contexts, (n_words, n_dims) float32."""
        return self._words[:, 0] + self._contexts[:, 0]

    def train(self, pairs, *, epochs, x_max, power, rate, n_threads, random):
        """Train; yield the mean loss of each epoch.

        Parameters
        ----------
        pairs : Pairs
            What to learn; put in random order once.
        epochs : int
            Passes over the pairs.
        x_max, power : float
            A pair counted x times weighs min(1, (x / x_max) ** power).
        rate : float
            Learning rate.
        n_threads : int
            Threads; with several, the result depends on how they take turns.
        random : numpy.random.Generator
            Draws the order.

        Yields
        ------
        loss : float
            Mean of half the weighted squared errors.
        """
        order = random.permutation(len(pairs.rows))
        rows, columns, counts = (array[order] for array in pairs)
        del order
        shares = np.minimum((counts / np.float32(x_max)) ** np.float32(power), np.float32(1))
        arrays = (rows, columns, np.log(counts), shares)
        state = (self._words, self._contexts, *self._biases, np.float32(rate))
        sweep = _kernels().sweep

        def part(bounds):
            start, stop = bounds
            blocks = [slice(i, min(i + _BLOCK, stop)) for i in range(start, stop, _BLOCK)]
            return sum(sweep(*(array[block] for array in arrays), *state) for block in blocks)

        cuts = np.linspace(0, len(rows), n_threads + 1).astype(int)
        parts = list(pairwise(cuts))
        for _ in range(epochs):
            if n_threads == 1:
                loss = part(parts[0])
            else:
                with ThreadPoolExecutor(n_threads) as threads:
                    loss = sum(threads.map(part, parts))
            yield loss / max(len(rows), 1)
