"""Base of the word-vector estimators: rows -> words -> ids -> counts @ vectors, and queries.

A subclass supplies `_train`; `_files` reads pretrained vectors.
"""

from __future__ import annotations

import os
from functools import partial
from numbers import Integral
from typing import TYPE_CHECKING

import numpy as np
from sklearn.utils._param_validation import HasMethods, Interval, StrOptions
from sklearn.utils.validation import check_is_fitted

from skembed.base._bad_rows import Problem
from skembed.base._digest import plain
from skembed.embedder._base import Block, Embedder
from skembed.exceptions import UnknownWordError, UnknownWordsWarning
from skembed.words._files import open_vectors
from skembed.words._keyed_vectors import to_keyed_vectors
from skembed.words._pooling import POOLINGS, fit_pooling, is_learned
from skembed.words._table import check_analogy_method
from skembed.words._tokenize import check_rows, chunks, make_tokenizer, number_words, word_ids
from skembed.words._writers import FORMATS, write_vectors

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from skembed.base._typing import FilePath, Vectors
    from skembed.words._table import Neighbor
    from skembed.words._typing import Analogy, VectorFormat, Word


# Number of characters (or words, if rows are lists of words) embedded at a time. It bounds the
# memory of intermediate results.
_CHUNK = 1_000_000


