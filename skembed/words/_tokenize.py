"""Split rows into words, as CountVectorizer does, and map words to indices."""

import re
from array import array
from collections import defaultdict
from collections.abc import Callable, Iterable
from functools import cache
from itertools import groupby, repeat
from typing import NamedTuple
from unicodedata import category

import numpy as np
from sklearn.feature_extraction.text import CountVectorizer

from skembed.base._rows import describe
from skembed.base._text_rows import has_lone_surrogate, text_problem

TOKEN_PATTERN = "auto"
COUNT_PATTERN = r"(?u)\b\w\w+\b"  # CountVectorizer's own
# Code points that are searched for combining marks; there are none outside of these ranges.
_MARK_RANGES = (*range(0x300, 0x1F000), *range(0xE0100, 0xE01F0))
_JOINERS = "\u200c\u200d"  # zero-width non-joiner and joiner


@cache
def _word_pattern():
    r"""Return the pattern of a word with its combining marks.

    A word is a sequence of two or more ``\w`` and marks that begins with ``\w``. A zero-width
    joiner or non-joiner belongs to a word if it is followed by a letter or mark, or preceded by a
    mark (at the end of Malayalam and Sinhala words). Text without marks and joiners gives
    CountVectorizer's words.
    """
    marks = "".join(chr(code) for code in _MARK_RANGES if category(chr(code))[0] == "M")
    joiner = f"[{_JOINERS}]"
    more = rf"(?:[{marks}]|{joiner}(?=[\w{marks}])|(?<=[{marks}]){joiner})"
    # `more` is a mark, or a joiner in one of its two places. Runs of \w, which are most of a text,
    # are matched as a whole, since matching alternatives character by character is slow. A single
    # \w is only a word if a mark or joiner follows.
    return re.compile(rf"(?:\w\w+|\w(?={more}))(?:{more}+\w*)*")


def find_words(text):
    """Return the words of a text, with their combining marks.

    Examples
    --------
    >>> find_words("a naïve cat, \u0915\u0940")
    ['naïve', 'cat', 'की']
    """
    return _word_pattern().findall(text)


class Tokenizer(NamedTuple):
    """Split rows into words. A row that is a list of words is returned unchanged."""

    preprocess: Callable  # str -> str
    split: Callable  # str -> words
    stop_words: frozenset | None
    is_custom: bool  # whether `split` is a function of the user
    ascii_table: bytes | None  # replaces both functions for ASCII text; see `_ascii_table`

    def words(self, row):
        """Return the words of a row, a list or tuple of str.

        Examples
        --------
        >>> tokenizer = make_tokenizer(stop_words="english")
        >>> tokenizer.words("The cat sat on a mat."), tokenizer.words(["The", "cat"])
        (['cat', 'sat', 'mat'], ['The', 'cat'])
        """
        if not isinstance(row, str):
            return row
        words = self._find(row)
        if self.stop_words:
            words = [word for word in words if word not in self.stop_words]
        return words

    def _find(self, text):
        """Return the words of a text, including stop words."""
        if self.ascii_table is None:
            return self._split(text)
        if text.isascii():
            return self._split_ascii(text)
        words = []
        # Most lines of a text are ASCII, and no word spans two lines.
        for is_ascii, lines in groupby(text.split("\n"), str.isascii):
            split = self._split_ascii if is_ascii else self._split
            words += split("\n".join(lines))
        return words

    def _split_ascii(self, text):
        parts = text.encode().translate(self.ascii_table).decode().split()
        return [word for word in parts if len(word) > 1]

    def _split(self, text):
        text = self.preprocess(text)
        if not isinstance(text, str):
            raise TypeError(f"preprocessor must return text as str; got {describe(text)}.")
        words = self.split(text)
        return _checked_words(words) if self.is_custom else words


def _checked_words(words):
    """Return the result of a user's tokenizer as a list; raise a TypeError if it is not words."""
    if isinstance(words, (str, bytes)) or not isinstance(words, Iterable):
        raise TypeError(f"tokenizer must return a list of words; got {describe(words)}.")
    words = list(words)
    for word in words:
        if not isinstance(word, str):
            raise TypeError(f"tokenizer must return words as str; got {describe(word)}.")
    return words


def make_tokenizer(
    *,
    lowercase=True,
    preprocessor=None,
    tokenizer=None,
    token_pattern=TOKEN_PATTERN,
    stop_words=None,
):
    """Return a `Tokenizer`; the parameters have the same meaning as in CountVectorizer.

    ``token_pattern="auto"`` finds the same words as CountVectorizer, with their combining marks.

    Raises
    ------
    ValueError
        If `token_pattern` has several groups, or both `token_pattern` and `tokenizer` are None.
    """
    if tokenizer is None and token_pattern is None:
        raise ValueError("token_pattern=None requires a tokenizer.")
    auto = tokenizer is None and token_pattern == TOKEN_PATTERN
    counter = CountVectorizer(
        lowercase=lowercase,
        preprocessor=preprocessor,
        tokenizer=find_words if auto else tokenizer,
        token_pattern=None if auto else token_pattern,
        stop_words=stop_words,
    )
    counter.build_analyzer()  # warns about stop words that preprocessing would change
    is_default = auto or (tokenizer is None and token_pattern == COUNT_PATTERN)
    return Tokenizer(
        preprocess=counter.build_preprocessor(),
        split=counter.build_tokenizer(),
        stop_words=counter.get_stop_words(),
        is_custom=tokenizer is not None,
        ascii_table=_ascii_table(lowercase) if is_default and preprocessor is None else None,
    )


