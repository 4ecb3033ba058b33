"""Parser of text and binary word vectors: word2vec's formats, GloVe's text, fastText's ``.vec``."""

import codecs
import re
import warnings
from itertools import takewhile

import numpy as np

from skembed.base._warnings import callers_level
from skembed.exceptions import VectorFileError, VectorFileWarning
from skembed.words._compressed import SAMPLE, is_compressed, remaining_content
from skembed.words._kinds import KINDS, glove_binary_kind
from skembed.words._table import table_from_words

_BATCH_LINES = 4096  # parsed at a time
_BATCH_BYTES = 1 << 24  # of lines parsed at a time
LONGEST_LINE = 1 << 20  # bytes
_LONGEST_WORD = 1 << 16  # bytes of a word in a binary file; a longer one means another kind of file
_TRAILING = 1 << 16  # bytes after the last word that are checked to be blank
_INTEGER = re.compile(rb"[+-]?[0-9]{1,18}")
_NUMBER = re.compile(
    rb"[+-]?((\d+\.?\d*|\.\d+)(e[+-]?\d+)?|inf|infinity|nan(\(\w*\))?)", re.IGNORECASE
)
_UNKNOWN = b"<unk>"  # GloVe's last line, which its header does not count


def read_word2vec(file, path, max_words):
    """Read any format except fastText's ``.bin``.

    Parameters
    ----------
    file : io.BufferedReader
        The file, at its beginning.
    path : str
        Its name, for messages.
    max_words : int or None
        Maximum number of words. None: all.

    Returns
    -------
    table : WordTable

    Raises
    ------
    VectorFileError
        If the file is damaged, or of another kind.
    """
    if file.peek(3).startswith(codecs.BOM_UTF8):
        file.read(3)
    binary_kind = glove_binary_kind(file.peek(SAMPLE))
    first = file.readline(LONGEST_LINE)
    header = _header(first)
    if header is None:
        n_dims = _n_dims_of_line(first, path)
        if not n_dims or len(first) == LONGEST_LINE:
            kind = binary_kind or f"is not a file of word vectors: {KINDS} is expected."
            raise VectorFileError(f"{path} {kind}")
        return _TextReader(file, path, None, n_dims, 1, first).table(max_words)
    n_words, n_dims = header
    if n_words < 1 or n_dims < 1:
        raise VectorFileError(f"{path} states {n_words} words of {n_dims} dimensions.")
    sample = file.peek(4096)
    if _is_text(sample[:4096], n_dims):
        n_dims = _n_dims_of_glove(sample, n_dims)
        return _TextReader(file, path, n_words, n_dims, 2).table(max_words)
    return _read_binary(*remaining_content(file), path, n_words, n_dims, max_words)


def _header(line):
    """Return the number of words and of dimensions, or None if the line is not a header."""
    fields = line.split()
    if len(fields) == 2 and all(map(_INTEGER.fullmatch, fields)):
        return int(fields[0]), int(fields[1])
    return None


def _n_dims_of_line(line, path):
    """Return how many numbers follow the word of the first line, which may contain spaces."""
    fields = line.split()[1:]
    n_dims = len(list(takewhile(_is_number, reversed(fields))))
    before = fields[len(fields) - n_dims - 1 :][:1] if n_dims < len(fields) else []
    if before and _is_other_number(before[0]):
        raise _not_a_number(path, 1, before[0])
    return n_dims


def _is_number(field):
    return _NUMBER.fullmatch(field) is not None


def _is_other_number(field):
    """Tell whether a field is a number in another notation, such as 1_0, 0x1 or 0,5."""
    text = field.decode(errors="replace").replace(",", "")
    try:
        float.fromhex(text) if "0x" in text.lower() else float(text)
    except (OverflowError, ValueError):
        return False
    return True


def _not_a_number(path, line_number, field):
    text = field.decode(errors="backslashreplace")
    return VectorFileError(f"{path}, line {line_number}: {text!r} is not a number.")


def _is_text(sample, n_dims):
    """Tell text from binary vectors by the bytes after the header."""
    line, *more = sample.split(b"\n", 1)
    numbers = line.split()[1:]
    if more and len(numbers) == n_dims and all(map(_is_number, numbers)):
        return True
    if min(sample, default=0) < 9:  # control characters, which nearly all float32 numbers contain
        return False
    if numbers[:-1] and all(map(_is_number, numbers[:-1])):
        return True
    try:
        # Incremental, because the sample may end within a character.
        codecs.getincrementaldecoder("utf-8")().decode(sample)
    except UnicodeDecodeError:
        return False
    return True


