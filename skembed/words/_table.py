"""Words with their vectors: look-up, neighbors, analogies. Contains nothing about estimators."""

from collections.abc import Iterable
from dataclasses import dataclass, fields, replace
from functools import cached_property
from operator import ne
from typing import NamedTuple

import numpy as np

from skembed.base._bags import bag_of
from skembed.words._subwords import CheckedOnLoad, FastTextState, Subwords

_EPSILON = 1e-6  # keeps the quotient of 3CosMul finite; gensim's value, 1e-3 in the paper
ANALOGY_METHODS = ("3cosadd", "3cosmul")


class Neighbor(NamedTuple):
    """A word and its similarity.

    Attributes
    ----------
    word : str
        The word.
    similarity : float
        Cosine similarity, or the score of 3CosMul.
    """

    word: str
    similarity: float


@dataclass(frozen=True, eq=False)
class WordTable(CheckedOnLoad):
    """Words with their vectors.

    Parameters
    ----------
    vocabulary : dict of str to int
        Index of each word, in ascending order: 0, 1, 2, ...
    vectors : ndarray of shape (n_words, n_dims), float32
        Vector of each word.
    subwords : Subwords or None
        Vectors of character n-grams, for words outside the vocabulary.
    state : FastTextState or None
        The rest of a fastText model.

    Raises
    ------
    ValueError
        If the words and the arrays do not match.
    """

    vocabulary: dict
    vectors: np.ndarray
    subwords: Subwords | None = None
    state: FastTextState | None = None

    def __post_init__(self):
        vectors = self.vectors
        if not isinstance(vectors, np.ndarray) or vectors.ndim != 2 or vectors.dtype != np.float32:
            dtype = getattr(vectors, "dtype", type(vectors).__name__)
            raise ValueError(
                f"Vectors must be a 2-D array of float32, got {np.shape(vectors)} {dtype}."
            )
        if len(self.vocabulary) != len(vectors):
            raise ValueError(f"{len(self.vocabulary)} words have {len(vectors)} vectors.")
        if any(map(ne, self.vocabulary.values(), range(len(vectors)))):
            raise ValueError("The indices of the words must be 0, 1, 2, ... in the order of words.")
        self._check_fasttext()

    def _check_fasttext(self):
        """Raise a ValueError if the parts of a fastText model do not match the vectors."""
        n_words, n_dims = self.vectors.shape
        own_vectors = None if self.state is None else self.state.own_vectors
        for part in (self.subwords and self.subwords.vectors, own_vectors):
            if part is not None and part.shape[1] != n_dims:
                raise ValueError(
                    f"Vectors of words have {n_dims} dimensions, those of n-grams {part.shape[1]}."
                )
        if own_vectors is not None and len(own_vectors) != n_words:
            raise ValueError(f"{n_words} words have {len(own_vectors)} own vectors.")

    def table(self):
        """Return the table itself, as `VectorFile.table` returns the table of a file."""
        return self

    @cached_property
    def words(self):
        """The words as a list."""
        return list(self.vocabulary)

    @cached_property
    def _norms(self):
        """Norm of each vector, 1 for zeros."""
        norms = np.sqrt(np.einsum("ij,ij->i", self.vectors, self.vectors))
        return np.where(norms > 0, norms, 1)

    def __getstate__(self):
        # Without the cached properties.
        return {field.name: self.__dict__[field.name] for field in fields(self)}

    def bag(self, ids, starts, unknown=()):
        """Return the bag of words of some rows.

        Parameters
        ----------
        ids : ndarray of shape (n_words,), int32
            Indices of the words of all rows, row by row; -1 for an unknown word.
        starts : ndarray of shape (n_rows + 1,), int64
            Row i has ``ids[starts[i]:starts[i + 1]]``.
        unknown : list of str, default=()
            The unknown words, in the same order, if they get vectors from their n-grams.

        Returns
        -------
        bag : Bag

        Raises
        ------
        ValueError
            If an index is out of bounds: sparse products do not check bounds, and the user may have
            modified `vocabulary`.
        """
        if len(ids) and not -1 <= ids.min() <= ids.max() < len(self.vectors):
            raise ValueError(
                "vocabulary_ was modified: it contains indices beyond its "
                f"{len(self.vectors)} vectors. Fit the embedder again."
            )
        vectors, columns = self.vectors, None
        if unknown and self.subwords is not None:
            ids, vectors, columns = self._with_unknown(ids, unknown)
        return bag_of(ids, starts, vectors, columns)

    def _with_unknown(self, ids, unknown):
        """Give unknown words vectors from their n-grams.

        Returns
        -------
        ids : ndarray of shape (n_words,), int32
            Columns of the words; -1 for a word without known n-grams.
        vectors : ndarray of shape (n_columns, n_dims), float32
            Vectors of the known words that occur, then those of the unknown ones. The whole
            vocabulary, which can be large, is not copied.
        columns : ndarray of shape (n_columns,)
            Index in the vocabulary of each column; -1 for an unknown word.
        """
        ids, known = ids.copy(), ids >= 0
        distinct = {word: i for i, word in enumerate(dict.fromkeys(unknown))}
        extra, has_vector = self.subwords.mean_vectors(list(distinct))
        occurring, ids[known] = np.unique(ids[known], return_inverse=True)
        extra_ids = np.array([distinct[word] for word in unknown], dtype=np.int32)
        ids[~known] = np.where(has_vector[extra_ids], extra_ids + len(occurring), -1)
        vectors = np.concatenate([self.vectors[occurring], extra])
        return ids, vectors, np.concatenate([occurring, np.full(len(extra), -1)])

    def find(self, word):
        """Return the vector (n_dims,) of a word, or None."""
        index = self.vocabulary.get(word)
        if index is not None:
            return self.vectors[index]
        if self.subwords is not None:
            vectors, known = self.subwords.mean_vectors([word])
            if known[0]:
                return vectors[0]
        return None

    def cosines(self, vectors):
        """Return the cosines of vectors (..., n_dims) to all words, (..., n_words) float32."""
        return normalize(vectors) @ self.vectors.T / self._norms

    def nearest(self, scores, topn, exclude=()):
        """Return the words with the highest scores.

        Parameters
        ----------
        scores : ndarray of shape (n_words,)
            Scores of all words.
        topn : int
            Number of words to return.
        exclude : iterable of str
            Words to exclude.

        Returns
        -------
        neighbors : list of Neighbor
            By descending score; words with equal scores in the order of the vocabulary.
        """
        scores = scores.copy()
        excluded = {self.vocabulary[word] for word in exclude if word in self.vocabulary}
        scores[list(excluded)] = -np.inf
        n = min(topn, len(scores) - len(excluded))
        best = np.argpartition(-scores, n - 1)[:n] if n else np.empty(0, dtype=int)
        best = best[np.lexsort((best, -scores[best]))]
        return [Neighbor(self.words[i], float(scores[i])) for i in best]

    def analogy_scores(self, positive, negative, method):
        """Score all words as completions of an analogy, or of several at once.

        Parameters
        ----------
        positive, negative : list of ndarray of shape (..., n_dims)
            Vectors that the answer should be near to, and far from.
        method : {"3cosadd", "3cosmul"}
            How cosines are combined.

        Returns
        -------
        scores : ndarray of shape (..., n_words), float32
        """
        if method == "3cosadd":
            signed = [normalize(v) for v in positive] + [-normalize(v) for v in negative]
            return self.cosines(np.sum(signed, axis=0))
        # Cosines are moved to [0, 1], since a product of negative numbers would mean nothing.
        near = [(1 + self.cosines(vectors)) / 2 for vectors in positive]
        far = [(1 + self.cosines(vectors)) / 2 for vectors in negative]
        return np.prod(near, axis=0) / (np.prod(far, axis=0) + np.float32(_EPSILON))


