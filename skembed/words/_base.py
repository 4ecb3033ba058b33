"""The base of the word-vector estimators: rows -> words -> ids -> counts @ vectors, and queries.

A subclass supplies `_train`; where vectors come from otherwise is `_vector_files`' matter.
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
from skembed.embedder._base import Block, Embedder
from skembed.exceptions import UnknownWordError, UnknownWordsWarning
from skembed.words._files import open_vectors
from skembed.words._keyed_vectors import to_keyed_vectors
from skembed.words._pooling import POOLINGS, learn, needs_rows
from skembed.words._tokenize import check_rows, chunks, make_tokenizer, number_words, word_ids
from skembed.words._writers import FORMATS, write_vectors

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from skembed.base._typing import Analogy, FilePath, VectorFormat, Vectors, Word
    from skembed.words._table import Neighbor


# Characters (or words, where rows are lists of words) that are looked up at a time, so that what
# lies between text and vector stays small.
_CHUNK = 1_000_000


class _WordVectorizer(Embedder):
    """Base of the estimators that embed a row by the vectors of its words."""

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
            Vectors to go on from.

        Returns
        -------
        table : WordTable
        """
        raise NotImplementedError

    def _wants_subwords(self):
        """Tell whether unknown words get a vector from their n-grams."""
        return False

    # -- the path --------------------------------------------------------------------------------

    def _check_rows(self, rows):
        return check_rows(rows)

    def _fit_rows(self, rows, y):
        self._check_parameters()
        self._tokenizer = make_tokenizer(
            lowercase=self.lowercase,
            preprocessor=self.preprocessor,
            tokenizer=self.tokenizer,
            token_pattern=self.token_pattern,
            stop_words=self.stop_words,
        )
        self._with_subwords = self._wants_subwords()
        source = None
        if self.vectors is not None:
            source = open_vectors(self.vectors, self._plain("max_words"))
        trains = source is None or self.fine_tune
        words = None
        if trains or needs_rows(self.pooling):
            words = number_words(map(self._tokenizer.words, rows))
        if trains:
            source = self._train(words, None if source is None else source.table())
        self._source = source  # a WordTable, or the file that holds one
        table = source.table()
        bags = partial(self._bags, table, words)
        self._pooling = learn(self.pooling, bags, *table.vectors.shape)
        self._n_dims = table.vectors.shape[1] * self._pooling.n_parts

    def _check_parameters(self):
        """Raise a ValueError for parameters that do not go together."""
        if self.vectors is None:
            for name in ("fine_tune", "max_words"):
                if getattr(self, name):
                    raise ValueError(f"{name} says how to use `vectors`, which is None.")

    def _bags(self, table, words):
        """Yield the `Bag` of some rows of `fit` after the other."""
        numbers, _ = word_ids([words.distinct], table.vocabulary)
        for start, stop in chunks(np.diff(words.starts), _CHUNK):
            starts = words.starts[start : stop + 1]
            seen = words.ids[starts[0] : starts[-1]]
            ids, unknown = numbers[seen], ()
            if self._with_subwords:
                unknown = [words.distinct[i] for i in seen[ids < 0]]
            yield table.bag(ids, starts - starts[0], unknown)

    def _bag(self, table, rows):
        """Return the `Bag` of some rows of `transform`."""
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
                vectors, known = self._pooling.rows(self._bag(table, rows[start:stop]))
                yield Block(np.arange(start, stop), vectors, ~known)
                bar.update(stop - start)

    def _cut_message(self, n_cut, n_rows):
        texts, have = "texts" if n_rows > 1 else "text", "have" if n_cut > 1 else "has"
        n_words = len(self.vocabulary_)
        return (
            f"{n_cut} of {n_rows} {texts} {have} none of the {n_words} known words, and got zeros."
        )

    def _plain(self, name):
        """Return a parameter; a number of numpy as Python's, which does not overflow."""
        value = getattr(self, name)
        return value.item() if isinstance(value, np.generic) else value

    def _no_words_error(self, words):
        """Return the error that says why no word is left to learn of."""
        if not words.distinct:
            what = "the rows hold no words that token_pattern finds, or only stop words"
        else:
            counts = words.counts()
            most = int(counts.argmax())
            what = (
                f"no word occurs min_count={self.min_count} times or more; the most frequent is "
                f"{words.distinct[most]!r} with {counts[most]}. Lower min_count"
            )
        return ValueError(f"{type(self).__name__}: empty vocabulary; {what}.")

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.string = True
        return tags

    # -- words -----------------------------------------------------------------------------------

    @property
    def vocabulary_(self) -> dict[str, int]:
        """Number of each word."""
        return self._table().vocabulary

    @property
    def vectors_(self) -> Vectors:
        """Vector of each word."""
        return self._table().vectors

    def _table(self):
        check_is_fitted(self)
        return self._source.table()

    def _vector(self, word):
        """Return the vector of a word, or a vector as it is; and the word, if it is one."""
        table = self._table()
        if not isinstance(word, str):
            return _checked_vector(word, table.vectors.shape[1:]), None
        for spelling in dict.fromkeys([word, self._tokenizer.preprocess(word)]):
            if spelling in table.vocabulary:
                return table.find(spelling), spelling
        vector = table.find(spelling) if self._with_subwords else None
        if vector is None:
            raise UnknownWordError(
                f"{word!r} is not among the {len(table.words)} words that "
                f"{type(self).__name__} knows."
            )
        return vector, spelling

    def most_similar(self, word: Word, topn: int = 10) -> list[Neighbor]:
        """Find the words whose vectors are nearest by cosine.

        Parameters
        ----------
        word : str or array-like of shape (vector_size,)
            A word, which is left out of the answer, or a vector. A word that is not known as it
            stands is looked up as a word of a text would be, in lower case if `lowercase`.
        topn : int, default=10
            How many to return.

        Returns
        -------
        list of Neighbor, of length topn or less
            Pairs ``(word, similarity)``, the nearest first. ``pandas.DataFrame(...)`` makes a
            frame of them.

        Raises
        ------
        UnknownWordError
            If the word has no vector.
        NotFittedError
            If the embedder is not fitted.
        """
        vector, spelling = self._vector(word)
        table = self._table()
        without = () if spelling is None else (spelling,)
        return table.nearest(table.cosines(vector), _checked_topn(topn), without)

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
            Words or vectors that the answer should be near to: ``["king", "woman"]``.
        negative : list of str or array-like
            Those that it should be far from: ``["man"]``.
        topn : int, default=10
            How many to return.
        method : {"3cosadd", "3cosmul"}, default="3cosadd"
            Add cosines up, or multiply them; Levy & Goldberg, "Linguistic Regularities in Sparse
            and Explicit Word Representations", CoNLL 2014.

        Returns
        -------
        list of Neighbor, of length topn or less
            Pairs ``(word, similarity)``, the best first, without the words that were given.

        Raises
        ------
        UnknownWordError
            If a word has no vector.
        NotFittedError
            If the embedder is not fitted.
        """
        if method not in ("3cosadd", "3cosmul"):
            raise ValueError(f"method must be '3cosadd' or '3cosmul', got {method!r}.")
        for name, given in (("positive", positive), ("negative", negative)):
            if given is None or isinstance(given, str):
                raise TypeError(f"{name} must be a list of words or vectors, got {given!r}.")
        if not len(positive):
            raise ValueError("positive must hold at least one word.")
        near = [self._vector(word) for word in positive]
        far = [self._vector(word) for word in negative]
        table = self._table()
        scores = table.analogy_scores([v for v, _ in near], [v for v, _ in far], method)
        return table.nearest(scores, _checked_topn(topn), [word for _, word in near + far if word])

    def save_vectors(self, path: FilePath, *, file_format: VectorFormat = "auto") -> None:
        """Write words and vectors to a file, which `vectors` and gensim read.

        Parameters
        ----------
        path : str or path
            The file. It is written aside and then takes the place of an old one. With a name that
            ends in ``.gz``, ``.bz2`` or ``.xz`` it is packed.
        file_format : {"auto", "text", "binary", "glove", "fasttext"}, default="auto"
            "text" and "binary": word2vec's formats. "glove": text without a header. "fasttext":
            fastText's ``.bin``, which also holds the vectors of n-grams and what training goes on
            from. "auto": by the suffix, ``.txt`` or ``.vec`` for "text" and ``.bin`` for "binary",
            of FastTextVectorizer for "fasttext". Only "fasttext" keeps the vectors of n-grams.

        Raises
        ------
        ValueError
            If the suffix is another one, or the format cannot hold a word, as the formats other
            than "fasttext" hold no blanks.
        FileNotFoundError
            If the folder does not exist.
        NotFittedError
            If the embedder is not fitted.
        """
        if file_format not in FORMATS:
            raise ValueError(f"file_format must be one of {list(FORMATS)}, got {file_format!r}.")
        write_vectors(self._table(), path, file_format, self._writes_ngrams)

    def to_keyed_vectors(self) -> Any:
        """Copy words and vectors into gensim's object.

        Returns
        -------
        gensim.models.KeyedVectors
            With a copy of the vectors; of ``FastTextKeyedVectors``, which also knows unseen words,
            where there are vectors of character n-grams.

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
        what = f"{vector!r}" if checked.ndim == 0 else f"one of shape {checked.shape}"
        raise ValueError(f"{expected} {what}.")
    if not np.isfinite(checked).all():
        raise ValueError(f"{expected} one that holds NaN or infinity.")
    return checked


def _checked_topn(topn):
    if isinstance(topn, bool) or not isinstance(topn, Integral) or topn < 1:
        raise ValueError(f"topn must be a positive int, got {topn!r}.")
    return topn
