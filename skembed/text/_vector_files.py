"""Files of word vectors, read by parsers that execute nothing of what they read.

word2vec's text and binary format, GloVe's text, fastText's ``.vec`` and ``.bin``; each also packed
by gzip. What a file is is seen from its content, not its name. `_fasttext_file` reads ``.bin``.
"""

import codecs
import gzip
import mmap
import os
import warnings
import zlib
from dataclasses import dataclass
from itertools import islice, takewhile

import numpy as np

from skembed._digest import file_sha256
from skembed.exceptions import NetworkChangedError, VectorFileError, VectorFileWarning
from skembed.models._registry import Registry
from skembed.text._fasttext_file import MAGIC, read_fasttext
from skembed.text._word_table import from_keyed_vectors, table_of_words

_files = Registry(max_items=2)
_LINES = 4096  # parsed at a time
_LONGEST_LINE = 1 << 20  # bytes; a first line that is longer is none
_LONGEST_WORD = 1 << 16  # bytes; in a binary file that has none within, something else is written
_KINDS = "word2vec's text or binary format, GloVe's text, or fastText's .vec or .bin"


@dataclass(frozen=True)
class VectorFile:
    """A file that holds a word table, read once a process.

    Parameters
    ----------
    path : str
        Where it is.
    sha256 : str
        Of its content.
    max_words : int or None
        How many words to read, from the first on. None: all.
    """

    path: str
    sha256: str
    max_words: int | None

    def table(self):
        """Return the `WordTable`."""
        return _files.get((self.sha256, self.max_words), self._read)

    def _read(self):
        if file_sha256(self.path) != self.sha256:
            raise NetworkChangedError(
                f"{self.path} holds other vectors now than when the estimator was fitted. Fit it "
                "again, or put the old file back."
            )
        return read_vectors(self.path, self.max_words)


def open_vectors(vectors, max_words):
    """Return the word table of a file or of gensim's ``KeyedVectors``.

    Parameters
    ----------
    vectors : str, path or gensim.models.KeyedVectors
        A file, or the vectors themselves.
    max_words : int or None
        How many words to take, from the first on. None: all.

    Returns
    -------
    source : VectorFile or WordTable
        What has a method ``table()``.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    VectorFileError
        If the file is damaged, or of another kind.
    ValueError
        If ``KeyedVectors`` are empty, or hold NaN or infinity.
    """
    if not isinstance(vectors, (str, os.PathLike)):
        table = from_keyed_vectors(vectors, max_words)
        _check_finite(table.words, table.vectors, "vectors", ValueError)
        return table
    path = os.path.abspath(os.path.expanduser(os.fspath(vectors)))
    if not os.path.isfile(path):
        raise FileNotFoundError(f"vectors={os.fspath(vectors)!r}: there is no such file.")
    source = VectorFile(path, file_sha256(path), max_words)
    source.table()
    return source


def read_vectors(path, max_words=None):
    """Read a file of word vectors.

    Parameters
    ----------
    path : str or path
        The file.
    max_words : int, default=None
        How many words to read, from the first on; they are mostly written by falling frequency.
        None: all.

    Returns
    -------
    table : WordTable
        Its arrays are read-only.

    Raises
    ------
    VectorFileError
        If the file is damaged, or of another kind.

    Examples
    --------
    >>> from gensim.test.utils import datapath
    >>> table = read_vectors(datapath("test_glove.txt"), max_words=3)
    >>> table.words, table.vectors.shape
    (['the', 'ö', 'é'], (3, 50))
    """
    path = os.fspath(path)
    _refuse_other_kinds(path)
    with _opened(path) as file:
        try:
            start = file.peek(4)[:4]
            if start == MAGIC:
                table = read_fasttext(_buffer(file), path, max_words)
            else:
                table = _read_words(file, path, max_words)
        except (EOFError, OSError, zlib.error) as error:  # gzip's
            raise VectorFileError(f"{path} cannot be read: {error}") from error
    _check_finite(table.words, table.vectors, path, VectorFileError)
    table.vectors.flags.writeable = False
    return table


def _opened(path):
    with open(path, "rb") as file:
        packed = file.read(2) == b"\x1f\x8b"
    return gzip.open(path, "rb") if packed else open(path, "rb")


def _buffer(file):
    """Return the whole file as bytes, mapped into memory unless it is packed."""
    if isinstance(file, gzip.GzipFile):
        file.seek(0)
        return file.read()
    return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)


def _refuse_other_kinds(path):
    with open(path, "rb") as file:
        start = file.read(4)
    if not start:
        raise VectorFileError(f"{path} is empty.")
    if start[:1] == b"\x80":
        raise VectorFileError(
            f"{path} is a pickle, as gensim's save() writes it; pickles can run code and are not "
            "read. Write the vectors with KeyedVectors.save_word2vec_format(), or pass the "
            "KeyedVectors object."
        )
    for sign, kind in ((b"PK\x03\x04", "zip"), (b"BZh", "bz2"), (b"\xfd7zX", "xz")):
        if start.startswith(sign):
            raise VectorFileError(f"{path} is a {kind} archive: unpack it, or pack it by gzip.")