def check_analogy_method(method):
    """Raise a ValueError for a method that `WordTable.analogy_scores` does not have."""
    if method not in ANALOGY_METHODS:
        raise ValueError(f"method must be '3cosadd' or '3cosmul', got {method!r}.")


def normalize(vectors):
    """Scale vectors (..., n_dims) to unit length; zeros stay zeros.

    Examples
    --------
    >>> normalize(np.array([[3.0, 4.0], [0.0, 0.0]]))
    array([[0.6, 0.8],
           [0. , 0. ]])
    """
    norms = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return vectors / np.where(norms > 0, norms, 1)


def table_from_words(
    words: Iterable[str],
    vectors: np.ndarray,
    subwords: Subwords | None = None,
    state: FastTextState | None = None,
) -> WordTable:
    """Return a `WordTable`. The first of duplicate words is kept."""
    words = list(words)
    vectors = np.ascontiguousarray(vectors, dtype=np.float32)
    if vectors.ndim != 2 or len(words) != len(vectors):
        raise ValueError(f"{len(words)} words have vectors of shape {vectors.shape}.")
    vocabulary: dict[str, int] = {}
    for index, word in enumerate(words):
        vocabulary.setdefault(word, index)
    if len(vocabulary) < len(vectors):
        kept = list(vocabulary.values())
        vectors = vectors[kept]
        vocabulary = {word: index for index, word in enumerate(vocabulary)}
        if state is not None:
            output = None if state.output is None else state.output[kept]
            own_vectors, counts = state.own_vectors[kept], state.counts[kept]
            state = replace(state, own_vectors=own_vectors, counts=counts, output=output)
    return WordTable(vocabulary, vectors, subwords, state)


def common_indices(vocabulary, table):
    """Find the words that a vocabulary and a table have in common.

    Parameters
    ----------
    vocabulary : dict of str to int
        Index of each word.
    table : WordTable
        The other words.

    Returns
    -------
    indices, table_indices : ndarray of shape (n_common,), intp
        Indices of the common words in `vocabulary` and in `table`.
    """
    common = [(i, table.vocabulary[w]) for w, i in vocabulary.items() if w in table.vocabulary]
    indices, table_indices = np.array(common, dtype=np.intp).reshape(-1, 2).T
    return indices, table_indices


def append_missing_words(table, other):
    """Append to a table the words that only another table has; return `table` if that is None."""
    if other is None:
        return table
    missing = [word for word in other.words if word not in table.vocabulary]
    rows = [other.vocabulary[word] for word in missing]
    vectors = np.concatenate([table.vectors, other.vectors[rows]])
    return table_from_words([*table.words, *missing], vectors)
