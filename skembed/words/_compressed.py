"""Open a file of word vectors; a file compressed with gzip, bz2 or xz is decompressed on the fly.

A compressed file is read up to a limit, so that a small file cannot fill the memory. Trained
vectors compress to between a half and a fifth of their size. Zeros, as in fastText's unused
buckets, compress to less than a thousandth. So the limit has three parts: a multiple of the file's
size; the size that the header of a binary file states; and the lines of text that were parsed as
vectors of new words.
"""

import importlib
import io
import mmap
import os
import re
import shutil
import tempfile
import zlib
from contextlib import contextmanager

from skembed.exceptions import VectorFileError
from skembed.words import _fasttext_layout

SAMPLE = 1 << 16  # bytes
_BASE_LIMIT = 1 << 25  # bytes that any file may have; more than is read before it is parsed
_MAX_RATIO = 10  # added to the limit: this multiple of the compressed size
# Module -> first bytes of its files.
_SIGNATURES = {
    "gzip": re.compile(rb"\x1f\x8b"),
    "bz2": re.compile(rb"BZh[1-9](1AY&SY|\x17rE8P\x90)"),
    "lzma": re.compile(rb"\xfd7zXZ\0"),
}
_WORD2VEC_HEADER = re.compile(rb"(?:\xef\xbb\xbf)?\s*(\d{1,18})\s+(\d{1,18})\s*\n")


def reading_errors():
    """Return the exceptions that reading a truncated or damaged file raises."""
    try:
        from lzma import LZMAError
    except ImportError:  # Python can be built without it
        return (EOFError, OSError, zlib.error)
    return (EOFError, OSError, zlib.error, LZMAError)


class _LimitedReader(io.RawIOBase):
    """Content of a compressed file, up to a limit.

    Parameters
    ----------
    path : str or path
        The file.
    module : {"gzip", "bz2", "lzma"}
        Module that decompresses it.
    """

    def __init__(self, path, module):
        self._file = importlib.import_module(module).open(path, "rb")
        self._n_left = _BASE_LIMIT + _MAX_RATIO * os.path.getsize(path)
        self._header_read = False
        self._path = path

    def readable(self):
        return True

    def readinto(self, buffer):
        n = self._file.readinto(buffer)
        if not self._header_read:
            self._header_read = True
            self.raise_limit(_stated_size(bytes(buffer[:SAMPLE])))
        self._n_left -= n
        if self._n_left < 0:
            raise VectorFileError(
                f"{self._path} decompresses to more than {_MAX_RATIO} times its size, and to more "
                "than its header or its lines account for, or than the memory of the machine. "
                "Decompress it first if it is meant to be read."
            )
        return n

    def raise_limit(self, n_bytes):
        """Raise the limit, unless that exceeds the machine's memory."""
        if n_bytes <= _memory():
            self._n_left += n_bytes

    def close(self):
        self._file.close()
        super().close()


def _stated_size(start):
    """Return the size of the vectors by the header of a binary file; 0 if it has none."""
    if start.startswith(_fasttext_layout.MAGIC):
        return _fasttext_layout.stated_size(start)
    header = _WORD2VEC_HEADER.match(start)
    return 4 * int(header[1]) * int(header[2]) if header else 0


def _memory():
    """Return the machine's memory in bytes."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):  # not available on Windows
        return 1 << 36


def open_file(path):
    """Open a file for reading, decompressed if it is compressed.

    Returns
    -------
    file : io.BufferedReader
    """
    file = open(path, "rb")
    start = file.peek(16)
    for module, signature in _SIGNATURES.items():
        if signature.match(start):
            file.close()
            return io.BufferedReader(_LimitedReader(path, module), SAMPLE)
    return file


def is_compressed(file):
    """Tell whether a file opened by `open_file` is compressed."""
    return isinstance(file.raw, _LimitedReader)


def remaining_content(file):
    """Return the content of a file opened by `open_file`, from its position on.

    Returns
    -------
    buffer : bytes or mmap
        The content. A file that is not compressed is mapped into memory as a whole.
    offset : int
        Position of the file in `buffer`.
    """
    if is_compressed(file):
        return file.read(), 0
    return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ), file.tell()


@contextmanager
def decompressed(path):
    """Return a context whose value is the path of a file with the same content, not compressed."""
    path = os.path.expanduser(path)
    with open_file(path) as file:
        if not is_compressed(file):
            yield os.fspath(path)
            return
        with tempfile.NamedTemporaryFile(suffix=".bin") as plain:
            shutil.copyfileobj(file, plain)
            plain.flush()
            yield plain.name
