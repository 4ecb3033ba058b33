"""Character n-grams: vectors of words outside the vocabulary, and the rest of a fastText model.

Imports nothing of skembed.
"""

from dataclasses import dataclass
from itertools import chain

import numpy as np
from scipy import sparse

END = "</s>"  # fastText's end of a line, a word without n-grams


class CheckedOnLoad:
    """Mixin for dataclasses that check their fields when they are unpickled, too."""

    def __setstate__(self, state):
        self.__dict__.update(state)
        self.__post_init__()


@dataclass(frozen=True, eq=False)
class Subwords(CheckedOnLoad):
    """Vectors of character n-grams, from which fastText computes the vectors of unknown words.

    Parameters
    ----------
    vectors : ndarray of shape (n_rows, n_dims), float32
        Vectors of the buckets that n-grams are hashed into. A row of zeros was not trained; its
        n-grams count as unknown.
    buckets : ndarray of shape (n_rows,), int64, or None
        Bucket of each row, ascending; the vectors of all other buckets are zeros. None: the rows
        are all the buckets.
    n_buckets : int
        Number of buckets.
    min_n, max_n : int
        Minimum and maximum length of n-grams, in characters; the beginning and the end of a word
        count as one each.

    Raises
    ------
    ValueError
        If the arrays do not match.
    """

    vectors: np.ndarray
    buckets: np.ndarray | None
    n_buckets: int
    min_n: int
    max_n: int

    def __post_init__(self):
        # Rows are looked up without bounds checks, by `buckets` and by hashes modulo `n_buckets`.
        # These checks keep the look-ups inside `vectors`.
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

    def _look_up(self, words):
        """Look up the n-grams of words.

        Returns
        -------
        rows : ndarray of shape (n_found,), int64
            Rows of `vectors`, word by word.
        word_of : ndarray of shape (n_found,), int64
            Index of the word that each row belongs to.
        n_ngrams : ndarray of shape (n_words,), int64
            Number of n-grams of each word, found or not.
        """
        from gensim.models.fasttext import ft_ngram_hashes

        # fastText's hash: 32-bit FNV-1a over the UTF-8 bytes of an n-gram of "<word>", modulo the
        # number of buckets. Different n-grams may share a bucket, and so a vector.
        settings = (self.min_n, self.max_n, self.n_buckets)
        hashes = [() if word == END else ft_ngram_hashes(word, *settings) for word in words]
        n_ngrams = np.array([len(of_word) for of_word in hashes], dtype=np.int64)
        rows = np.fromiter(chain.from_iterable(hashes), dtype=np.int64, count=n_ngrams.sum())
        word_of = np.repeat(np.arange(len(words)), n_ngrams)
        if self.buckets is not None:
            # Only some buckets have a row, which a binary search finds. The appended -1, which is
            # not a bucket, stands for positions beyond the last row.
            places = np.searchsorted(self.buckets, rows)
            found = np.append(self.buckets, -1)[places] == rows
            rows, word_of = places[found], word_of[found]
        return rows, word_of, n_ngrams

    def ngram_sums(self, words, initial=None):
        """Add up the vectors of each word's n-grams.

        Parameters
        ----------
        words : list of n_words str
            The words.
        initial : ndarray of shape (n_words, n_dims), float32, default=None
            Vectors that the sums start from. None: zeros. gensim adds in this order, so that the
            sums are equal to the bit.

        Returns
        -------
        sums : ndarray of shape (n_words, n_dims), float32
            Zeros for a word without known n-grams.
        n_ngrams : ndarray of shape (n_words,), int64
            Number of n-grams of each word, known or not.
        known : ndarray of shape (n_words,), bool
            Whether a word has a known n-gram.
        """
        rows, word_of, n_ngrams = self._look_up(words)
        # Each bucket is read once, and no other: `vectors` may be a memory map of gigabytes.
        distinct_rows, columns = np.unique(rows, return_inverse=True)
        vectors = np.asarray(self.vectors[distinct_rows])
        # Buckets of zeros were never trained, so their n-grams are left out.
        trained = vectors.any(axis=1)[columns] if len(columns) else np.empty(0, dtype=bool)
        n_known = np.bincount(word_of[trained], minlength=len(words))
        columns = columns[trained]
        # The sums are the product of a sparse matrix of ones, word by n-gram, and the vectors.
        if initial is None:
            starts = np.concatenate([[0], np.cumsum(n_known)])
        else:
            # Each word gets one more entry before its n-grams, for its initial vector. The initial
            # vectors are put before those of the n-grams, whose columns move up by len(words).
            starts = np.concatenate([[0], np.cumsum(n_known + 1)])
            is_initial = np.zeros(starts[-1], dtype=bool)
            is_initial[starts[:-1]] = True
            all_columns = np.empty(starts[-1], dtype=np.int64)
            all_columns[is_initial] = np.arange(len(words))
            all_columns[~is_initial] = columns + len(words)
            columns, vectors = all_columns, np.concatenate([initial, vectors])
        ones = np.ones(len(columns), dtype=np.float32)
        ngrams = sparse.csr_matrix((ones, columns, starts), (len(words), len(vectors)))
        return ngrams @ vectors, n_ngrams, n_known > 0

    def mean_vectors(self, words):
        """Return the mean of each word's n-grams (n_words, n_dims), and whether it has any."""
        sums, n_ngrams, known = self.ngram_sums(words)
        return sums / np.maximum(n_ngrams, 1).astype(np.float32)[:, None], known

    def compose(self, words, own_vectors):
        """Return the mean of each word's own vector and its n-grams, (n_words, n_dims)."""
        sums, n_ngrams, _ = self.ngram_sums(words, own_vectors)
        return sums / (n_ngrams + 1).astype(np.float32)[:, None]

    def decompose(self, words, vectors):
        """Return the words' own vectors: the inverse of `compose`, up to rounding."""
        sums, n_ngrams, _ = self.ngram_sums(words)
        return (vectors * (n_ngrams + 1.0)[:, None] - sums).astype(np.float32)

    def all_buckets(self):
        """Return the vectors of all buckets, (n_buckets, n_dims); zeros for untrained ones."""
        if self.buckets is None:
            return self.vectors
        vectors = np.zeros((self.n_buckets, self.vectors.shape[1]), dtype=np.float32)
        vectors[self.buckets] = self.vectors
        return vectors


@dataclass(frozen=True, eq=False)
class FastTextState(CheckedOnLoad):
    """The rest of a fastText model, which is needed to write it and to continue its training.

    Parameters
    ----------
    own_vectors : ndarray of shape (n_words, n_dims), float32
        The words' own vectors, without their n-grams.
    counts : ndarray of shape (n_words,), int64
        Number of occurrences of each word.
    output : ndarray of shape (n_words, n_dims), float32, or None
        Weights of the output layer, which predict words.
    settings : dict of str to int or float
        ``window, epochs, min_count, negative, hs, sg, sample, n_tokens``.

    Raises
    ------
    ValueError
        If the arrays do not match.
    """

    own_vectors: np.ndarray
    counts: np.ndarray
    output: np.ndarray | None
    settings: dict

    def __post_init__(self):
        own = self.own_vectors
        output = own if self.output is None else self.output
        if own.ndim != 2 or own.shape != output.shape or len(self.counts) != len(output):
            raise ValueError(
                f"A fastText model has {len(self.counts)} counts, own vectors of words of shape "
                f"{own.shape} and output weights of shape {output.shape}."
            )