def _n_dims_of_glove(sample, n_dims):
    """Return how many numbers a line has.

    GloVe's programs can write two vectors for each word (``-model 3``), or these and two biases
    (``-model 0``), under a header that counts one vector.
    """
    line, *more = sample.split(b"\n", 1)
    n_numbers = len(line.split()) - 1
    return n_numbers if more and n_numbers in (2 * n_dims, 2 * n_dims + 2) else n_dims


class _TextReader:
    """Reader of lines that contain a word and numbers.

    Parameters
    ----------
    file : io.BufferedReader
        At the first line, or after it if `first` is given.
    path : str
        Its name, for messages.
    n_words : int or None
        Number of words in the header. None: there is no header.
    n_dims : int
        Numbers in a line.
    line_number : int
        Of the first line, from 1.
    first : bytes, default=b""
        The first line, if it has been read.
    """

    def __init__(self, file, path, n_words, n_dims, line_number, first=b""):
        self._file, self._path, self._first = file, path, first
        self._n_words, self._n_dims, self._line_number = n_words, n_dims, line_number
        self._words, self._parts = [], []
        self._seen = set()  # the words of a compressed file
        # Whether all numbers so far could be the counts of a vocabulary.
        self._may_be_counts = n_words is None and n_dims == 1

    def table(self, max_words):
        """Return the `WordTable`."""
        n_words, words = self._n_words, self._words
        # One line more than the header states, to notice files that contain more.
        n_lines = float("inf") if n_words is None else n_words + 1
        limit = n_lines if max_words is None else min(n_lines, max_words)
        while len(words) < limit:
            lines = self._read_lines(min(_BATCH_LINES, limit - len(words)))
            if not lines:
                break
            self._parse(lines)
            if is_compressed(self._file):
                self._raise_limit(lines)
            self._line_number += len(lines)
        if n_words is not None:
            self._check_n_words(min(limit, n_words))
        if self._may_be_counts and self._rest_may_be_counts():
            raise VectorFileError(
                f"{self._path} has a count after each word, as a vocabulary has; it contains no "
                "vectors. If these are vectors of one dimension, put a line '<words> 1' before "
                "the first."
            )
        return table_from_bytes(words, np.concatenate(self._parts), self._path)

    def _check_n_words(self, expected):
        """Raise a VectorFileError if the file has fewer or more words than its header states."""
        n_words, words = self._n_words, self._words
        if len(words) < expected:
            raise VectorFileError(f"{self._path} ends after {len(words)} of {n_words} words.")
        if len(words) > n_words:
            if words[-1] != _UNKNOWN or self._file.read(_TRAILING).strip():
                raise _too_many_words(self._path, n_words)

    def _rest_may_be_counts(self):
        """Tell whether the lines after `max_words` end in whole numbers, too."""
        lines = [self._file.readline(LONGEST_LINE).split() for _ in range(_BATCH_LINES)]
        return all(fields[-1].isdigit() for fields in lines if fields)

    def _read_lines(self, n):
        """Read up to `n` lines; blank ones are only allowed at the end of the file."""
        lines, size = [], 0
        while len(lines) < n and size < _BATCH_BYTES:
            line = self._first or self._file.readline(LONGEST_LINE)
            self._first = b""
            if not line.strip():
                if line and self._file.read(_TRAILING).strip():
                    raise self._line_error(len(lines), line)
                break
            if len(line) == LONGEST_LINE and line[-1:] != b"\n":
                where = f"{self._path}, line {self._line_number + len(lines)}"
                raise VectorFileError(f"{where}: more than {LONGEST_LINE} bytes without an end.")
            lines.append(line)
            size += len(line)
        return lines

    def _parse(self, lines):
        """Append the words and the vectors of some lines."""
        numbers = []
        for i, line in enumerate(lines):
            word, _, rest = line.rstrip().partition(b" ")
            if not rest or rest.count(b" ") != self._n_dims - 1:
                word, rest = self._split_from_right(line)
            if not word:
                raise self._line_error(i, line)
            self._words.append(word)
            numbers.append(rest.decode("latin-1"))
        self._may_be_counts = self._may_be_counts and all(map(str.isdigit, numbers))
        vectors = self._to_floats(numbers)
        finite = np.isfinite(vectors).all(axis=1)
        if not finite.all():
            i = int(finite.argmin())
            word = self._words[i - len(lines)].decode(errors="backslashreplace")
            raise VectorFileError(
                f"{self._path}, line {self._line_number + i}: the vector of {word!r} contains NaN "
                "or infinity."
            )
        self._parts.append(vectors)

    def _raise_limit(self, lines):
        """Raise the limit of a compressed file by the size of the lines with new words."""
        for word, line in zip(self._words[-len(lines) :], lines, strict=True):
            if word not in self._seen:
                self._seen.add(word)
                self._file.raw.raise_limit(len(line))

    def _split_from_right(self, line):
        """Split a line whose word contains spaces, or whose fields are separated by tabs."""
        word, *numbers = line.rstrip().rsplit(None, self._n_dims) or [b""]
        if len(numbers) != self._n_dims or all(map(_is_number, word.split()[1:][-1:] or [b"-"])):
            return None, None
        return word, b" ".join(numbers)

    def _to_floats(self, lines):
        """Return the numbers of lines without their words, (n_lines, n_dims)."""
        try:
            vectors = np.loadtxt(lines, dtype=np.float32, comments=None, delimiter=" ", ndmin=2)
        except ValueError as error:
            vectors = error
        if getattr(vectors, "shape", None) == (len(lines), self._n_dims):
            return vectors
        for i, line in enumerate(lines):
            for field in line.split(" "):
                if not _is_number(field.encode("latin-1")):
                    raise _not_a_number(self._path, self._line_number + i, field.encode("latin-1"))
        last = self._line_number + len(lines) - 1
        raise VectorFileError(f"{self._path}, lines {self._line_number} to {last}: {vectors}")

    def _line_error(self, i, line):
        """Return the error for line `i` of a batch."""
        where, numbers = f"{self._path}, line {self._line_number + i}", line.split()[1:]
        if line[:1].isspace() and len(line.split()) == self._n_dims:
            return VectorFileError(f"{where}: a word is expected before the numbers.")
        expected = f"{self._n_dims} numbers are" if self._n_dims > 1 else "1 number is"
        hint = ""
        if len(numbers) == 1 and numbers[0].isdigit():
            hint = " Is this a vocabulary with counts? It contains no vectors."
        return VectorFileError(
            f"{where}: {expected} expected after the word, got {len(numbers)}.{hint}"
        )


