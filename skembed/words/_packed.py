"""Open a file of word vectors, unpacked as it is read if it is packed by gzip, bz2 or xz.

A packed file is read up to a limit, so that a small one cannot fill the memory. Trained vectors are
packed to a half or a fifth of their size. Zeros, as fastText's unused n-grams are, are packed to
less than a thousandth. So the limit is a multiple of the file's size, plus the size that the header
of a binary file states, plus the lines of text that were read as vectors of new words.
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
_FREE = 1 << 25  # bytes that any packed file may unpack to; more than is read before it is parsed
_RATIO = 10  # and how many times its own size
_PACKERS = {
    "gzip": re.compile(rb"\x1f\x8b"),
    "bz2": re.compile(rb"BZh[1-9](1AY&SY|\x17rE8P\x90)"),
    "lzma": re.compile(rb"\xfd7zXZ\0"),
}
_WORD2VEC = re.compile(rb"(?:\xef\xbb\xbf)?\s*(\d{1,18})\s+(\d{1,18})\s*\n")


def unpacking_errors():
    """Return what reading a file raises that is cut off or damaged."""
    try:
        from lzma import LZMAError
    except ImportError:  # Python can be built without it
        return (EOFError, OSError, zlib.error)
    return (EOFError, OSError, zlib.error, LZMAError)


class _Unpacked(io.RawIOBase):
    """What a packed file holds, up to a limit.

    Parameters
    ----------
    path : str or path
        The file.
    packer : {"gzip", "bz2", "lzma"}
        Module that reads it.
    """

    def __init__(self, path, packer):
        self._file = importlib.import_module(packer).open(path, "rb")
        self._left = _FREE + _RATIO * os.path.getsize(path)
        self._started = False
        self._path = path

    def readable(self):
        return True

    def readinto(self, buffer):
        n = self._file.readinto(buffer)
        if not self._started:
            self._started = True
            self.allow(_stated_size(bytes(buffer[:SAMPLE])))
        self._left -= n
        if self._left < 0:
            raise VectorFileError(
                f"{self._path} unpacks to more than {_RATIO} times its size, and to more than its "
                "header or its lines account for, or than there is memory. Unpack it first if it "
                "is meant to be read."
            )
        return n

    def allow(self, n_bytes):
        """Raise the limit, if there is memory for as much."""
        if n_bytes <= _memory():
            self._left += n_bytes

    def close(self):
        self._file.close()
        super().close()


def _stated_size(start):
    """Return how many bytes the vectors take by the header of a binary file; 0 if it has none."""
    if start.startswith(_fasttext_layout.MAGIC):
        return _fasttext_layout.stated_size(start)
    header = _WORD2VEC.match(start)
    return 4 * int(header[1]) * int(header[2]) if header else 0


def _memory():
    """Return how many bytes of memory the machine has."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):  # Windows does not say
        return 1 << 36


def open_file(path):
    """Open a file for reading, unpacked if it is packed.

    Returns
    -------
    file : io.BufferedReader
    """
    file = open(path, "rb")
    start = file.peek(16)
    for packer, sign in _PACKERS.items():
        if sign.match(start):
            file.close()
            return io.BufferedReader(_Unpacked(path, packer), SAMPLE)
    return file


def is_packed(file):
    """Tell whether a file that `open_file` opened is packed."""
    return isinstance(file.raw, _Unpacked)


def rest_of(file):
    """Return what follows in a file that `open_file` opened.

    Returns
    -------
    buffer : bytes or mmap
        The content; a file that is not packed is mapped into memory as a whole.
    place : int
        Where in `buffer` the file stands.
    """
    if is_packed(file):
        return file.read(), 0
    return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ), file.tell()


@contextmanager
def unpacked(path):
    """Return a context of the path of a file that holds the same and is not packed."""
    path = os.path.expanduser(path)
    with open_file(path) as file:
        if not is_packed(file):
            yield os.fspath(path)
            return
        with tempfile.NamedTemporaryFile(suffix=".bin") as plain:
            shutil.copyfileobj(file, plain)
            plain.flush()
            yield plain.name
