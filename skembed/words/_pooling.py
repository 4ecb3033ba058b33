"""From the vectors of a row's words to the vector of the row.

A pooling is an entry of `POOLINGS`: how words are weighed, what the sum is divided by, which
common components are taken away. What that needs to know of the rows is learned in `learn`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

_SIF_A = 1e-3  # Arora et al. recommend 1e-3 to 1e-4


class Bag(NamedTuple):
    """The words of some rows.

    ``counts`` is a CSR matrix (n_rows, n_columns) of ones, with an entry for each word of a row, so
    that a word may have several; ``vectors`` (n_columns, n_dims) holds the columns' vectors. The
    columns are the vocabulary, or those words of it that ``ids`` (n_columns,) names, -1 meaning a
    word outside of it.
    """

    counts: object
    vectors: np.ndarray
    ids: np.ndarray | None = None


class _Statistics(NamedTuple):
    """What `learn` counts; the last entry of the arrays is 0 and stands for all other words."""

    words: np.ndarray  # (n_words + 1,) how often each word occurs
    rows: np.ndarray | None  # (n_words + 1,) in how many rows; counted where `by_rows`
    n_rows: int

    @property
    def shares(self):
        """Probability of each word, (n_words + 1,)."""
        return self.words / max(self.words.sum(), 1)


def _inverse_document_frequency(statistics):
    return np.log((1 + statistics.n_rows) / (1 + statistics.rows)) + 1


def _smooth_inverse_frequency(statistics):
    return _SIF_A / (_SIF_A + statistics.shares)


def _unsupervised_smooth_inverse_frequency(statistics):
    """Weights of Ethayarajh 2018, a / (a / 2 + p), written so that no common word gives 2."""
    shares, n_words = statistics.shares, len(statistics.words) - 1
    length = max(statistics.words.sum() / max(statistics.n_rows, 1), 1)
    common = (shares[:-1] > 1 - (1 - 1 / n_words) ** length).mean()
    return 1 / (0.5 + shares * common * n_words / 2 / (1 - common))


class _Method(NamedTuple):
    weigh: Callable | None = None  # _Statistics -> weights (n_words + 1,)
    by_rows: bool = False  # whether that asks in how many rows a word occurs
    divisor: str | None = "words"  # or "weights"
    extremes: tuple = ()  # ufuncs over a row's words, instead of a sum
    n_components: int = 0  # common components to take away


POOLINGS = {
    "mean": _Method(),
    "sum": _Method(divisor=None),
    "max": _Method(extremes=(np.maximum,)),
    "min_max": _Method(extremes=(np.minimum, np.maximum)),
    "tfidf": _Method(weigh=_inverse_document_frequency, by_rows=True, divisor="weights"),
    "sif": _Method(weigh=_smooth_inverse_frequency, n_components=1),
    "usif": _Method(weigh=_unsupervised_smooth_inverse_frequency, n_components=5),
}


@dataclass(frozen=True, eq=False)
class Pooling:
    """A pooling and what it has learned.

    Parameters
    ----------
    name : str
        Key of `POOLINGS`.
    weights : ndarray of shape (n_words + 1,), float32, or None
        Weight of each word; the last is that of any other word.
    components : ndarray of shape (n_components, n_dims), float32, or None
        Common directions, each of unit length.
    shares : ndarray of shape (n_components,), float32, or None
        How much of each is taken away, 0 to 1.
    """

    name: str
    weights: np.ndarray | None = None
    components: np.ndarray | None = None
    shares: np.ndarray | None = None

    @property
    def n_parts(self):
        """How many times longer a row's vector is than a word's."""
        return max(len(POOLINGS[self.name].extremes), 1)

    def check(self, n_words, n_dims):
        """Raise a ValueError if the pooling was not learned for vectors of this shape."""
        weights, components = self.weights, self.components
        if (weights is not None and weights.shape != (n_words + 1,)) or (
            components is not None
            and (components.shape[1:] != (n_dims,) or len(components) != len(self.shares))
        ):
            raise ValueError(
                f"The pooling {self.name!r} was not learned for {n_words} words of {n_dims} "
                "dimensions. Fit again."
            )

    def rows(self, bag):
        """Pool words into rows.

        Parameters
        ----------
        bag : Bag
            The words. It is changed.

        Returns
        -------
        vectors : ndarray of shape (n_rows, n_dims * n_parts), float32
            Zeros for a row without words.
        known : ndarray of shape (n_rows,), bool
            Whether a row has words.
        """
        known = np.diff(bag.counts.indptr) > 0
        if POOLINGS[self.name].extremes:
            return self._extremes(bag, known), known
        vectors = self._sums(bag)
        if self.components is not None:
            vectors -= (vectors @ self.components.T * self.shares) @ self.components
        return vectors, known

    def _extremes(self, bag, known):
        counts, n_dims = bag.counts, bag.vectors.shape[1]
        counts.sum_duplicates()
        vectors = np.zeros((len(known), n_dims * self.n_parts), dtype=np.float32)
        if known.any():
            words = bag.vectors[counts.indices]
            starts = counts.indptr[:-1][known]
            parts = [of.reduceat(words, starts, axis=0) for of in POOLINGS[self.name].extremes]
            vectors[known] = np.concatenate(parts, axis=1)
        return vectors

    def _sums(self, bag):
        counts, method = bag.counts, POOLINGS[self.name]
        if self.weights is not None:
            weights = self.weights if bag.ids is None else self.weights[bag.ids]
            counts.data = weights[counts.indices]
        vectors = counts @ bag.vectors
        if method.divisor == "words":
            vectors /= np.maximum(np.diff(counts.indptr), 1).astype(np.float32)[:, None]
        elif method.divisor == "weights":
            totals = counts @ np.ones(counts.shape[1], dtype=np.float32)
            vectors /= np.where(totals > 0, totals, 1)[:, None]
        return vectors


def needs_rows(name):
    """Tell whether a pooling learns anything of the rows."""
    return POOLINGS[name].weigh is not None


def learn(name, bags, n_words, n_dims):
    """Learn a pooling.

    Parameters
    ----------
    name : str
        Key of `POOLINGS`.
    bags : callable
        Called without arguments, gives an iterable of the `Bag` of all rows, part by part. It is
        called twice at most, and may give the same bags again.
    n_words : int
        Words of the vocabulary.
    n_dims : int
        Length of a word's vector.

    Returns
    -------
    pooling : Pooling
    """
    method = POOLINGS[name]
    if method.weigh is None:
        return Pooling(name)
    weights = method.weigh(_count(bags(), n_words, method.by_rows)).astype(np.float32)
    pooling = Pooling(name, weights)
    if not method.n_components:
        return pooling
    # The singular vectors of all rows are the eigenvectors of the sum of the rows' outer products.
    products = np.zeros((n_dims, n_dims))
    for bag in bags():
        vectors = pooling.rows(bag)[0].astype(np.float64)
        products += vectors.T @ vectors
    squares, directions = np.linalg.eigh(products)
    squares = np.maximum(squares[::-1][: method.n_components], 0)
    shares = squares / max(squares.sum(), np.finfo(float).tiny)
    components = directions.T[::-1][: method.n_components]
    return Pooling(name, weights, components.astype(np.float32), shares.astype(np.float32))


def _count(bags, n_words, by_rows):
    words, rows = np.zeros((2, n_words + 1), dtype=np.int64)
    n_rows = 0
    for bag in bags:
        words += _bincount(bag, n_words)
        n_rows += bag.counts.shape[0]
        if by_rows:
            bag.counts.sum_duplicates()
            rows += _bincount(bag, n_words)
    return _Statistics(words, rows if by_rows else None, n_rows)


def _bincount(bag, n_words):
    """Count the entries of each word; those of other words are left out."""
    indices = bag.counts.indices
    if bag.ids is not None:
        indices = bag.ids[indices]
        indices = indices[indices >= 0]
    return np.bincount(indices, minlength=n_words + 1)
