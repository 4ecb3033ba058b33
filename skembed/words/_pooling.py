"""From the vectors of a row's words to the vector of the row.

A pooling is an entry of `POOLINGS`: word weights, a divisor, common components to remove.
`fit_pooling` learns the weights and components from the rows. Imports `base`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from skembed.base._bags import weighted_means

_SIF_A = 1e-3  # Arora et al. recommend 1e-3 to 1e-4


class _WordCounts(NamedTuple):
    """Counts that weights are computed from. The arrays end in a 0 for words never seen."""

    words: np.ndarray  # (n_words + 1,) occurrences of each word
    rows: np.ndarray | None  # (n_words + 1,) rows with each word; only for `needs_row_counts`
    n_rows: int

    @property
    def probabilities(self):
        """Probability of each word, (n_words + 1,)."""
        return self.words / max(self.words.sum(), 1)


def _inverse_document_frequency(counts):
    return np.log((1 + counts.n_rows) / (1 + counts.rows)) + 1


def _smooth_inverse_frequency(counts):
    return _SIF_A / (_SIF_A + counts.probabilities)


def _unsupervised_smooth_inverse_frequency(counts):
    """Weights of Ethayarajh 2018, a / (a / 2 + p).

    With a = (1 - alpha) / (alpha * n_words / 2), where alpha is the share of words that are more
    likely than not to occur in a row. The fraction is expanded, so that alpha = 0 gives 2 rather
    than a division by zero.
    """
    p, n_words = counts.probabilities, len(counts.words) - 1
    mean_length = max(counts.words.sum() / max(counts.n_rows, 1), 1)
    alpha = (p[:-1] > 1 - (1 - 1 / n_words) ** mean_length).mean()
    return 1 / (0.5 + p * alpha * n_words / 2 / (1 - alpha))


class _PoolingMethod(NamedTuple):
    """Entry of `POOLINGS`."""

    word_weights: Callable | None = None  # _WordCounts -> weights (n_words + 1,)
    needs_row_counts: bool = False  # whether `word_weights` reads `_WordCounts.rows`
    divisor: str | None = "words"  # what the sum is divided by: None, "words" or "weights"
    reductions: tuple = ()  # ufuncs over the vectors of a row's words, in place of the sum
    n_components: int = 0  # common components to remove


POOLINGS = {
    "mean": _PoolingMethod(),
    "sum": _PoolingMethod(divisor=None),
    "max": _PoolingMethod(reductions=(np.maximum,)),
    "min_max": _PoolingMethod(reductions=(np.minimum, np.maximum)),
    "tfidf": _PoolingMethod(_inverse_document_frequency, needs_row_counts=True, divisor="weights"),
    "sif": _PoolingMethod(_smooth_inverse_frequency, n_components=1),
    "usif": _PoolingMethod(_unsupervised_smooth_inverse_frequency, n_components=5),
}


@dataclass(frozen=True, eq=False)
class Pooling:
    """A fitted pooling.

    Parameters
    ----------
    name : str
        Key of `POOLINGS`.
    weights : ndarray of shape (n_words + 1,), float32, or None
        Weight of each word; the last is the weight of words outside the vocabulary.
    components : ndarray of shape (n_components, n_dims), float32, or None
        Common directions to remove, each of unit length.
    strengths : ndarray of shape (n_components,), float32, or None
        Share of each component that is removed, in [0, 1].
    """

    name: str
    weights: np.ndarray | None = None
    components: np.ndarray | None = None
    strengths: np.ndarray | None = None

    @property
    def n_parts(self):
        """Length of a row's vector, as a multiple of a word vector's."""
        return max(len(POOLINGS[self.name].reductions), 1)

    def check(self, n_words, n_dims):
        """Raise a ValueError if the pooling was not fitted on vectors of this shape."""
        weights, components = self.weights, self.components
        if (weights is not None and weights.shape != (n_words + 1,)) or (
            components is not None
            and (components.shape[1:] != (n_dims,) or len(components) != len(self.strengths))
        ):
            raise ValueError(
                f"The pooling {self.name!r} was not fitted on {n_words} words of {n_dims} "
                "dimensions. Fit the embedder again."
            )

    def pool(self, bag):
        """Pool words into rows.

        Parameters
        ----------
        bag : Bag
            The words of the rows. Modified in place.

        Returns
        -------
        vectors : ndarray of shape (n_rows, n_dims * n_parts), float32
            Zeros for a row without words.
        known : ndarray of shape (n_rows,), bool
            Whether a row has words.
        """
        known = np.diff(bag.counts.indptr) > 0
        if POOLINGS[self.name].reductions:
            return self._reduce(bag, known), known
        vectors = weighted_means(bag, self.weights, POOLINGS[self.name].divisor)
        if self.components is not None:
            # The projection on each component is removed in proportion to its strength.
            vectors -= (vectors @ self.components.T * self.strengths) @ self.components
        return vectors, known

    def _reduce(self, bag, known):
        counts, n_dims = bag.counts, bag.vectors.shape[1]
        counts.sum_duplicates()  # repeated words change neither a minimum nor a maximum
        vectors = np.zeros((len(known), n_dims * self.n_parts), dtype=np.float32)
        if known.any():
            word_vectors = bag.vectors[counts.indices]
            # `reduceat` cannot reduce an empty segment. Without the rows that have no words, each
            # segment ends where the next one starts.
            starts = counts.indptr[:-1][known]
            parts = [
                ufunc.reduceat(word_vectors, starts, axis=0)
                for ufunc in POOLINGS[self.name].reductions
            ]
            vectors[known] = np.concatenate(parts, axis=1)
        return vectors


def is_learned(name):
    """Tell whether a pooling learns from the rows of `fit`.

    Examples
    --------
    >>> is_learned("mean"), is_learned("sif")
    (False, True)
    """
    return POOLINGS[name].word_weights is not None


def fit_pooling(name, bags, n_words, n_dims):
    """Fit a pooling on rows.

    Parameters
    ----------
    name : str
        Key of `POOLINGS`.
    bags : callable
        Takes no arguments and returns an iterable of `Bag`, which together hold all rows. It is
        called twice at most, and may return the same bags again.
    n_words : int
        Size of the vocabulary.
    n_dims : int
        Length of a word's vector.

    Returns
    -------
    pooling : Pooling
    """
    method = POOLINGS[name]
    if method.word_weights is None:
        return Pooling(name)
    counts = _count_words(bags(), n_words, method.needs_row_counts)
    pooling = Pooling(name, method.word_weights(counts).astype(np.float32))
    if not method.n_components:
        return pooling
    # The right singular vectors of the matrix of all rows are the eigenvectors of the sum of the
    # rows' outer products. That sum has a fixed size and is added up bag by bag.
    products = np.zeros((n_dims, n_dims))
    for bag in bags():
        vectors = pooling.pool(bag)[0].astype(np.float64)
        products += vectors.T @ vectors
    squares, directions = np.linalg.eigh(products)  # in ascending order
    squares = np.maximum(squares[::-1][: method.n_components], 0)
    strengths = squares / max(squares.sum(), np.finfo(float).tiny)
    components = directions.T[::-1][: method.n_components]
    return Pooling(
        name, pooling.weights, components.astype(np.float32), strengths.astype(np.float32)
    )


def _count_words(bags, n_words, with_rows):
    words, rows = np.zeros((2, n_words + 1), dtype=np.int64)
    n_rows = 0
    for bag in bags:
        words += _count_entries(bag, n_words)
        n_rows += bag.counts.shape[0]
        if with_rows:
            bag.counts.sum_duplicates()  # one entry for each row that has the word
            rows += _count_entries(bag, n_words)
    return _WordCounts(words, rows if with_rows else None, n_rows)


def _count_entries(bag, n_words):
    """Count the entries of each word; words outside the vocabulary are ignored."""
    indices = bag.counts.indices
    if bag.ids is not None:
        indices = bag.ids[indices]
        indices = indices[indices >= 0]
    return np.bincount(indices, minlength=n_words + 1)