def _ascii_table(lowercase):
    """Return a table for ``bytes.translate`` that replaces all but letters, digits and _ by blanks.

    Together with ``str.split``, it finds the words of ASCII texts in less than half the time of the
    regular expression, which would dominate the time of a transform.
    """
    kept = [chr(i) if chr(i).isalnum() or chr(i) == "_" else " " for i in range(128)]
    table = "".join(kept)
    return (table.lower() if lowercase else table).encode() + bytes(128)


def check_rows(rows):
    """Return a key for each row, None for a bad row, and {position: problem}.

    A row is a text, or a list, tuple or 1-D array of words. The key of a text is the text itself.

    Examples
    --------
    >>> check_rows(["a b", ["a", "b"], 3, ["a", None]])
    (['a b', ('a', 'b'), None, None], {2: 'int', 3: 'list with None'})
    """
    keys, bad = [], {}
    for position, row in enumerate(rows):
        is_text = isinstance(row, str)
        is_words = not is_text and (isinstance(row, (list, tuple)) or getattr(row, "ndim", 0) == 1)
        problem = _words_problem(row) if is_words else text_problem(row)
        if problem is not None:
            bad[position] = problem
        keys.append(None if problem is not None else tuple(row) if is_words else row)
    return keys, bad


def _words_problem(words):
    """Return why a sequence is not a row of words; None if it is one."""
    try:
        text = "".join(words)
    except TypeError:
        wrong = next(word for word in words if not isinstance(word, str))
        return f"{type(words).__name__} with {describe(wrong)}"
    return f"{type(words).__name__} with a lone surrogate" if has_lone_surrogate(text) else None


def chunks(lengths, size):
    """Divide rows into chunks whose lengths add up to about `size`; no row is split.

    Parameters
    ----------
    lengths : list or ndarray of n_rows int
        The length of each row.
    size : int
        Approximate length of a chunk.

    Yields
    ------
    start, stop : int
        Rows ``start:stop`` are a chunk of at least one row.

    Examples
    --------
    >>> list(chunks([3, 2, 0, 4, 1], 4))
    [(0, 2), (2, 4), (4, 5)]
    """
    sums = np.cumsum(lengths)
    start = 0
    while start < len(sums):
        before = sums[start - 1] if start else 0
        stop = max(start + 1, int(np.searchsorted(sums, before + size)) + 1)
        yield start, min(stop, len(sums))
        start = stop


def word_ids(words, vocabulary):
    """Look up the indices of words.

    Parameters
    ----------
    words : iterable of n_rows lists of str
        The words of each row. Rows are processed one by one, so that the words of a lazy iterator
        are not all in memory.
    vocabulary : dict of str to int
        Index of each known word.

    Returns
    -------
    ids : ndarray of shape (n_words,), int32
        Indices of the words of all rows, row by row; -1 for an unknown word.
    starts : ndarray of shape (n_rows + 1,), int64
        Row i has ``ids[starts[i]:starts[i + 1]]``.

    Examples
    --------
    >>> ids, starts = word_ids([["a", "b"], [], ["c"]], {"a": 0, "c": 1})
    >>> ids.tolist(), starts.tolist()
    ([0, -1, 1], [0, 2, 2, 3])
    """
    return _map_words(words, vocabulary.get, repeat(-1))


def _map_words(words, look_up, *defaults):
    """Return `ids` and `starts` of rows, where ``look_up(word, *defaults)`` is a word's id."""
    ids, starts = array("i"), array("q", [0])
    for row in words:
        ids.extend(map(look_up, row, *defaults))
        starts.append(len(ids))
    return np.array(ids, dtype=np.int32), np.array(starts, dtype=np.int64)


class NumberedWords(NamedTuple):
    """The words of rows as numbers, for the several passes of `fit`.

    Attributes
    ----------
    distinct : list of n_distinct str
        The distinct words, in the order of their first occurrence.
    ids : ndarray of shape (n_words,), int32
        Indices in `distinct` of the words of all rows, row by row.
    starts : ndarray of shape (n_rows + 1,), int64
        Row i has ``ids[starts[i]:starts[i + 1]]``.
    """

    distinct: list
    ids: np.ndarray
    starts: np.ndarray

    def counts(self):
        """Return the number of occurrences of each distinct word, (n_distinct,) int64."""
        return np.bincount(self.ids, minlength=len(self.distinct))


def number_words(words):
    """Assign a number to each word, in the order of their first occurrence.

    Parameters
    ----------
    words : iterable of n_rows lists of str
        The words of each row.

    Returns
    -------
    words : NumberedWords

    Examples
    --------
    >>> words = number_words([["b", "a"], [], ["b"]])
    >>> words.distinct, words.ids.tolist(), words.starts.tolist(), words.counts().tolist()
    (['b', 'a'], [0, 1, 0], [0, 2, 2, 3], [2, 1])
    """
    numbers = defaultdict()
    numbers.default_factory = numbers.__len__  # a new word gets the next number
    ids, starts = _map_words(words, numbers.__getitem__)
    return NumberedWords(list(numbers), ids, starts)
