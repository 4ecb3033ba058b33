"""Read the file that a row points to.

Imports nothing of skembed.
"""

import os
import stat
import threading
from io import BytesIO, TextIOBase
from urllib.parse import urlsplit
from urllib.request import url2pathname

# Types of rows that are the content of a file, and of rows that are its path.
CONTENT_TYPES = (bytes, bytearray, memoryview)
PATH_TYPES = (str, os.PathLike)
CHANGED = "a file that was changed while it was being embedded"
# Several rows may share one file object, and reading it moves its position.
_reading = threading.Lock()


class UnreadableRowError(Exception):
    """A row cannot be read; the message is the reason, in a few words."""


def shortened(name, width=60):
    """Return the end of a long name, for a message.

    Examples
    --------
    >>> shortened("folder/file.wav", width=9)
    '…file.wav'
    """
    return name if len(name) <= width else f"…{name[1 - width :]}"


def content_of(path, check, n_start=0):
    """Return the bytes of a file.

    Parameters
    ----------
    path : str, bytes or path
        The file.
    check : callable
        Called with the first bytes of the file and its size, before the rest is read. It may raise
        an `UnreadableRowError`.
    n_start : int, default=0
        How many bytes are passed to `check`.

    Returns
    -------
    content : bytes

    Raises
    ------
    UnreadableRowError
        If there is no such file, or it cannot be read.
    """
    path = os.fspath(path)
    name = os.fsdecode(path)
    _check_path(name)
    try:
        status = os.stat(path)
        if stat.S_ISDIR(status.st_mode):
            raise UnreadableRowError(f"a folder, {shortened(name)}")
        if not stat.S_ISREG(status.st_mode):
            raise UnreadableRowError(f"not a regular file, {shortened(name)}")
        with open(path, "rb") as file:
            start = file.read(n_start)
            check(start, status.st_size)
            return start + file.read()
    except FileNotFoundError as error:
        raise UnreadableRowError(f"no such file, {shortened(name)}") from error
    except (OSError, ValueError) as error:  # a name with a null character is a ValueError
        reason = getattr(error, "strerror", None) or error
        raise UnreadableRowError(
            f"a file that cannot be read, {shortened(name)}: {reason}"
        ) from error


def _check_path(name):
    """Raise an UnreadableRowError if a str is a URL or empty."""
    if name.lower().startswith("file:"):
        own = url2pathname(urlsplit(name).path)
        raise UnreadableRowError(f"a file URL; pass its path, {shortened(own)}")
    if name.startswith("data:"):
        raise UnreadableRowError("a data URL; decode it and pass the bytes")
    if "://" in name[:16]:
        raise UnreadableRowError(f"a URL, {shortened(name)}; download it first")
    if not name.strip():
        raise UnreadableRowError("an empty path")


def is_file_object(row):
    """Tell whether a row is a file object, such as `io.BytesIO` or what `open` returns."""
    return hasattr(row, "read") and hasattr(row, "seek")


def content_of_object(file):
    """Return all bytes of a file object; its position does not change.

    Raises
    ------
    UnreadableRowError
        If it is closed or cannot be read as bytes.
    """
    if getattr(file, "closed", False):
        raise UnreadableRowError("a closed file; open it again, or give its path")
    if isinstance(file, BytesIO):
        return file.getvalue()
    if isinstance(file, TextIOBase):
        raise UnreadableRowError('a file opened as text; open it with mode "rb"')
    try:
        with _reading:
            position = file.tell()
            file.seek(0)
            content = file.read()
            file.seek(position)
    except (OSError, ValueError, AttributeError, TypeError) as error:
        raise UnreadableRowError(f"a file object that cannot be read: {error}") from error
    if not isinstance(content, bytes):
        raise UnreadableRowError(
            f"a file object that reads {type(content).__name__}, not bytes; give its path"
        )
    return content
