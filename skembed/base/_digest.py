"""Digests of files and settings, from which fingerprints are made. Imports only `exceptions`."""

import hashlib
import json
import os
from functools import lru_cache

import numpy as np

from skembed.exceptions import NetworkChangedError


@lru_cache(maxsize=256)
def _digest_of(path, name, size, times, inode):
    with open(path, "rb") as file:
        return (
            hashlib.file_digest(file, name).hexdigest()
            if hasattr(hashlib, "file_digest")
            else (hashlib.new(name, file.read()).hexdigest())
        )


def _file_digest(path, name):
    """Digest a file. It is read again only if its size, times or inode have changed."""
    stat = os.stat(path)
    return _digest_of(
        os.fspath(path), name, stat.st_size, (stat.st_mtime_ns, stat.st_ctime_ns), stat.st_ino
    )


def file_sha256(path):
    """Return the SHA-256 of a file's content, in hexadecimal."""
    return _file_digest(path, "sha256")


def changed_since_fit(path, content="network"):
    """Return the error that says that a file or folder changed after `fit`.

    Parameters
    ----------
    path : str or path
        The file or folder.
    content : str, default="network"
        What it holds, for the message: ``"tokenizer"``, ``"vectors"``.

    Returns
    -------
    error : NetworkChangedError
        To be raised.
    """
    other = f"other {content}" if content.endswith("s") else f"another {content}"
    return NetworkChangedError(
        f"{path} holds {other} now than when the estimator was fitted. Fit the estimator again, or "
        "restore the old content."
    )


def check_unchanged(path, sha256, content="network"):
    """Raise a NetworkChangedError if a file no longer has the digest that `fit` recorded.

    Parameters
    ----------
    path : str or path
        The file. If it does not exist, a FileNotFoundError is raised.
    sha256 : str
        The digest recorded in `fit`, in hexadecimal.
    content : str, default="network"
        What the file holds, for the message: ``"tokenizer"``, ``"vectors"``.
    """
    if file_sha256(path) != sha256:
        raise changed_since_fit(path, content)


def plain(value):
    """Replace NumPy's scalars and arrays with Python's numbers and lists, at any depth.

    Parameters are compared with lists of values, written as JSON and passed to libraries. All three
    expect Python's types.

    Examples
    --------
    >>> plain({"size": (np.int64(3), np.float32(0.5)), "layers": range(2)})
    {'size': (3, 0.5), 'layers': [0, 1]}
    """
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, (np.ndarray, range)) and np.ndim(value):
        return plain(list(value))
    if type(value) in (list, tuple):
        return type(value)(plain(item) for item in value)
    if type(value) is dict:
        return {plain(name): plain(item) for name, item in value.items()}
    return value


def digest(value):
    """Return the BLAKE2b-256 of a value that consists of dicts, lists, strings and numbers.

    Examples
    --------
    >>> digest({"a": 1, "b": 2}) == digest({"b": 2, "a": 1})
    True
    """
    text = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return hashlib.blake2b(text.encode(), digest_size=32).hexdigest()
