"""Words with their vectors: looking up, neighbours, analogies, to and from gensim.

Knows nothing of estimators; gensim is imported where it is used.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from typing import NamedTuple

import numpy as np
from scipy import sparse

from skembed.text._pooling import Bag

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
class Subwords:
    """Vectors of character n-grams, from which fastText makes those of unknown words.

    Parameters
    ----------
    vectors : ndarray of shape (n_rows, n_dims), float32
        Vectors of the buckets that n-grams fall into.
    buckets : ndarray of shape (n_rows,), int64, or None
        Which buckets these are, ascending; the vectors of the others are zeros. None: all.
    n_buckets : int
        Into how many n-grams are hashed.
    min_n, max_n : int
        Lengths of n-grams, in characters; a word's beginning and end count as one each.
    """

    vectors: np.ndarray
    buckets: np.ndarray | None
    n_buckets: int
    min_n: int
    max_n: int

    def sums(self, words):
        """Add up the vectors of each word's n-grams.

        Parameters
        ----------
        words : list of n_words str
            The words.

        Returns
        -------
        sums : ndarray of shape (n_words, n_dims), float32
            Zeros for a word without known n-grams.
        n_ngrams : ndarray of shape (n_words,), int64
            N-grams of each word, known or not.
        known : ndarray of shape (n_words,), bool
            Whether a word has a known n-gram.
        """
        from gensim.models.fasttext import ft_ngram_hashes

        hashes = [ft_ngram_hashes(word, self.min_n, self.max_n, self.n_buckets) for word in words]
        n_ngrams = np.array([len(of_word) for of_word in hashes], dtype=np.int64)
        rows = np.fromiter(chain.from_iterable(hashes), dtype=np.int64, count=n_ngrams.sum())
        words_of_rows = np.repeat(np.arange(len(words)), n_ngrams)
        if self.buckets is not None and len(rows):
            places = np.searchsorted(self.buckets, rows)
            found = np.take(self.buckets, places, mode="clip") == rows
            rows, words_of_rows = places[found], words_of_rows[found]
        # Only the rows that are wanted are touched, so that a memory map stays on disk.
        wanted, columns = np.unique(rows, return_inverse=True)
        ones = np.ones(len(rows), dtype=np.float32)
        ngrams = sparse.csr_matrix((ones, (words_of_rows, columns)), (len(words), len(wanted)))
        known = np.bincount(words_of_rows, minlength=len(words)) > 0
        return ngrams @ np.asarray(self.vectors[wanted]), n_ngrams, known

    def vectors_of(self, words):
        """Return the mean of each word's n-grams (n_words, n_dims), and whether it has any."""
        sums, n_ngrams, known = self.sums(words)
        return sums / np.maximum(n_ngrams, 1).astype(np.float32)[:, None], known


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
    """

    vocabulary: dict
    vectors: np.ndarray
    subwords: Subwords | None = None

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
        return {name: self.__dict__[name] for name in ("vocabulary", "vectors", "subwords")}

    def __setstate__(self, state):
        self.__dict__.update(state)

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
        """
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


def table_of_words(words: Iterable[str], vectors, subwords=None):
    """Return a `WordTable`; of words that stand there several times the first counts."""
    vocabulary = {}
    for number, word in enumerate(words):
        vocabulary.setdefault(word, number)
    vectors = np.ascontiguousarray(vectors, dtype=np.float32)
    if len(vocabulary) < len(vectors):
        vectors = vectors[list(vocabulary.values())]
        vocabulary = {word: number for number, word in enumerate(vocabulary)}
    return WordTable(vocabulary, vectors, subwords)


def from_keyed_vectors(vectors, max_words=None):
    """Take the words out of gensim's ``KeyedVectors``, sharing their memory where it can be."""
    words, matrix = vectors.index_to_key[:max_words], vectors.vectors[:max_words]
    subwords = None
    if getattr(vectors, "vectors_ngrams", None) is not None and vectors.bucket:
        subwords = Subwords(
            vectors.vectors_ngrams, None, vectors.bucket, vectors.min_n, vectors.max_n
        )
    return table_of_words(words, matrix, subwords)


def to_keyed_vectors(table):
    """Return gensim's ``KeyedVectors``, or ``FastTextKeyedVectors`` where there are n-grams."""
    from gensim.models import KeyedVectors
    from gensim.models.fasttext import FastTextKeyedVectors

    n_dims, subwords = table.vectors.shape[1], table.subwords
    if subwords is None:
        made = KeyedVectors(n_dims)
        made.add_vectors(table.words, table.vectors)
        return made
    made = FastTextKeyedVectors(n_dims, subwords.min_n, subwords.max_n, subwords.n_buckets)
    made.index_to_key, made.key_to_index = list(table.words), dict(table.vocabulary)
    made.vectors = made.vectors_vocab = table.vectors.copy()
    made.vectors_ngrams = np.zeros((subwords.n_buckets, n_dims), dtype=np.float32)
    rows = slice(None) if subwords.buckets is None else subwords.buckets
    made.vectors_ngrams[rows] = subwords.vectors
    return made


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
    """Return a table with the words that only another one has added at its end."""
    left = [word for word in other.words if word not in table.vocabulary]
    rows = [other.vocabulary[word] for word in left]
    vectors = np.concatenate([table.vectors, other.vectors[rows]])
    return table_of_words([*table.words, *left], vectors, table.subwords)
