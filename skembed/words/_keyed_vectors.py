"""Convert gensim's objects to word tables, and word tables to gensim's objects."""

import numpy as np

from skembed.words._subwords import Subwords
from skembed.words._table import table_from_words


def from_keyed_vectors(vectors, max_words=None):
    """Convert gensim's ``KeyedVectors`` to a word table, sharing memory where possible.

    Parameters
    ----------
    vectors : gensim.models.KeyedVectors
        The words and their vectors.
    max_words : int or None, default=None
        Maximum number of words, from the first. None: all.

    Returns
    -------
    table : WordTable

    Raises
    ------
    ValueError
        If words and vectors do not match, or words are not str.
    """
    words, matrix = vectors.index_to_key, np.asarray(vectors.vectors)
    if matrix.ndim != 2 or len(words) != len(matrix):
        raise ValueError(
            f"vectors: {len(words)} words have vectors of shape {matrix.shape}; index_to_key and "
            "vectors must have the same length."
        )
    if matrix.dtype.kind not in "fiu":
        raise ValueError(f"vectors: numbers are expected, got an array of {matrix.dtype}.")
    wrong = next((word for word in words if not isinstance(word, str)), None)
    if wrong is not None:
        raise ValueError(f"vectors: words must be str, got {wrong!r} ({type(wrong).__name__}).")
    subwords = None
    if getattr(vectors, "vectors_ngrams", None) is not None and vectors.bucket:
        ngrams = np.ascontiguousarray(vectors.vectors_ngrams, dtype=np.float32)
        try:
            subwords = Subwords(ngrams, None, vectors.bucket, vectors.min_n, vectors.max_n)
        except ValueError as error:
            raise ValueError(f"vectors: {error}") from None
    return table_from_words(words[:max_words], matrix[:max_words], subwords)


def descending_counts(n_words):
    """Return counts that keep the order of the words, for vectors without counts.

    Examples
    --------
    >>> descending_counts(3)
    array([3, 2, 1])
    """
    return np.arange(n_words, 0, -1, dtype=np.int64)


def to_keyed_vectors(table):
    """Return gensim's ``KeyedVectors``, or ``FastTextKeyedVectors`` if there are n-grams."""
    from gensim.models import KeyedVectors
    from gensim.models.fasttext import FastTextKeyedVectors

    n_dims, subwords = table.vectors.shape[1], table.subwords
    if subwords is None:
        keyed = KeyedVectors(n_dims)
        keyed.add_vectors(table.words, table.vectors)
    else:
        keyed = FastTextKeyedVectors(n_dims, subwords.min_n, subwords.max_n, subwords.n_buckets)
        keyed.index_to_key, keyed.key_to_index = list(table.words), dict(table.vocabulary)
        keyed.vectors, keyed.vectors_vocab = table.vectors.copy(), own_vectors(table).copy()
        keyed.vectors_ngrams = np.array(subwords.all_buckets())
        keyed.recalc_char_ngram_buckets()
    if table.state is not None:
        keyed.expandos["count"] = table.state.counts.copy()
    return keyed


def own_vectors(table):
    """Return the words' own vectors, without their n-grams, (n_words, n_dims)."""
    if table.state is not None:
        return table.state.own_vectors
    if table.subwords is None:
        return table.vectors
    return table.subwords.decompose(table.words, table.vectors)