class _WordVectorizer(Embedder):
    """Base of the estimators that combine the vectors of a row's words."""

    _parameter_constraints: dict = {
        **Embedder._parameter_constraints,
        "vector_size": [Interval(Integral, 1, None, closed="left")],
        "window": [Interval(Integral, 1, None, closed="left")],
        "min_count": [Interval(Integral, 1, None, closed="left")],
        "epochs": [Interval(Integral, 1, None, closed="left")],
        "vectors": [str, os.PathLike, HasMethods(["get_vector", "most_similar"]), None],
        "max_words": [Interval(Integral, 1, None, closed="left"), None],
        "fine_tune": ["boolean"],
        "pooling": [StrOptions(set(POOLINGS))],
        "lowercase": ["boolean"],
        "preprocessor": [callable, None],
        "tokenizer": [callable, None],
        "token_pattern": [str, None],
        "stop_words": [StrOptions({"english"}), list, set, tuple, frozenset, None],
        "n_jobs": [Integral, None],
        "random_state": ["random_state"],
    }
    _kind = "texts"
    _problem = Problem("not text or a list of words", "not text or lists of words")
    _cut_warning = UnknownWordsWarning
    _writes_ngrams = False  # whether a file named .bin is fastText's

    # -- what a subclass supplies ---------------------------------------------------------------

    def _train(self, words, start):
        """Learn vectors.

        Parameters
        ----------
        words : NumberedWords
            The words of each row.
        start : WordTable or None
            Initial vectors.

        Returns
        -------
        table : WordTable
        """
        raise NotImplementedError

    def _uses_subwords(self):
        """Tell whether unknown words get vectors from their n-grams."""
        return False

    # -- the path --------------------------------------------------------------------------------

    def _check_rows(self, rows):
        return check_rows(rows)

    def _fit_rows(self, rows, labels):
        self._check_parameters()
        self._tokenizer = make_tokenizer(
            lowercase=self.lowercase,
            preprocessor=self.preprocessor,
            tokenizer=self.tokenizer,
            token_pattern=self.token_pattern,
            stop_words=self.stop_words,
        )
        self._with_subwords = self._uses_subwords()
        source = None
        if self.vectors is not None:
            source = open_vectors(self.vectors, self._python_value("max_words"))
        trains = source is None or self.fine_tune
        words = None
        if trains or is_learned(self.pooling):
            words = number_words(map(self._tokenizer.words, rows))
        if trains:
            source = self._train(words, None if source is None else source.table())
        self._source = source  # a WordTable, or a VectorFile
        table = source.table()
        bags = partial(self._bags, table, words)
        self._pooling = fit_pooling(self.pooling, bags, *table.vectors.shape)
        self._n_dims = table.vectors.shape[1] * self._pooling.n_parts

    def _check_parameters(self):
        """Raise a ValueError if the combination of parameters is unsupported."""
        if self.vectors is None:
            for name in ("fine_tune", "max_words"):
                if getattr(self, name):
                    raise ValueError(f"{name} applies to `vectors`, which is None.")

    def _bags(self, table, words):
        """Yield a `Bag` for each chunk of the rows of `fit`, whose words are numbered already."""
        table_ids, _ = word_ids([words.distinct], table.vocabulary)
        for start, stop in chunks(np.diff(words.starts), _CHUNK):
            starts = words.starts[start : stop + 1]
            word_numbers = words.ids[starts[0] : starts[-1]]
            ids, unknown = table_ids[word_numbers], ()
            if self._with_subwords:
                unknown = [words.distinct[i] for i in word_numbers[ids < 0]]
            yield table.bag(ids, starts - starts[0], unknown)

    def _bag(self, table, rows):
        """Return the `Bag` of some rows of `transform`."""
        # A lazy map: the words of a row are looked up before the next row is split, so that they
        # are freed at once. They are only kept if unknown ones are needed.
        words, unknown = map(self._tokenizer.words, rows), ()
        if self._with_subwords:
            words = list(words)
            unknown = [word for row in words for word in row if word not in table.vocabulary]
        return table.bag(*word_ids(words, table.vocabulary), unknown)

    def _embed(self, rows, keys, bad):
        table = self._source.table()
        self._pooling.check(*table.vectors.shape)
        with self._progress(len(rows), unit="row") as bar:
            for start, stop in chunks([len(row) for row in rows], _CHUNK):
                vectors, known = self._pooling.pool(self._bag(table, rows[start:stop]))
                yield Block(np.arange(start, stop), vectors, ~known)
                bar.update(stop - start)

    def _cut_message(self, n_cut, n_rows):
        texts, have = "texts" if n_rows > 1 else "text", "have" if n_cut > 1 else "has"
        n_words = len(self.vocabulary_)
        return (
            f"{n_cut} of {n_rows} {texts} {have} none of the {n_words} known words and got zeros."
        )

    def _python_value(self, name):
        """Return a parameter; NumPy scalars, which could overflow, are converted to Python's."""
        return plain(getattr(self, name))

    def _n_dims_of_words(self, start):
        """Return the length of the vectors to train: that of the initial ones if there are any."""
        return self._python_value("vector_size") if start is None else start.vectors.shape[1]

    def _empty_vocabulary_error(self, words):
        """Return the error for rows without a word to train on."""
        if not words.distinct:
            reason = "token_pattern finds no words in the rows, or only stop words"
        else:
            counts = words.counts()
            most = int(counts.argmax())
            reason = (
                f"no word occurs min_count={self.min_count} times or more; the most frequent is "
                f"{words.distinct[most]!r} with {counts[most]}. Lower min_count"
            )
        return ValueError(f"{type(self).__name__}: empty vocabulary; {reason}.")

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.string = True
        return tags

    # -- words -----------------------------------------------------------------------------------

    @property
    def vocabulary_(self) -> dict[str, int]:
        """Index of each word."""
        return self._table().vocabulary

    @property
    def vectors_(self) -> Vectors:
        """Vector of each word."""
        return self._table().vectors

    def _table(self):
        check_is_fitted(self)
        return self._source.table()

    def _vector(self, word):
        """Return a vector and its word; the word is None if a vector is passed."""
        table = self._table()
        if not isinstance(word, str):
            return _checked_vector(word, table.vectors.shape[1:]), None
        for spelling in dict.fromkeys([word, self._tokenizer.preprocess(word)]):
            if spelling in table.vocabulary:
                return table.find(spelling), spelling
        vector = table.find(spelling) if self._with_subwords else None
        if vector is None:
            raise UnknownWordError(
                f"{word!r} is not among the {len(table.words)} words of {type(self).__name__}."
            )
        return vector, spelling

    def most_similar(self, word: Word, topn: int = 10) -> list[Neighbor]:
        """Find the words whose vectors are nearest by cosine.

        Parameters
        ----------
        word : str or array-like of shape (vector_size,)
            A word, which is excluded from the result, or a vector. A word without a vector is
            preprocessed like a text and looked up again, in lowercase if `lowercase`.
        topn : int, default=10
            Number of words to return.

        Returns
        -------
        list of Neighbor, of length topn or less
            Pairs ``(word, similarity)``, nearest first. ``pandas.DataFrame(...)`` converts them to
            a frame.

        Raises
        ------
        UnknownWordError
            If the word has no vector.
        NotFittedError
            If the embedder is not fitted.
        """
        vector, spelling = self._vector(word)
        table = self._table()
        exclude = () if spelling is None else (spelling,)
        return table.nearest(table.cosines(vector), _checked_topn(topn), exclude)

    def similarity(self, a: Word, b: Word) -> float:
        """Compare two words.

        Parameters
        ----------
        a, b : str or array-like of shape (vector_size,)
            Words or vectors, as for :meth:`most_similar`.

        Returns
        -------
        float
            Cosine of their vectors.

        Raises
        ------
        UnknownWordError
            If a word has no vector.
        NotFittedError
            If the embedder is not fitted.
        """
        (u, _), (v, _) = self._vector(a), self._vector(b)
        return float(u @ v / ((np.linalg.norm(u) * np.linalg.norm(v)) or 1))

    def analogy(
        self,
        positive: Sequence[Word],
        negative: Sequence[Word],
        topn: int = 10,
        *,
        method: Analogy = "3cosadd",
    ) -> list[Neighbor]:
        """Complete an analogy: king - man + woman is near queen.

        Parameters
        ----------
        positive : list of str or array-like
            Words or vectors that the result should be near to: ``["king", "woman"]``.
        negative : list of str or array-like
            Words or vectors that the result should be far from: ``["man"]``.
        topn : int, default=10
            Number of words to return.
        method : {"3cosadd", "3cosmul"}, default="3cosadd"
            Add the cosines, or multiply them; Levy & Goldberg, "Linguistic Regularities in Sparse
            and Explicit Word Representations", CoNLL 2014.

        Returns
        -------
        list of Neighbor, of length topn or less
            Pairs ``(word, similarity)``, best first, without the words that were passed.

        Raises
        ------
        UnknownWordError
            If a word has no vector.
        NotFittedError
            If the embedder is not fitted.
        """
        check_analogy_method(method)
        for name, given in (("positive", positive), ("negative", negative)):
            if given is None or isinstance(given, str):
                raise TypeError(f"{name} must be a list of words or vectors, got {given!r}.")
        if not len(positive):
            raise ValueError("positive must contain at least one word.")
        near = [self._vector(word) for word in positive]
        far = [self._vector(word) for word in negative]
        table = self._table()
        scores = table.analogy_scores([v for v, _ in near], [v for v, _ in far], method)
        return table.nearest(scores, _checked_topn(topn), [word for _, word in near + far if word])

    def save_vectors(self, path: FilePath, *, file_format: VectorFormat = "auto") -> None:
        """Write words and vectors to a file that the parameter `vectors` and gensim can read.

        Parameters
        ----------
        path : str or path
            The file. An existing one is replaced once the new one is complete. A name that ends in
            ``.gz``, ``.bz2`` or ``.xz`` compresses it.
        file_format : {"auto", "text", "binary", "glove", "fasttext"}, default="auto"
            "text" and "binary": word2vec's formats. "glove": text without a header. "fasttext":
            fastText's ``.bin``, which also contains the vectors of n-grams and the weights needed
            to continue training. "auto": by the suffix, ``.txt`` or ``.vec`` for "text" and
            ``.bin`` for "binary" (FastTextVectorizer: "fasttext").

        Raises
        ------
        ValueError
            If the suffix is unknown, or the format does not allow a word; only "fasttext" allows
            blanks in words.
        FileNotFoundError
            If the folder does not exist.
        NotFittedError
            If the embedder is not fitted.
        """
        if file_format not in FORMATS:
            raise ValueError(f"file_format must be one of {list(FORMATS)}, got {file_format!r}.")
        write_vectors(self._table(), path, file_format, self._writes_ngrams)

    def to_keyed_vectors(self) -> Any:
        """Copy words and vectors to gensim's object.

        Returns
        -------
        gensim.models.KeyedVectors
            With a copy of the vectors. If there are vectors of character n-grams, it is a
            ``FastTextKeyedVectors``, which has vectors for unseen words, too.

        Raises
        ------
        NotFittedError
            If the embedder is not fitted.
        """
        return to_keyed_vectors(self._table())


def _checked_vector(vector, shape):
    expected = f"A word or a vector of shape {shape} is expected, got"
    try:
        checked = np.asarray(vector, dtype=np.float32)
    except (TypeError, ValueError):
        raise ValueError(f"{expected} {vector!r}.") from None
    if checked.shape != shape:
        got = f"{vector!r}" if checked.ndim == 0 else f"one of shape {checked.shape}"
        raise ValueError(f"{expected} {got}.")
    if not np.isfinite(checked).all():
        raise ValueError(f"{expected} one that contains NaN or infinity.")
    return checked


def _checked_topn(topn):
    if isinstance(topn, bool) or not isinstance(topn, Integral) or topn < 1:
        raise ValueError(f"topn must be a positive int, got {topn!r}.")
    return topn
