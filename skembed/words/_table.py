"""Words with their vectors: looking up, neighbors, analogies. Contains nothing of estimators."""

from collections.abc import Iterable
from dataclasses import dataclass, fields, replace
from functools import cached_property
from operator import ne
from typing import NamedTuple

import numpy as np
from scipy import sparse

from skembed.words._pooling import Bag
from skembed.words._subwords import FastTextState, Subwords

_SMALL = 1e-6  # keeps 3CosMul's quotient finite; Levy & Goldberg 2014 use 1e-3, gensim this


class Neighbor(NamedTuple):
    """A word, and how near it is.

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
class WordTable:
    """Words with their vectors.

    Parameters
    ----------
    vocabulary : dict of str to int
        The number of each word, in the order of the numbers.
    vectors : ndarray of shape (n_words, n_dims), float32
        Their vectors.
    subwords : Subwords or None
        Vectors of character n-grams, if words outside the vocabulary are to have vectors.
    state : FastTextState or None
        What fastText had learned besides.

    Raises
    ------
    ValueError
        If words and vectors do not belong together.
    """

    vocabulary: dict
    vectors: np.ndarray
    subwords: Subwords | None = None
    state: FastTextState | None = None

    def __post_init__(self):
        vectors = self.vectors
        if not isinstance(vectors, np.ndarray) or vectors.ndim != 2 or vectors.dtype != np.float32:
            what = getattr(vectors, "dtype", type(vectors).__name__)
            raise ValueError(
                f"Vectors must be a 2-D array of float32, got {np.shape(vectors)} {what}."
            )
        if len(self.vocabulary) != len(vectors):
            raise ValueError(f"{len(self.vocabulary)} words have {len(vectors)} vectors.")
        if any(map(ne, self.vocabulary.values(), range(len(vectors)))):
            raise ValueError("The numbers of the words must be 0, 1, 2, ... in the order of words.")
        for part in (self.subwords and self.subwords.vectors, self.state and self.state.own):
            if part is not None and part.shape[1] != vectors.shape[1]:
                raise ValueError(
                    f"Vectors of words have {vectors.shape[1]} dimensions, those of n-grams "
                    f"{part.shape[1]}."
                )
        if self.state is not None and len(self.state.own) != len(vectors):
            raise ValueError(f"{len(vectors)} words have {len(self.state.own)} of fastText's own.")

    def table(self):
        """Return the table itself, as a file of vectors returns the table that it holds."""
        return self

    @cached_property
    def words(self):
        """The words as a list."""
        return list(self.vocabulary)

    @cached_property
    def _lengths(self):
        lengths = np.sqrt(np.einsum("ij,ij->i", self.vectors, self.vectors))
        return np.where(lengths > 0, lengths, 1)

    def __getstate__(self):
        return {field.name: self.__dict__[field.name] for field in fields(self)}

    def __setstate__(self, state):
        self.__dict__.update(state)
        self.__post_init__()

    def bag(self, ids, starts, unknown=()):
        """Put the words of rows in a bag.

        Parameters
        ----------
        ids : ndarray of shape (n_words,), int32
            Numbers of all rows' words, one row after the other; -1 for an unknown word.
        starts : ndarray of shape (n_rows + 1,), int64
            Row i has ``ids[starts[i]:starts[i + 1]]``.
        unknown : list of str, default=()
            The unknown words, in their order, if they are to have a vector of their n-grams.

        Returns
        -------
        bag : Bag

        Raises
        ------
        ValueError
            If a number is not that of a word: products of sparse matrices do not look at bounds,
            and `vocabulary` may have been changed.
        """
        if len(ids) and not -1 <= ids.min() <= ids.max() < len(self.vectors):
            raise ValueError(
                f"vocabulary_ has been changed: it has numbers beyond its {len(self.vectors)} "
                "vectors. Fit again."
            )
        known = ids >= 0
        vectors, columns = self.vectors, None
        if unknown and self.subwords is not None:
            ids = ids.copy()
            numbers = {word: number for number, word in enumerate(dict.fromkeys(unknown))}
            extra, has_vector = self.subwords.vectors_of(list(numbers))
            seen, ids[known] = np.unique(ids[known], return_inverse=True)
            extra_ids = np.array([numbers[word] for word in unknown], dtype=np.int32)
            ids[~known] = np.where(has_vector[extra_ids], extra_ids + len(seen), -1)
            known = ids >= 0
            vectors = np.concatenate([vectors[seen], extra])
            columns = np.concatenate([seen, np.full(len(extra), -1)])
        before = np.zeros(len(ids) + 1, dtype=np.int64)
        np.cumsum(known, out=before[1:])
        ids, ones = ids[known], np.ones(before[-1], dtype=np.float32)
        shape = (len(starts) - 1, len(vectors))
        counts = sparse.csr_matrix((ones, ids, before[starts]), shape)
        return Bag(counts, vectors, columns)

    def find(self, word):
        """Return a word's vector (n_dims,), or None."""
        number = self.vocabulary.get(word)
        if number is not None:
            return self.vectors[number]
        if self.subwords is not None:
            vectors, known = self.subwords.vectors_of([word])
            if known[0]:
                return vectors[0]
        return None

    def cosines(self, vectors):
        """Return the cosines of vectors (..., n_dims) to each word's, (..., n_words) float32."""
        return unit(vectors) @ self.vectors.T / self._lengths

    def nearest(self, scores, topn, without=()):
        """Return the words of the highest scores.

        Parameters
        ----------
        scores : ndarray of shape (n_words,)
            Scores of all words.
        topn : int
            How many to return.
        without : iterable of str
            Words to leave out.

        Returns
        -------
        neighbors : list of Neighbor
            From the nearest on; of equal scores, the earlier word first.
        """
        scores = scores.copy()
        left_out = {self.vocabulary[word] for word in without if word in self.vocabulary}
        scores[list(left_out)] = -np.inf
        n = min(topn, len(scores) - len(left_out))
        best = np.argpartition(-scores, n - 1)[:n] if n else np.empty(0, dtype=int)
        best = best[np.lexsort((best, -scores[best]))]
        return [Neighbor(self.words[i], float(scores[i])) for i in best]

    def analogy_scores(self, positive, negative, method):
        """Score all words as completions of an analogy, or of several at once.

        Parameters
        ----------
        positive, negative : list of ndarray of shape (..., n_dims)
            What the answer should be near to, and far from.
        method : {"3cosadd", "3cosmul"}
            How cosines are put together.

        Returns
        -------
        scores : ndarray of shape (..., n_words), float32
        """
        if method == "3cosadd":
            signed = [unit(v) for v in positive] + [-unit(v) for v in negative]
            return self.cosines(np.sum(signed, axis=0))
        near = [(1 + self.cosines(vectors)) / 2 for vectors in positive]
        far = [(1 + self.cosines(vectors)) / 2 for vectors in negative]
        return np.prod(near, axis=0) / (np.prod(far, axis=0) + np.float32(_SMALL))


