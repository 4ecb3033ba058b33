"""Bags of words or tokens, and the means of their vectors as one sparse product.

Word vectors and static token vectors share this code. Imports nothing of skembed.
"""

from typing import NamedTuple

import numpy as np
from scipy import sparse


class Bag(NamedTuple):
    """Bag of words of some rows.

    Attributes
    ----------
    counts : scipy.sparse.csr_matrix of shape (n_rows, n_columns), float32
        Ones, with one entry for each occurrence of a word. A word that occurs twice in a row has
        two entries.
    vectors : ndarray of shape (n_columns, n_dims), float32
        Vector of each column.
    ids : ndarray of shape (n_columns,) or None
        Index in the vocabulary of each column's word; -1 for a word outside the vocabulary. None:
        the columns are the vocabulary.
    """

    counts: object
    vectors: np.ndarray
    ids: np.ndarray | None = None


def bag_of(ids, starts, vectors, columns=None):
    """Return the `Bag` of some rows.

    Parameters
    ----------
    ids : ndarray of shape (n_words,), int32
        Indices in `vectors` of the words of all rows, row by row; -1 for a word without a vector,
        which is left out. Sparse products do not check bounds: the caller must.
    starts : ndarray of shape (n_rows + 1,), int64
        Row i has ``ids[starts[i]:starts[i + 1]]``.
    vectors : ndarray of shape (n_columns, n_dims), float32
        The vectors.
    columns : ndarray of shape (n_columns,), default=None
        As `Bag.ids`.

    Returns
    -------
    bag : Bag

    Examples
    --------
    >>> bag = bag_of(np.array([1, -1, 0]), np.array([0, 2, 3]), np.eye(2, dtype=np.float32))
    >>> bag.counts.toarray()
    array([[0., 1.],
           [1., 0.]], dtype=float32)
    """
    # `n_before` counts the entries before each word, so that it turns positions of words into
    # positions of entries.
    known = ids >= 0
    n_before = np.zeros(len(ids) + 1, dtype=np.int64)
    np.cumsum(known, out=n_before[1:])
    ones = np.ones(n_before[-1], dtype=np.float32)
    shape = (len(starts) - 1, len(vectors))
    return Bag(sparse.csr_matrix((ones, ids[known], n_before[starts]), shape), vectors, columns)


def weighted_means(bag, weights=None, divisor="words"):
    """Return the weighted sum of the vectors of each row, divided by its number of words.

    Parameters
    ----------
    bag : Bag
        The words of the rows. Its counts are replaced by the weights.
    weights : ndarray of shape (n_words + 1,), float32, default=None
        Weight of each word; the last is the weight of words outside the vocabulary. None: 1.
    divisor : {"words", "weights", None}, default="words"
        What the sum is divided by: the number of words, the sum of their weights, or nothing.

    Returns
    -------
    vectors : ndarray of shape (n_rows, n_dims), float32
        Zeros for a row without words.
    """
    counts = bag.counts
    if weights is not None:
        # Index -1, a word outside the vocabulary, takes the last weight.
        weights = weights if bag.ids is None else weights[bag.ids]
        counts.data = weights[counts.indices]
    vectors = counts @ bag.vectors
    if divisor == "words":
        vectors /= np.maximum(np.diff(counts.indptr), 1).astype(np.float32)[:, None]
    elif divisor == "weights":
        totals = counts @ np.ones(counts.shape[1], dtype=np.float32)
        vectors /= np.where(totals > 0, totals, 1)[:, None]
    return vectors
