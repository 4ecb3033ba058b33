"""What the fault scripts share: rows whose vectors are known, and the path of rows through a cache.

A row's value is a function of its key, so that a wrong vector is seen. `embed` asks the cache as
an embedder does (skembed/_neural.py), without a network.
"""

import contextlib
import hashlib
import sys
from collections import deque
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "benchmarks"))

from _common import machine, parser, print_table, verdict  # noqa: E402

from skembed.cache import _connection, _file, _owners  # noqa: E402

__all__ = ["embed", "fresh", "key_of", "machine", "parser", "report", "value_of"]

FINGERPRINT = "f"
_BYTES = 384 * 4 + 1  # a vector of float32 and whether its row was cut


class WrongVector(Exception):
    """The cache served something else than was written."""


def key_of(number):
    """Return the key of a row."""
    return hashlib.blake2b(number.to_bytes(8, "little"), digest_size=32).digest()


def value_of(key):
    """Return the only right value of a key."""
    return hashlib.shake_128(key).digest(_BYTES)


def embed(cache, numbers, chunk, compute=lambda keys: [value_of(key) for key in keys]):
    """Take rows through the cache, `chunk` at a time; check all that it serves."""
    keys = [key_of(number) for number in numbers]
    waiting = deque(keys[start : start + chunk] for start in range(0, len(keys), chunk))
    held_elsewhere = []
    while waiting:
        part = waiting.popleft()
        values = cache.read(FINGERPRINT, part)
        for key, value in zip(part, values, strict=True):
            if value is not None and value != value_of(key):
                raise WrongVector(key.hex())
        part = [key for key, value in zip(part, values, strict=True) if value is None]
        granted = cache.claim(FINGERPRINT, part)
        mine = [key for key, is_mine in zip(part, granted, strict=True) if is_mine]
        if mine:
            try:
                cache.write(FINGERPRINT, mine, compute(mine))
            finally:
                cache.release(FINGERPRINT, mine)
        if len(mine) < len(part):
            mine = set(mine)
            held_elsewhere.append([key for key in part if key not in mine])
        if not waiting and held_elsewhere:
            cache.wait(FINGERPRINT, held_elsewhere[0])
            waiting.extend(held_elsewhere)
            held_elsewhere = []


@contextlib.contextmanager
def fresh():
    """Use the cache as a process does that has just been started; close everything after."""
    _file._files.clear()
    _connection._warn_read_only.cache_clear()
    try:
        yield
    finally:
        for file in _file._files.values():
            file._close()
        for folder in list(_owners._locks):
            _owners.release_all(folder)
        _file._files.clear()


def report(goals, counts):
    """Print counts, those with a goal and the others; leave with status 1 if a goal is missed."""
    rows = [(what, f"{n:,}", "", "") for what, n in counts.items()]
    for what, (n, most) in goals.items():
        goal = f"<= {most:,}" if most else str(most)
        rows.append((what, f"{n:,}", goal, verdict(n <= most)))
    print_table(["what", "count", "goal", ""], rows)
    sys.exit(any(n > most for n, most in goals.values()))
