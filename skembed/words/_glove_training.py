"""GloVe: from words to weighted co-occurrence counts, and from counts to vectors."""

from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from skembed.base._batches import batches
from skembed.base._optional import import_optional

_BATCH_PAIRS = 1 << 20  # pairs per call of a compiled loop, which cannot be interrupted


def _kernels():
    """Return `_glove_kernels`; numba is an optional dependency."""
    import_optional("numba", extra="glove", purpose="Training GloVe")
    from skembed.words import _glove_kernels

    return _glove_kernels


class Pairs(NamedTuple):
    """Co-occurring words; each pair is included in both orders.

    Attributes
    ----------
    rows, columns : ndarray of shape (n_pairs,), int32
        Indices of the two words.
    counts : ndarray of shape (n_pairs,), float32
        Number of co-occurrences, each divided by the distance of the words.
    """

    rows: np.ndarray
    columns: np.ndarray
    counts: np.ndarray


def _check_bounds(indices, minimum, n_words):
    """Raise a ValueError for indices out of bounds, which compiled loops do not check."""
    if len(indices) and not minimum <= indices.min() <= indices.max() < n_words:
        raise ValueError(f"Indices of words must be in [{minimum}, {n_words}).")


def frequent_words(words, min_count):
    """Select the words that occur often enough.

    Parameters
    ----------
    words : NumberedWords
        The words of each row.
    min_count : int
        Minimum number of occurrences.

    Returns
    -------
    frequent : list of n_frequent str
        The selected words, most frequent first.
    ids : ndarray of shape (n_words,), int32
        Index in `frequent` of the words of all rows; -1 for other words.

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
    new_ids = np.full(len(counts), -1, dtype=np.int32)
    new_ids[order] = np.arange(len(order))
    return [words.distinct[i] for i in order], new_ids[words.ids]


def count_pairs(ids, starts, n_words, window):
    """Count pairs of words at most `window` words apart in a row, ignoring excluded words.

    Parameters
    ----------
    ids : ndarray of shape (n_words_of_rows,), int32
        Indices of the words of all rows, row by row; -1 for an excluded word.
    starts : ndarray of shape (n_rows + 1,), int64
        Row i has ``ids[starts[i]:starts[i + 1]]``.
    n_words : int
        Size of the vocabulary.
    window : int
        Maximum distance.

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
    sequence = _delimited(ids, starts)
    # A stable sort groups the positions by word; those of the delimiters, -1, come first.
    positions = np.argsort(sequence, kind="stable")[len(starts) :]
    firsts = np.zeros(n_words + 1, dtype=np.int64)
    np.cumsum(np.bincount(ids[ids >= 0], minlength=n_words), out=firsts[1:])
    distance_weights = np.concatenate([[0], 1 / np.arange(1, window + 1)])
    places = np.zeros(n_words + 1, dtype=np.int64)  # where each word's neighbors start
    inputs = (sequence, positions, firsts, distance_weights, places)
    columns, counts = np.empty(0, dtype=np.int32), np.empty(0, dtype=np.float32)
    count_neighbors(*inputs, columns, counts)
    n_neighbors = places[1:].copy()
    np.cumsum(places, out=places)
    if places[-1]:
        columns, counts = np.empty(places[-1], np.int32), np.empty(places[-1], np.float32)
        count_neighbors(*inputs, columns, counts)
    return Pairs(np.repeat(np.arange(n_words, dtype=np.int32), n_neighbors), columns, counts)


def _delimited(ids, starts):
    """Return the known words of all rows with -1 before the first row and after every row.

    Examples
    --------
    >>> _delimited(np.array([0, 1, -1, 0]), np.array([0, 3, 4]))
    array([-1,  0,  1, -1,  0, -1], dtype=int32)
    """
    known = np.flatnonzero(ids >= 0)
    n_delimiters_before = np.searchsorted(starts, known, side="right")
    sequence = np.full(len(known) + len(starts), -1, dtype=np.int32)
    sequence[np.arange(len(known)) + n_delimiters_before] = ids[known]
    return sequence


class GloVeModel:
    """Vectors and biases of words and contexts during training.

    Parameters
    ----------
    n_words, n_dims : int
        Shape of the vectors.
    random : numpy.random.Generator
        Draws the initial values.
    """

    def __init__(self, n_words, n_dims, random):
        # Beside each value lies the sum of its squared steps, which starts at one: the loops read
        # and write the two together.
        self._words, self._contexts = np.ones((2, n_words, 2, n_dims), dtype=np.float32)
        self._biases = np.ones((2, n_words, 2), dtype=np.float32)
        for values in (self._words[:, 0], self._contexts[:, 0], self._biases[:, :, 0]):
            values[:] = (random.random(values.shape) - 0.5) / n_dims

    def set_vectors(self, indices, vectors):
        """Set the vectors of some words; word and context get one half each."""
        self._words[indices, 0] = self._contexts[indices, 0] = vectors / 2

    @property
    def vectors(self):
        """Sums of the vectors of words and contexts, (n_words, n_dims) float32."""
        return self._words[:, 0] + self._contexts[:, 0]

    def train(self, pairs, *, epochs, x_max, power, learning_rate, n_threads, random):
        """Train; yield the mean loss of each epoch.

        Parameters
        ----------
        pairs : Pairs
            Training data, which is shuffled once.
        epochs : int
            Number of passes over the pairs.
        x_max, power : float
            A pair counted x times has the weight min(1, (x / x_max) ** power).
        learning_rate : float
            Learning rate of the vectors.
        n_threads : int
            Number of threads. With several, the result depends on their timing.
        random : numpy.random.Generator
            Shuffles the pairs.

        Yields
        ------
        loss : float
            Mean of half the weighted squared errors.
        """
        data = self._training_data(pairs, x_max, power, random)
        state = (self._words, self._contexts, *self._biases, np.float32(learning_rate))
        train_pairs = _kernels().train_pairs
        n_pairs = len(pairs.rows)

        def train_part(bounds):
            part = [array[slice(*bounds)] for array in data]
            return sum(
                train_pairs(*(array[batch] for array in part), *state)
                for batch in batches(len(part[0]), _BATCH_PAIRS)
            )

        # Threads update the same vectors without locks, as in the authors' program. Pairs that
        # share a word may overwrite each other's steps, which is rare enough to be harmless.
        parts = list(pairwise(np.linspace(0, n_pairs, n_threads + 1).astype(int)))
        for _ in range(epochs):
            if n_threads == 1:
                loss = train_part(parts[0])
            else:
                with ThreadPoolExecutor(n_threads) as threads:
                    loss = sum(threads.map(train_part, parts))
            yield loss / max(n_pairs, 1)

    def _training_data(self, pairs, x_max, power, random):
        """Return words, contexts, log counts and weights of the pairs, in random order."""
        for indices in (pairs.rows, pairs.columns):
            _check_bounds(indices, 0, len(self._words))
        order = random.permutation(len(pairs.rows))
        rows, columns, counts = (array[order] for array in pairs)
        weights = np.minimum((counts / np.float32(x_max)) ** np.float32(power), np.float32(1))
        return rows, columns, np.log(counts), weights
