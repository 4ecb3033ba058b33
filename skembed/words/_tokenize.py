"""From rows to words, as CountVectorizer finds them, and from words to numbers."""

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
_MARKS = (*range(0x300, 0x1F000), *range(0xE0100, 0xE01F0))  # where combining marks are
_JOINERS = "\u200c\u200d"


@cache
def _word_pattern():
    r"""Return the pattern of a word with its combining marks.

    A word is two or more of ``\w`` and marks, the first one of ``\w``. A zero-width joiner or
    non-joiner is part of a word before a letter or mark, and after a mark (where it shapes the end
    of a Malayalam or Sinhala word). Without marks and joiners these are CountVectorizer's words.
    """
    marks = "".join(chr(code) for code in _MARKS if category(chr(code))[0] == "M")
    joiner = f"[{_JOINERS}]"
    more = rf"(?:[{marks}]|{joiner}(?=[\w{marks}])|(?<=[{marks}]){joiner})"
    # Runs of \w are matched as a whole: they are most of a text.
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
    """How a row becomes words. A row that is a list of words stands as it is."""

    preprocess: Callable  # str -> str
    split: Callable  # str -> words
    stop_words: frozenset | None
    own: bool  # whether `split` is a function of the user's
    ascii_table: bytes | None  # does the work of the two faster; see `_ascii_table`

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
        words = self._found(row)
        if self.stop_words:
            words = [word for word in words if word not in self.stop_words]
        return words

    def _found(self, text):
        if self.ascii_table is None:
            return self._split(text)
        if text.isascii():
            return self._split_ascii(text)
        words = []  # no word goes on in the next line, and most lines are ASCII
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
        return _checked_words(words) if self.own else words


def _checked_words(words):
    """Return what a tokenizer of the user's has answered as a list, if it is words."""
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
    """Return the `Tokenizer` of parameters that mean what they mean for CountVectorizer.

    ``token_pattern="auto"`` finds words as CountVectorizer does, with their combining marks.

    Raises
    ------
    ValueError
        If `token_pattern` has several groups, or neither it nor `tokenizer` is given.
    """
    if tokenizer is None and token_pattern is None:
        raise ValueError("token_pattern=None needs a tokenizer.")
    auto = tokenizer is None and token_pattern == TOKEN_PATTERN
    counter = CountVectorizer(
        lowercase=lowercase,
        preprocessor=preprocessor,
        tokenizer=find_words if auto else tokenizer,
        token_pattern=None if auto else token_pattern,
        stop_words=stop_words,
    )
    counter.build_analyzer()  # warns of stop words that do not match what they are compared with
    usual = auto or (tokenizer is None and token_pattern == COUNT_PATTERN)
    return Tokenizer(
        preprocess=counter.build_preprocessor(),
        split=counter.build_tokenizer(),
        stop_words=counter.get_stop_words(),
        own=tokenizer is not None,
        ascii_table=_ascii_table(lowercase) if usual and preprocessor is None else None,
    )


def _ascii_table(lowercase):
    """Return a table for ``bytes.translate`` that leaves words of two letters or more and blanks.

    With ``str.split`` it finds the words of ASCII texts in less than half of the time that the
    regular expression takes, most of the time of a transform.
    """
    kept = [chr(i) if chr(i).isalnum() or chr(i) == "_" else " " for i in range(128)]
    table = "".join(kept)
    return (table.lower() if lowercase else table).encode() + bytes(128)


def check_rows(rows):
    """Return a key for each row, None for a bad one, and {position: what is wrong}.

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
    """Cut rows into runs whose lengths sum to about `size`; a row is never divided.

    Parameters
    ----------
    lengths : list or ndarray of n_rows int
        The length of each row.
    size : int
        About how long a run is.

    Yields
    ------
    start, stop : int
        The rows from `start` to before `stop` are a run of at least one row.

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
    """Look words up.

    Parameters
    ----------
    words : iterable of n_rows lists of str
        The words of each row. A row is done with before the next one is asked for, so that an
        iterator need not keep the words alive.
    vocabulary : dict of str to int
        Number of each known word.

    Returns
    -------
    ids : ndarray of shape (n_words,), int32
        Numbers of all rows' words, one row after the other; -1 for an unknown word.
    starts : ndarray of shape (n_rows + 1,), int64
        Row i has ``ids[starts[i]:starts[i + 1]]``.

    Examples
    --------
    >>> ids, starts = word_ids([["a", "b"], [], ["c"]], {"a": 0, "c": 1})
    >>> ids.tolist(), starts.tolist()
    ([0, -1, 1], [0, 2, 2, 3])
    """
    return _ids(words, vocabulary.get, repeat(-1))


def _ids(words, *look_up):
    ids, starts = array("i"), array("q", [0])
    for row in words:
        ids.extend(map(look_up[0], row, *look_up[1:]))
        starts.append(len(ids))
    return np.array(ids, dtype=np.int32), np.array(starts, dtype=np.int64)


class NumberedWords(NamedTuple):
    """The words of some rows, looked up once for all that `fit` does with them.

    Attributes
    ----------
    distinct : list of n_distinct str
        Each word once, in the order in which they first occur.
    ids : ndarray of shape (n_words,), int32
        Which of them the words of all rows are, one row after the other.
    starts : ndarray of shape (n_rows + 1,), int64
        Row i has ``ids[starts[i]:starts[i + 1]]``.
    """

    distinct: list
    ids: np.ndarray
    starts: np.ndarray

    def counts(self):
        """Return how often each distinct word occurs, (n_distinct,) int64."""
        return np.bincount(self.ids, minlength=len(self.distinct))


def number_words(words):
    """Give each word a number, in the order in which they first occur.

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
    numbers.default_factory = numbers.__len__
    ids, starts = _ids(words, numbers.__getitem__)
    return NumberedWords(list(numbers), ids, starts)
