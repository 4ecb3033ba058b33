"""Character n-grams: vectors of words outside the vocabulary, and what fastText had learned."""

from dataclasses import dataclass
from itertools import chain

import numpy as np
from scipy import sparse

END = "</s>"  # fastText's end of a line, a word without n-grams


@dataclass(frozen=True, eq=False)
class Subwords:
    """Vectors of character n-grams, from which fastText makes those of unknown words.

    Parameters
    ----------
    vectors : ndarray of shape (n_rows, n_dims), float32
        Vectors of the buckets that n-grams fall into. Rows of zeros have learned nothing; their
        n-grams count as unknown.
    buckets : ndarray of shape (n_rows,), int64, or None
        Which buckets these are, ascending; the vectors of the others are zeros. None: all.
    n_buckets : int
        Into how many n-grams are hashed.
    min_n, max_n : int
        Lengths of n-grams, in characters; a word's beginning and end count as one each.

    Raises
    ------
    ValueError
        If the arrays do not fit each other.
    """

    vectors: np.ndarray
    buckets: np.ndarray | None
    n_buckets: int
    min_n: int
    max_n: int

    def __post_init__(self):
        # Rows are found by `buckets` and the hash modulo `n_buckets`: all that can go wrong there
        # is looked at here.
        if self.vectors.ndim != 2 or self.n_buckets < 1 or min(self.min_n, self.max_n) < 0:
            raise ValueError(
                f"Vectors of n-grams have shape {self.vectors.shape}, {self.n_buckets} buckets and "
                f"n-grams of {self.min_n} to {self.max_n} characters."
            )
        n_rows = self.n_buckets if self.buckets is None else len(self.buckets)
        if len(self.vectors) != n_rows:
            raise ValueError(f"{n_rows} buckets have {len(self.vectors)} vectors.")
        if self.buckets is not None and n_rows:
            steps = np.diff(self.buckets, prepend=-1, append=self.n_buckets)
            if (steps <= 0).any():
                raise ValueError(f"Buckets must ascend from 0 to below {self.n_buckets}.")

    def __setstate__(self, state):
        self.__dict__.update(state)
        self.__post_init__()

    def _ngrams(self, words):
        """Look n-grams up.

        Returns
        -------
        rows : ndarray of shape (n_found,), intp
            Rows of `vectors`, of one word after the other.
        of : ndarray of shape (n_found,), int64
            Which word each belongs to.
        n_ngrams : ndarray of shape (n_words,), int64
            N-grams of each word, found or not.
        """
        from gensim.models.fasttext import ft_ngram_hashes

        settings = (self.min_n, self.max_n, self.n_buckets)
        hashes = [() if word == END else ft_ngram_hashes(word, *settings) for word in words]
        n_ngrams = np.array([len(of_word) for of_word in hashes], dtype=np.int64)
        rows = np.fromiter(chain.from_iterable(hashes), dtype=np.int64, count=n_ngrams.sum())
        of = np.repeat(np.arange(len(words)), n_ngrams)
        if self.buckets is not None:
            places = np.searchsorted(self.buckets, rows)
            found = np.append(self.buckets, -1)[places] == rows
            rows, of = places[found], of[found]
        return rows, of, n_ngrams

    def sums(self, words, own=None):
        """Add up the vectors of each word's n-grams.

        Parameters
        ----------
        words : list of n_words str
            The words.
        own : ndarray of shape (n_words, n_dims), float32, default=None
            What to begin with. None: zeros. The order of the additions is gensim's, so that sums
            are equal to the bit.

        Returns
        -------
        sums : ndarray of shape (n_words, n_dims), float32
            Zeros for a word without known n-grams.
        n_ngrams : ndarray of shape (n_words,), int64
            N-grams of each word, known or not.
        known : ndarray of shape (n_words,), bool
            Whether a word has a known n-gram.
        """
        rows, of, n_ngrams = self._ngrams(words)
        # Only the rows that are wanted are touched, so that a memory map stays on disk.
        wanted, columns = np.unique(rows, return_inverse=True)
        vectors = np.asarray(self.vectors[wanted])
        learned = vectors.any(axis=1)[columns] if len(columns) else np.empty(0, dtype=bool)
        n_known = np.bincount(of[learned], minlength=len(words))
        columns = columns[learned]
        if own is None:
            starts = np.concatenate([[0], np.cumsum(n_known)])
        else:
            starts = np.concatenate([[0], np.cumsum(n_known + 1)])
            firsts = np.zeros(starts[-1], dtype=bool)
            firsts[starts[:-1]] = True
            with_own = np.empty(starts[-1], dtype=np.int64)
            with_own[firsts] = np.arange(len(words))
            with_own[~firsts] = columns + len(words)
            columns, vectors = with_own, np.concatenate([own, vectors])
        ones = np.ones(len(columns), dtype=np.float32)
        ngrams = sparse.csr_matrix((ones, columns, starts), (len(words), len(vectors)))
        return ngrams @ vectors, n_ngrams, n_known > 0

    def vectors_of(self, words):
        """Return the mean of each word's n-grams (n_words, n_dims), and whether it has any."""
        sums, n_ngrams, known = self.sums(words)
        return sums / np.maximum(n_ngrams, 1).astype(np.float32)[:, None], known

    def composed(self, words, own):
        """Return the means of words' own vectors and of their n-grams, (n_words, n_dims)."""
        sums, n_ngrams, _ = self.sums(words, own)
        return sums / (n_ngrams + 1).astype(np.float32)[:, None]

    def taken_apart(self, words, vectors):
        """Return the words' own vectors, which `composed` makes `vectors` of; up to rounding."""
        sums, n_ngrams, _ = self.sums(words)
        return (vectors * (n_ngrams + 1.0)[:, None] - sums).astype(np.float32)

    def all_buckets(self):
        """Return the vectors of all buckets, (n_buckets, n_dims); zeros where nothing is known."""
        if self.buckets is None:
            return self.vectors
        vectors = np.zeros((self.n_buckets, self.vectors.shape[1]), dtype=np.float32)
        vectors[self.buckets] = self.vectors
        return vectors


@dataclass(frozen=True, eq=False)
class FastTextState:
    """What a fastText model holds besides the vectors; needed to write it and to train it further.

    Parameters
    ----------
    own : ndarray of shape (n_words, n_dims), float32
        The words' own vectors, without those of their n-grams.
    counts : ndarray of shape (n_words,), int64
        How often each word occurred.
    output : ndarray of shape (n_words, n_dims), float32, or None
        The weights that predict words.
    settings : dict of str to int or float
        ``window, epochs, min_count, negative, hs, sg, sample, n_tokens``.

    Raises
    ------
    ValueError
        If the arrays do not fit each other.
    """

    own: np.ndarray
    counts: np.ndarray
    output: np.ndarray | None
    settings: dict

    def __post_init__(self):
        output = self.own if self.output is None else self.output
        if self.own.ndim != 2 or self.own.shape != output.shape or len(self.counts) != len(output):
            raise ValueError(
                f"A fastText model has {len(self.counts)} counts, words' own vectors of shape "
                f"{self.own.shape} and weights of shape {output.shape}."
            )

    def __setstate__(self, state):
        self.__dict__.update(state)
        self.__post_init__()
