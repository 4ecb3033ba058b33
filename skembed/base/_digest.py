"""Digests of files and settings, from which fingerprints are made. Imports nothing of skembed."""

import hashlib
import json
import os
from functools import lru_cache

import numpy as np


@lru_cache(maxsize=256)
def _digest_of(path, name, size, times, inode):
    with open(path, "rb") as file:
        return (
            hashlib.file_digest(file, name).hexdigest()
            if hasattr(hashlib, "file_digest")
            else (hashlib.new(name, file.read()).hexdigest())
        )


def _file_digest(path, name):
    """Digest a file; read again only when its size, time or inode changed."""
    stat = os.stat(path)
    return _digest_of(
        os.fspath(path), name, stat.st_size, (stat.st_mtime_ns, stat.st_ctime_ns), stat.st_ino
    )


def file_sha256(path):
    """Return the SHA-256 of a file's content, in hexadecimal."""
    return _file_digest(path, "sha256")


def plain(value):
    """Return a value with Python's numbers and lists in place of NumPy's, at any depth.

    Parameters are compared with lists of values, written as JSON and handed to libraries; all three
    expect Python's own types.

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
    """Return the BLAKE2b-256 of a value made of dicts, lists, strings and numbers.

    Examples
    --------
    >>> digest({"a": 1, "b": 2}) == digest({"b": 2, "a": 1})
    True
    """
    text = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return hashlib.blake2b(text.encode(), digest_size=32).hexdigest()