def _too_many_words(path, n_words):
    return VectorFileError(f"{path} states {n_words} words, but contains more.")


def _read_binary(buffer, offset, path, n_words, n_dims, max_words):
    limit = n_words if max_words is None else min(n_words, max_words)
    size = 4 * n_dims
    # Checked before the array is allocated: a damaged header can state any number.
    if len(buffer) - offset < limit * size:
        n_complete = max((len(buffer) - offset) // size, 0)
        raise VectorFileError(f"{path} ends after {n_complete} or fewer of {n_words} words.")
    vectors = np.empty((limit, n_dims), dtype=np.float32)
    words = []
    for i in range(limit):
        stop = buffer.find(b" ", offset, offset + _LONGEST_WORD)
        found = 0 <= stop <= len(buffer) - 1 - size
        # Some programs write a newline after each vector.
        word = buffer[offset:stop].lstrip(b"\n") if found else b""
        if not word:
            raise VectorFileError(f"{path} is damaged, or ends, after {i} of {n_words} words.")
        words.append(word)
        vectors[i] = np.frombuffer(buffer, "<f4", n_dims, stop + 1)
        offset = stop + 1 + size
    if limit == n_words and buffer[offset : offset + _TRAILING].strip():
        raise _too_many_words(path, n_words)
    return table_from_bytes(words, vectors, path)


def table_from_bytes(words, vectors, path, subwords=None, state=None):
    """Return a `WordTable` of words in bytes; warn once about duplicates and wrong encoding."""
    text, n_not_utf8 = [], 0
    for word in words:
        try:
            text.append(word.decode())
        except UnicodeDecodeError:
            text.append(word.decode(errors="backslashreplace"))
            n_not_utf8 += 1
    table = table_from_words(text, vectors, subwords, state)
    n_duplicates = len(text) - len(table.vocabulary)
    problems = []
    if n_duplicates:
        problems.append(
            f"{n_duplicates} of {len(text)} words are duplicates, of which the first is kept"
        )
    if n_not_utf8:
        problems.append(f"{n_not_utf8} of {len(text)} words are not UTF-8 and are escaped as \\x..")
    if problems:
        warnings.warn(
            f"{path}: {'; '.join(problems)}.", VectorFileWarning, stacklevel=callers_level()
        )
    return table
