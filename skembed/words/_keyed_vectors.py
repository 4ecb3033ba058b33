"""Word tables from gensim's objects, and gensim's objects of word tables."""

import numpy as np

from skembed.words._subwords import Subwords
from skembed.words._table import table_of_words


def from_keyed_vectors(vectors, max_words=None):
    """Take the words out of gensim's ``KeyedVectors``, sharing their memory where possible.

    Parameters
    ----------
    vectors : gensim.models.KeyedVectors
        The words and their vectors.
    max_words : int or None, default=None
        How many words to take, from the first on. None: all.

    Returns
    -------
    table : WordTable

    Raises
    ------
    ValueError
        If words and vectors do not belong together, or words are not str.
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
    return table_of_words(words[:max_words], matrix[:max_words], subwords)


def falling(n_words):
    """Return counts for words in the order of their frequency, where none are known."""
    return np.arange(n_words, 0, -1, dtype=np.int64)


def to_keyed_vectors(table):
    """Return gensim's ``KeyedVectors``, or ``FastTextKeyedVectors`` where there are n-grams."""
    from gensim.models import KeyedVectors
    from gensim.models.fasttext import FastTextKeyedVectors

    n_dims, subwords = table.vectors.shape[1], table.subwords
    if subwords is None:
        made = KeyedVectors(n_dims)
        made.add_vectors(table.words, table.vectors)
    else:
        made = FastTextKeyedVectors(n_dims, subwords.min_n, subwords.max_n, subwords.n_buckets)
        made.index_to_key, made.key_to_index = list(table.words), dict(table.vocabulary)
        made.vectors, made.vectors_vocab = table.vectors.copy(), own_vectors(table).copy()
        made.vectors_ngrams = np.array(subwords.all_buckets())
        made.recalc_char_ngram_buckets()
    if table.state is not None:
        made.expandos["count"] = table.state.counts.copy()
    return made


def own_vectors(table):
    """Return the words' own vectors without those of their n-grams, (n_words, n_dims)."""
    if table.state is not None:
        return table.state.own
    if table.subwords is None:
        return table.vectors
    return table.subwords.taken_apart(table.words, table.vectors)
