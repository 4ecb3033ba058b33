"""Rows, and helpers for tests of caches on disk."""

import os
import sqlite3
import subprocess
import sys
import textwrap
from concurrent.futures import ThreadPoolExecutor

from skembed.cache import _file, _owners

KEYS = [bytes([i]) * 32 for i in range(40)]
VALUES = [f"value {i}".encode() * 50 for i in range(40)]
NEW = b"x" * 32


def path_of(cache, fingerprint="f"):
    return os.path.join(cache.folder, "vectors", f"{fingerprint}.sqlite")


def reopen():
    """Forget the connections and claims of this process, as a new process would not have them."""
    for file in list(_file._files.values()):
        file.flush()
    _file._files.clear()
    for folder in list(_owners._locks):
        _owners.release_all(folder)


def fill(cache, fingerprint="f"):
    assert cache.claim(fingerprint, KEYS) == [True] * len(KEYS)
    cache.write(fingerprint, KEYS, VALUES)


def elsewhere(function, *args):
    """Call a function in another thread."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(function, *args).result()


def edit(cache, *statements):
    reopen()
    connection = sqlite3.connect(path_of(cache))
    with connection:
        for statement in statements:
            connection.execute(*statement) if isinstance(statement, tuple) else (
                connection.execute(statement)
            )
    connection.close()


def run_python(code):
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, timeout=120
    )


def python(code, **kwargs):
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code)],
        stdout=subprocess.PIPE,
        stdin=subprocess.PIPE,
        text=True,
        **kwargs,
    )
