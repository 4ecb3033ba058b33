"""Text and binary files of word vectors: word2vec's formats, GloVe's text, fastText's ``.vec``."""

import codecs
import re
import warnings
from itertools import takewhile

import numpy as np

from skembed.exceptions import VectorFileError, VectorFileWarning
from skembed.words._kinds import KINDS, glove_program
from skembed.words._packed import SAMPLE, is_packed, rest_of
from skembed.words._table import table_of_words

_LINES = 4096  # parsed at a time
_BYTES = 1 << 24  # of lines parsed at a time
LONGEST_LINE = 1 << 20  # bytes
_LONGEST_WORD = 1 << 16  # bytes; in a binary file that has none within, something else is written
_INTEGER = re.compile(rb"[+-]?[0-9]{1,18}")
_NUMBER = re.compile(
    rb"[+-]?((\d+\.?\d*|\.\d+)(e[+-]?\d+)?|inf|infinity|nan(\(\w*\))?)", re.IGNORECASE
)
_UNKNOWN = b"<unk>"  # GloVe's last line, which its header does not count


def read_words(file, path, max_words):
    """Read any format but fastText's ``.bin``.

    Parameters
    ----------
    file : io.BufferedReader
        The file, at its beginning.
    path : str
        Its name, for messages.
    max_words : int or None
        How many words to read. None: all.

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
    program = glove_program(file.peek(SAMPLE))
    first = file.readline(LONGEST_LINE)
    header = _header(first)
    if header is None:
        # The first word may have spaces in it, so the numbers are counted from the end.
        fields = first.split()[1:]
        n_dims = len(list(takewhile(_is_number, reversed(fields))))
        before = fields[len(fields) - n_dims - 1 :][:1] if n_dims < len(fields) else []
        if before and _is_foreign_number(before[0]):
            raise _no_number(path, 1, before[0])
        if not n_dims or len(first) == LONGEST_LINE:
            what = program or f"is no file of word vectors: {KINDS} is expected."
            raise VectorFileError(f"{path} {what}")
        return _TextReader(file, path, None, n_dims, 1, first).table(max_words)
    n_words, n_dims = header
    if n_words < 1 or n_dims < 1:
        raise VectorFileError(f"{path} says that it holds {n_words} words of {n_dims} dimensions.")
    sample = file.peek(4096)
    if _is_text(sample[:4096], n_dims):
        n_dims = _n_dims_of_glove(sample, n_dims)
        return _TextReader(file, path, n_words, n_dims, 2).table(max_words)
    return _read_binary(*rest_of(file), path, n_words, n_dims, max_words)


def _header(line):
    """Return the number of words and of dimensions, or None if the line does not say."""
    fields = line.split()
    if len(fields) == 2 and all(map(_INTEGER.fullmatch, fields)):
        return int(fields[0]), int(fields[1])
    return None


def _is_number(field):
    return _NUMBER.fullmatch(field) is not None


def _is_foreign_number(field):
    """Tell whether a field is a number elsewhere, though not in these files: 1_0, 0x1, 0,5."""
    text = field.decode(errors="replace").replace(",", "")
    try:
        float.fromhex(text) if "0x" in text.lower() else float(text)
    except (OverflowError, ValueError):
        return False
    return True


def _no_number(path, number, field):
    text = field.decode(errors="backslashreplace")
    return VectorFileError(f"{path}, line {number}: {text!r} is not a number.")


def _is_text(sample, n_dims):
    """Tell text from binary vectors by what follows the header."""
    line, *more = sample.split(b"\n", 1)
    numbers = line.split()[1:]
    if more and len(numbers) == n_dims and all(map(_is_number, numbers)):
        return True
    if min(sample, default=0) < 9:  # control characters; nearly all float32 numbers have such bytes
        return False
    if numbers[:-1] and all(map(_is_number, numbers[:-1])):
        return True
    try:
        codecs.getincrementaldecoder("utf-8")().decode(sample)  # its end may be half a character
    except UnicodeDecodeError:
        return False
    return True


def _n_dims_of_glove(sample, n_dims):
    """Return how many numbers a line has.

    GloVe's programs can write two vectors a word (``-model 3``), or these and two biases
    (``-model 0``), under a header that counts one.
    """
    line, *more = sample.split(b"\n", 1)
    n_numbers = len(line.split()) - 1
    return n_numbers if more and n_numbers in (2 * n_dims, 2 * n_dims + 2) else n_dims


class _TextReader:
    """Reads lines of a word and numbers.

    Parameters
    ----------
    file : io.BufferedReader
        At the first line, or behind it if `first` is given.
    path : str
        Its name, for messages.
    n_words : int or None
        What the header says. None: there is no header.
    n_dims : int
        Numbers in a line.
    number : int
        Of the first line, from 1 on.
    first : bytes, default=b""
        The first line, if it has been read.
    """

    def __init__(self, file, path, n_words, n_dims, number, first=b""):
        self._file, self._path, self._first = file, path, first
        self._n_words, self._n_dims, self._number = n_words, n_dims, number
        self._words, self._parts = [], []
        self._new = set()  # the words of a packed file
        self._counts = n_words is None and n_dims == 1  # whether all numbers could be counts

    def table(self, max_words):
        """Return the `WordTable`."""
        n_words, words = self._n_words, self._words
        n_lines = float("inf") if n_words is None else n_words + 1
        limit = n_lines if max_words is None else min(n_lines, max_words)
        while len(words) < limit:
            lines = self._lines(min(_LINES, limit - len(words)))
            if not lines:
                break
            self._parse(lines)
            if is_packed(self._file):
                self._allow(lines)
            self._number += len(lines)
        if n_words is not None and len(words) < min(limit, n_words):
            raise VectorFileError(f"{self._path} ends after {len(words)} of {n_words} words.")
        if n_words is not None and len(words) > n_words:
            if words[-1] != _UNKNOWN or self._file.read(1 << 16).strip():
                raise VectorFileError(
                    f"{self._path} says that it holds {n_words} words, and holds more."
                )
        if self._counts and self._counts_go_on():
            raise VectorFileError(
                f"{self._path} has a count after each word, as a vocabulary has; it holds no "
                "vectors. If these are vectors of one dimension, put a line '<words> 1' before "
                "the first."
            )
        return table_of_bytes(words, np.concatenate(self._parts), self._path)

    def _counts_go_on(self):
        """Tell whether the lines that follow those of `max_words` have counts, too."""
        lines = [self._file.readline(LONGEST_LINE).split() for _ in range(_LINES)]
        return all(fields[-1].isdigit() for fields in lines if fields)

    def _lines(self, n):
        """Read up to `n` lines; blank ones may only stand at the end of the file."""
        lines, size = [], 0
        while len(lines) < n and size < _BYTES:
            line = self._first or self._file.readline(LONGEST_LINE)
            self._first = b""
            if not line.strip():
                if line and self._file.read(1 << 16).strip():
                    raise self._error(len(lines), line)
                break
            if len(line) == LONGEST_LINE and line[-1:] != b"\n":
                where = f"{self._path}, line {self._number + len(lines)}"
                raise VectorFileError(f"{where}: more than {LONGEST_LINE} bytes without an end.")
            lines.append(line)
            size += len(line)
        return lines

    def _parse(self, lines):
        numbers = []
        for i, line in enumerate(lines):
            word, _, rest = line.rstrip().partition(b" ")
            if not rest or rest.count(b" ") != self._n_dims - 1:
                word, rest = self._parted(line)
            if not word:
                raise self._error(i, line)
            self._words.append(word)
            numbers.append(rest.decode("latin-1"))
        self._counts = self._counts and all(map(str.isdigit, numbers))
        vectors = self._floats(numbers)
        finite = np.isfinite(vectors).all(axis=1)
        if not finite.all():
            i = int(finite.argmin())
            word = self._words[i - len(lines)].decode(errors="backslashreplace")
            raise VectorFileError(
                f"{self._path}, line {self._number + i}: the vector of {word!r} holds NaN or "
                "infinity."
            )
        self._parts.append(vectors)

    def _allow(self, lines):
        """Raise the limit of a packed file by the lines of new words."""
        for word, line in zip(self._words[-len(lines) :], lines, strict=True):
            if word not in self._new:
                self._new.add(word)
                self._file.raw.allow(len(line))

    def _parted(self, line):
        """Part a line whose word has spaces in it, or whose fields are parted by tabs."""
        word, *numbers = line.rstrip().rsplit(None, self._n_dims) or [b""]
        if len(numbers) != self._n_dims or all(map(_is_number, word.split()[1:][-1:] or [b"-"])):
            return None, None
        return word, b" ".join(numbers)

    def _floats(self, lines):
        try:
            vectors = np.loadtxt(lines, dtype=np.float32, comments=None, delimiter=" ", ndmin=2)
        except ValueError as error:
            vectors = error
        if getattr(vectors, "shape", None) == (len(lines), self._n_dims):
            return vectors
        for i, line in enumerate(lines):
            for field in line.split(" "):
                if not _is_number(field.encode("latin-1")):
                    raise _no_number(self._path, self._number + i, field.encode("latin-1"))
        last = self._number + len(lines) - 1
        raise VectorFileError(f"{self._path}, lines {self._number} to {last}: {vectors}")

    def _error(self, i, line):
        where, numbers = f"{self._path}, line {self._number + i}", line.split()[1:]
        if line[:1].isspace() and len(line.split()) == self._n_dims:
            return VectorFileError(f"{where}: a word is expected before the numbers.")
        what = f"{self._n_dims} numbers are" if self._n_dims > 1 else "1 number is"
        hint = ""
        if len(numbers) == 1 and numbers[0].isdigit():
            hint = " Is this a vocabulary with counts? It holds no vectors."
        return VectorFileError(
            f"{where}: {what} expected after the word, got {len(numbers)}.{hint}"
        )


def _read_binary(buffer, place, path, n_words, n_dims, max_words):
    limit = n_words if max_words is None else min(n_words, max_words)
    size = 4 * n_dims
    if len(buffer) - place < limit * size:
        n_whole = max((len(buffer) - place) // size, 0)
        raise VectorFileError(f"{path} ends after {n_whole} or fewer of {n_words} words.")
    vectors = np.empty((limit, n_dims), dtype=np.float32)
    words = []
    for i in range(limit):
        stop = buffer.find(b" ", place, place + _LONGEST_WORD)
        found = 0 <= stop <= len(buffer) - 1 - size
        # Some programs end vectors by a newline.
        word = buffer[place:stop].lstrip(b"\n") if found else b""
        if not word:
            raise VectorFileError(f"{path} is damaged, or ends, after {i} of {n_words} words.")
        words.append(word)
        vectors[i] = np.frombuffer(buffer, "<f4", n_dims, stop + 1)
        place = stop + 1 + size
    if limit == n_words and buffer[place : place + (1 << 16)].strip():
        raise VectorFileError(f"{path} says that it holds {n_words} words, and holds more.")
    return table_of_bytes(words, vectors, path)


def table_of_bytes(words, vectors, path, subwords=None, state=None):
    """Return a `WordTable` of words in bytes, with one warning about what is odd with them."""
    text, n_not_utf8 = [], 0
    for word in words:
        try:
            text.append(word.decode())
        except UnicodeDecodeError:
            text.append(word.decode(errors="backslashreplace"))
            n_not_utf8 += 1
    table = table_of_words(text, vectors, subwords, state)
    n_again = len(text) - len(table.vocabulary)
    odd = []
    if n_again:
        odd.append(f"{n_again} of {len(text)} lines repeat a word, and the first of each is used")
    if n_not_utf8:
        odd.append(f"{n_not_utf8} of {len(text)} words are not UTF-8, and are kept with \\x..")
    if odd:
        warnings.warn(f"{path}: {'; '.join(odd)}.", VectorFileWarning, stacklevel=2)
    return table