def _read_words(file, path, max_words):
    """Read any format but fastText's ``.bin``."""
    if file.peek(3).startswith(codecs.BOM_UTF8):
        file.read(3)
    begin = file.tell()
    first = file.readline(_LONGEST_LINE)
    header = _header(first)
    if header is None:
        # The first word may have spaces in it, so the numbers are counted from the end.
        n_dims = len(list(takewhile(_is_number, reversed(first.split()[1:]))))
        if not n_dims or len(first) == _LONGEST_LINE:
            raise VectorFileError(f"{path} is no file of word vectors: {_KINDS} is expected.")
        file.seek(begin)
        return _read_text(file, path, None, n_dims, max_words, 1)
    n_words, n_dims = header
    if n_words < 1 or n_dims < 1:
        raise VectorFileError(f"{path} says that it holds {n_words} words of {n_dims} dimensions.")
    if _is_text(file.peek(4096)[:4096]):
        return _read_text(file, path, n_words, n_dims, max_words, 2)
    place = file.tell()
    return _read_binary(_buffer(file), place, path, n_words, n_dims, max_words)


def _header(line):
    """Return the number of words and of dimensions, or None if the line does not say."""
    fields = line.split()
    if len(fields) == 2 and all(field.isdigit() for field in fields):
        return int(fields[0]), int(fields[1])
    return None


def _is_number(field):
    try:
        float(field)
    except ValueError:
        return False
    return True


def _are_numbers(fields):
    return all(map(_is_number, fields))


def _is_text(sample):
    """Tell text from binary vectors by what follows the header."""
    if min(sample, default=0) < 9:  # control characters; nearly all float32 numbers have such bytes
        return False
    line = sample.split(b"\n")[0].split()[1:-1]
    if line and _are_numbers(line):
        return True
    try:
        codecs.getincrementaldecoder("utf-8")().decode(sample)  # its end may be half a character
    except UnicodeDecodeError:
        return False
    return True


def _read_text(file, path, n_words, n_dims, max_words, line_number):
    words, parts = [], []
    limit = n_words if max_words is None else min(n_words or max_words, max_words)
    while limit is None or len(words) < limit:
        n = _LINES if limit is None else min(_LINES, limit - len(words))
        lines = list(islice(file, n))
        if not lines:
            break
        new, numbers = _split(lines, n_dims, path, line_number)
        parts.append(_numbers(numbers, path, line_number))
        words += new
        line_number += len(lines)
    if n_words is not None and len(words) < (limit or 0):
        raise VectorFileError(f"{path} ends after {len(words)} of {n_words} words.")
    if limit == n_words and n_words is not None and file.read(1 << 16).strip():
        raise VectorFileError(f"{path} says that it holds {n_words} words, and holds more.")
    return _table(words, np.concatenate(parts), path)


def _split(lines, n_dims, path, line_number):
    """Part the words from the numbers, both as bytes."""
    words, numbers = [], []
    for i, line in enumerate(lines):
        word, _, rest = line.rstrip().partition(b" ")
        if rest.count(b" ") != n_dims - 1:
            word, rest = _part(line, n_dims)
            if word is None:
                raise VectorFileError(
                    f"{path}, line {line_number + i}: {n_dims} numbers are expected after the "
                    f"word, got {max(len(line.split()) - 1, 0)}."
                )
        words.append(word)
        numbers.append(rest.decode("latin-1"))
    return words, numbers


def _part(line, n_dims):
    """Part a line whose word has spaces in it, or whose fields are parted by tabs."""
    word, *numbers = line.rstrip().rsplit(None, n_dims) or [b""]
    if len(numbers) != n_dims or _are_numbers(word.split()[1:][-1:] or [b"-"]):
        return None, None
    return word, b" ".join(numbers)


def _numbers(lines, path, line_number):
    try:
        return np.loadtxt(lines, dtype=np.float32, comments=None, delimiter=" ", ndmin=2)
    except ValueError as error:
        for i, line in enumerate(lines):
            wrong = next((field for field in line.split(" ") if not _is_number(field)), None)
            if wrong is not None:
                raise VectorFileError(
                    f"{path}, line {line_number + i}: {wrong!r} is not a number."
                ) from None
        what = f"{path}, lines {line_number} to {line_number + len(lines) - 1}: {error}"
        raise VectorFileError(what) from None


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
        if stop < 0 or stop + 1 + size > len(buffer):
            raise VectorFileError(f"{path} is damaged, or ends, after {i} of {n_words} words.")
        words.append(buffer[place:stop].lstrip(b"\n"))  # some programs end vectors by a newline
        vectors[i] = np.frombuffer(buffer, "<f4", n_dims, stop + 1)
        place = stop + 1 + size
    if limit == n_words and buffer[place : place + 1 << 16].strip():
        raise VectorFileError(f"{path} says that it holds {n_words} words, and holds more.")
    return _table(words, vectors, path)


def _table(words, vectors, path):
    """Return a `WordTable` of words in bytes, with one warning about what is odd with them."""
    text, n_not_utf8 = [], 0
    for word in words:
        try:
            text.append(word.decode())
        except UnicodeDecodeError:
            text.append(word.decode(errors="backslashreplace"))
            n_not_utf8 += 1
    table = table_of_words(text, vectors)
    n_again = len(text) - len(table.vocabulary)
    odd = []
    if n_again:
        odd.append(f"{n_again} of {len(text)} lines repeat a word, and the first of each is used")
    if n_not_utf8:
        odd.append(f"{n_not_utf8} of {len(text)} words are not UTF-8, and are kept with \\x..")
    if odd:
        warnings.warn(f"{path}: {'; '.join(odd)}.", VectorFileWarning, stacklevel=2)
    return table


def _check_finite(words, vectors, what, error):
    if not len(words):
        raise error(f"{what}: there are no words.")
    for start in range(0, len(words), _LINES):
        finite = np.isfinite(vectors[start : start + _LINES]).all(axis=1)
        if not finite.all():
            word = words[start + int(finite.argmin())]
            raise error(f"{what}: the vector of {word!r} holds NaN or infinity.")
