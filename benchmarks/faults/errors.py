"""A disk that is full, read-only, failing or locked costs one warning, and no fit.

A BertEmbedder is fitted on a tiny network, with a folder that has the fault: its vectors have to
equal those without a cache, with exactly one warning; the folder then has to be usable again, with
every checksum right.

- full: a small tmpfs, filled until so many KiB are free;
- read-only: a tmpfs mounted anew as read-only, empty, with an empty cache, with half of the rows;
- locked: an exclusive lock of another process, held from the start, or taken while rows are
  computed; the time that is waited for a lock is made short;
- I/O error: SQLite's own error, raised in place of each call of a connection, in turn.

The first two need the right to mount, and Linux.

    python benchmarks/faults/errors.py
"""

import os
import sqlite3
import subprocess
import sys
import tempfile
import traceback
import warnings
from collections import Counter
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from unittest import mock

import numpy as np
from _worker import ROOT, fresh, machine, parser, report

from skembed import BertEmbedder, EmbeddingCache
from skembed.cache import _connection, _sqlite
from skembed.embedder import _neural
from skembed.exceptions import CacheWarning

sys.path.insert(0, str(ROOT / "tests"))

from tiny import save_tiny_bert

ROWS = [f"the cat sat on the mat by the {number}" for number in range(2000)]
FREE_KIB = (0, 4, 16, 32, 64, 128, 256)  # the cache of these rows takes more
CHUNK = 256
LOCK_SECONDS = 0.3
_HOLD = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=60)
connection.execute("BEGIN EXCLUSIVE")
print("locked", flush=True)
sys.stdin.read()
"""


# -- faults ---------------------------------------------------------------------------------------


@contextmanager
def tmpfs(folder):
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", folder], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", folder], check=True)


@contextmanager
def full(folder, free_kib):
    ballast = Path(folder) / "ballast"
    space = os.statvfs(folder)
    ballast.write_bytes(bytes(space.f_bavail * space.f_frsize - free_kib * 1024))
    yield
    ballast.unlink()


@contextmanager
def read_only(folder):
    subprocess.run(["mount", "-o", "remount,ro", folder], check=True)
    yield
    subprocess.run(["mount", "-o", "remount,rw", folder], check=True)


class Locker:
    """Another process, which locks a folder's only file when told to."""

    def __init__(self, folder):
        self.folder = folder
        self.process = None

    def lock(self):
        (path,) = Path(self.folder).glob("vectors/*.sqlite")
        command = [sys.executable, "-c", _HOLD, str(path)]
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(command, stdin=pipe, stdout=pipe)
        assert self.process.stdout.readline() == b"locked\n"

    def end(self):
        self.process.communicate()


@contextmanager
def locked(folder):
    locker = Locker(folder)
    locker.lock()
    yield
    locker.end()


@contextmanager
def locked_midway(folder):
    locker, real, calls = Locker(folder), _neural.NeuralEmbedder._compute, []

    def compute(*arguments):
        calls.append(None)
        if len(calls) == 3:
            locker.lock()
        return real(*arguments)

    with mock.patch.object(_neural.NeuralEmbedder, "_compute", compute):
        yield
    locker.end()


class FailingConnection:
    """A connection whose call number `n` fails, as all later ones do."""

    def __init__(self, connection, n, calls):
        self._connection, self._n, self._calls = connection, n, calls

    def __getattr__(self, name):
        attribute = getattr(self._connection, name)
        if not name.startswith("execute"):
            return attribute

        def call(*arguments):
            self._calls.append(name)
            if len(self._calls) > self._n:
                raise sqlite3.OperationalError("disk I/O error")
            return attribute(*arguments)

        return call


@contextmanager
def io_error(n, calls):
    real = _sqlite.connect

    def connect(*arguments, **options):
        return FailingConnection(real(*arguments, **options), n, calls)

    with mock.patch.object(_sqlite, "connect", connect):
        yield


# -- fits -----------------------------------------------------------------------------------------


def fit(model, folder, rows=ROWS):
    """Fit and transform as a new process would; return the vectors and the warnings."""
    with fresh(), warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        vectors = BertEmbedder(model, cache=folder).fit_transform(rows)
    return vectors, [w for w in caught if issubclass(w.category, CacheWarning)]


def trial(name, model, folder, expected, counts, fault, *, n_warnings=1):
    """Fit under a fault, and again after it."""
    counts[f"{name}: fits"] += 1
    try:
        with fault:
            vectors, caught = fit(model, folder)
        after, caught_after = fit(model, folder)
    except Exception:
        traceback.print_exc()
        counts["failed fits"] += 1
        return
    counts["wrong vectors"] += not np.array_equal(vectors, expected)
    counts["wrong vectors"] += not np.array_equal(after, expected)
    if len(caught) != n_warnings:
        counts["fits without exactly one warning"] += 1
        print(f"{name}: {[str(warning.message) for warning in caught]}")
    counts["warnings after the fault is gone"] += len(caught_after)
    with fresh():
        counts["damaged rows"] += EmbeddingCache(folder).verify()["damaged"]
        (line,) = EmbeddingCache(folder).info()
        counts["rows missing after the fault is gone"] += len(ROWS) - line["rows"]


def main():
    parser(__doc__, data=False).parse_args()
    print(machine("skembed"), f"SQLite {sqlite3.sqlite_version}", sep=", ", end="\n\n")
    # Several turns at the cache in a fit.
    BertEmbedder._modality = replace(BertEmbedder._modality, chunk=CHUNK)
    _connection._BUSY_SECONDS = LOCK_SECONDS
    counts = Counter()
    with tempfile.TemporaryDirectory() as folder:
        model = str(save_tiny_bert(Path(folder) / "model"))
        expected = BertEmbedder(model, cache=None).fit_transform(ROWS)
        shared = (model, expected, counts)
        on_small_disks(Path(folder) / "disk", *shared)
        with_locks_and_errors(Path(folder), *shared)
    never = ["failed fits", "wrong vectors", "fits without exactly one warning", "damaged rows"]
    never += ["warnings after the fault is gone", "rows missing after the fault is gone"]
    goals = {name: (counts.pop(name, 0), 0) for name in never}
    report(goals, counts)


def on_small_disks(folder, model, expected, counts):
    folder.mkdir()
    for free in FREE_KIB:
        with tmpfs(folder):
            trial("full", model, folder, expected, counts, full(folder, free))
    for n_rows in (None, 1, len(ROWS) // 2):
        with tmpfs(folder):
            if n_rows:
                fit(model, folder, ROWS[:n_rows])
            trial("read-only", model, folder, expected, counts, read_only(folder))


def with_locks_and_errors(folder, model, expected, counts):
    for n_rows in (1, len(ROWS) // 2):
        cache = folder / f"locked {n_rows}"
        fit(model, cache, ROWS[:n_rows])
        trial("locked", model, cache, expected, counts, locked(cache))
    cache = folder / "locked midway"
    trial("locked", model, cache, expected, counts, locked_midway(cache))

    calls = []
    with io_error(float("inf"), calls):
        fit(model, folder / "counted")
    for n in range(len(calls)):
        cache = folder / f"io {n}"
        trial("I/O error", model, cache, expected, counts, io_error(n, []))
    cache = folder / "no fault"
    trial("no fault", model, cache, expected, counts, nullcontext(), n_warnings=0)


if __name__ == "__main__":
    main()