def unit(vectors):
    """Return vectors (..., n_dims) at length one; zeros stay zeros."""
    lengths = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return vectors / np.where(lengths > 0, lengths, 1)


def table_of_words(
    words: Iterable[str],
    vectors: np.ndarray,
    subwords: Subwords | None = None,
    state: FastTextState | None = None,
) -> WordTable:
    """Return a `WordTable`. The first of repeated words is kept."""
    words = list(words)
    vectors = np.ascontiguousarray(vectors, dtype=np.float32)
    if vectors.ndim != 2 or len(words) != len(vectors):
        raise ValueError(f"{len(words)} words have vectors of shape {vectors.shape}.")
    vocabulary: dict[str, int] = {}
    for number, word in enumerate(words):
        vocabulary.setdefault(word, number)
    if len(vocabulary) < len(vectors):
        kept = list(vocabulary.values())
        vectors = vectors[kept]
        vocabulary = {word: number for number, word in enumerate(vocabulary)}
        if state is not None:
            output = None if state.output is None else state.output[kept]
            state = replace(state, own=state.own[kept], counts=state.counts[kept], output=output)
    return WordTable(vocabulary, vectors, subwords, state)


def numbers_in(vocabulary, table):
    """Match a vocabulary with a table.

    Parameters
    ----------
    vocabulary : dict of str to int
        Numbers of words.
    table : WordTable
        The other words.

    Returns
    -------
    here, there : ndarray of shape (n_common,), intp
        Numbers of the words that both have, in the one and in the other.
    """
    common = [(i, table.vocabulary[w]) for w, i in vocabulary.items() if w in table.vocabulary]
    here, there = np.array(common, dtype=np.intp).reshape(-1, 2).T
    return here, there


def with_words_of(table, other):
    """Return a table with the words that only another one has, or None, added at its end."""
    if other is None:
        return table
    left = [word for word in other.words if word not in table.vocabulary]
    rows = [other.vocabulary[word] for word in left]
    vectors = np.concatenate([table.vectors, other.vectors[rows]])
    return table_of_words([*table.words, *left], vectors)
