"""GloVe: from words to weighted counts of pairs, and from these to vectors."""

from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from skembed.base._optional import import_optional

_BLOCK = 1 << 20  # pairs between two moments at which an interrupt is noticed


def _kernels():
    """Return `_glove_kernels`; numba is an optional dependency."""
    import_optional("numba", extra="glove", purpose="Training GloVe")
    from skembed.words import _glove_kernels

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


def _check_bounds(numbers, least, n_words):
    """Raise a ValueError for numbers that are not of words: compiled loops do not look at them."""
    if len(numbers) and not least <= numbers.min() <= numbers.max() < n_words:
        raise ValueError(f"Numbers of words must be in [{least}, {n_words}).")


def frequent_words(words, min_count):
    """Choose the words that occur often enough.

    Parameters
    ----------
    words : NumberedWords
        The words of each row.
    min_count : int
        How often a word must occur.

    Returns
    -------
    frequent : list of n_frequent str
        Those words, the most frequent first.
    ids : ndarray of shape (n_words,), int32
        Which of them the words of all rows are; -1 for others.

    Examples
    --------
    >>> from skembed.words._tokenize import number_words
    >>> frequent, ids = frequent_words(number_words([["a", "b"], ["b", "c", "b", "c"]]), 2)
    >>> frequent, ids.tolist()
    (['b', 'c'], [-1, 0, 0, 1, 0, 1])
    """
    counts = words.counts()
    order = np.argsort(-counts, kind="stable")
    order = order[counts[order] >= min_count]
    numbers = np.full(len(counts), -1, dtype=np.int32)
    numbers[order] = np.arange(len(order))
    return [words.distinct[i] for i in order], numbers[words.ids]


def count_pairs(ids, starts, n_words, window):
    """Count pairs of words at most `window` words apart in a row, words left out not counting.

    Parameters
    ----------
    ids : ndarray of shape (n_words_of_rows,), int32
        Numbers of all rows' words, one row after the other; -1 for a word that is left out.
    starts : ndarray of shape (n_rows + 1,), int64
        Row i has ``ids[starts[i]:starts[i + 1]]``.
    n_words : int
        How many distinct words there are.
    window : int
        The greatest distance.

    Returns
    -------
    pairs : Pairs

    Examples
    --------
    >>> pairs = count_pairs(np.array([0, 1, -1, 0]), np.array([0, 4]), n_words=2, window=2)
    >>> [array.tolist() for array in pairs]
    [[0, 0, 1], [1, 0, 0], [2.0, 1.0, 2.0]]
    """
    count_neighbors = _kernels().count_neighbors
    _check_bounds(ids, -1, n_words)
    known = np.flatnonzero(ids >= 0)
    row_of = np.searchsorted(starts, known, side="right")
    sequence = np.full(len(known) + len(starts), -1, dtype=np.int32)
    sequence[np.arange(len(known)) + row_of] = ids[known]

    positions = np.argsort(sequence, kind="stable")[len(starts) :]
    firsts = np.zeros(n_words + 1, dtype=np.int64)
    np.cumsum(np.bincount(ids[known], minlength=n_words), out=firsts[1:])
    weights = np.concatenate([[0], 1 / np.arange(1, window + 1)])
    places = np.zeros(n_words + 1, dtype=np.int64)  # of each word's neighbors among all pairs
    columns, counts = np.empty(0, dtype=np.int32), np.empty(0, dtype=np.float32)
    given = (sequence, positions, firsts, weights, places)
    count_neighbors(*given, columns, counts)
    n_neighbors = places[1:].copy()
    np.cumsum(places, out=places)
    if places[-1]:
        columns, counts = np.empty(places[-1], np.int32), np.empty(places[-1], np.float32)
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
        for numbers in (pairs.rows, pairs.columns):
            _check_bounds(numbers, 0, len(self._words))
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
