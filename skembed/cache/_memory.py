"""The cache in memory: one a process, bounded by bytes, what was used longest ago goes first."""

from __future__ import annotations

import os
import threading
from collections import Counter, OrderedDict, defaultdict
from typing import TYPE_CHECKING
from weakref import WeakSet

from skembed.cache._info import CacheInfo

if TYPE_CHECKING:
    from collections.abc import Sequence


# Per row: the key, the tuple, the bytes object and the dict's entry.
_OVERHEAD = 250
_caches: WeakSet[MemoryCache] = WeakSet()


class NoCache:
    """A store that keeps nothing."""

    def describe(self, fingerprint: str, model: str) -> None:
        """Do nothing."""

    def read(self, fingerprint: str, keys: Sequence[bytes]) -> list[bytes | None]:
        """Return None for each key."""
        return [None] * len(keys)

    def claim(self, fingerprint: str, keys: Sequence[bytes]) -> list[bool]:
        """Grant every claim."""
        return [True] * len(keys)

    def write(self, fingerprint: str, keys: Sequence[bytes], values: Sequence[bytes]) -> None:
        """Keep nothing."""

    def release(self, fingerprint: str, keys: Sequence[bytes]) -> None:
        """Do nothing."""

    def wait(self, fingerprint: str, keys: Sequence[bytes]) -> None:
        """Return at once."""

    def info(self) -> CacheInfo:
        """Return an empty list."""
        return CacheInfo()


class MemoryCache:
    """Vectors of this process, shared by all its estimators and threads.

    Clones of an estimator share its cache; a pickle carries no rows, so that another process
    starts with an empty one.

    Parameters
    ----------
    max_bytes : int, default=512 MiB
        Above it, the rows used longest ago are dropped.

    Examples
    --------
    >>> cache = MemoryCache()
    >>> cache.claim("f", [b"a", b"b"])
    [True, True]
    >>> cache.write("f", [b"a"], [b"vector"])
    >>> cache.read("f", [b"a", b"b"])
    [b'vector', None]
    >>> cache.info()["rows"], cache.info()["computed"], cache.info()["from_cache"]
    (1, 1, 1)
    """

    def __init__(self, max_bytes: int = 512 * 2**20) -> None:
        self.max_bytes = max_bytes
        self._rows: OrderedDict[tuple[str, bytes], bytes] = OrderedDict()
        self._n_bytes = 0
        self._counts: defaultdict[str, Counter[str]] = defaultdict(Counter)  # of each network
        self._models: dict[str, str] = {}
        self._start_unclaimed()
        _caches.add(self)

    def __copy__(self):
        return self

    def __deepcopy__(self, memo):
        return self

    def __reduce__(self):
        return type(self), (self.max_bytes,)

    def _start_unclaimed(self):
        self._claims = {}  # (fingerprint, key) -> the thread that computes it
        self._changed = threading.Condition()

    def describe(self, fingerprint: str, model: str) -> None:
        """Note which model a fingerprint stands for."""
        self._models[fingerprint] = model

    def read(self, fingerprint: str, keys: Sequence[bytes]) -> list[bytes | None]:
        """Return what is kept under each key, or None.

        Parameters
        ----------
        fingerprint : str
            Of the network.
        keys : list of bytes
            Of the rows.

        Returns
        -------
        values : list of (bytes or None)
        """
        values = []
        with self._changed:
            for key in keys:
                value = self._rows.get((fingerprint, key))
                if value is not None:
                    self._rows.move_to_end((fingerprint, key))
                    self._counts[fingerprint]["hits"] += 1
                values.append(value)
        return values

    def claim(self, fingerprint: str, keys: Sequence[bytes]) -> list[bool]:
        """Take on the computing of rows that nobody has computed or is computing.

        Parameters
        ----------
        fingerprint : str
            Of the network.
        keys : list of bytes
            Of the rows.

        Returns
        -------
        granted : list of bool
            Those that the caller must now `write` or `release`.
        """
        with self._changed:
            me = threading.get_ident()
            names = [(fingerprint, key) for key in keys]
            # One's own claim was left behind by an interrupt: nobody claims twice.
            granted = [n not in self._rows and self._claims.get(n, me) == me for n in names]
            self._claims.update((n, me) for n, mine in zip(names, granted, strict=True) if mine)
        return granted

    def write(self, fingerprint: str, keys: Sequence[bytes], values: Sequence[bytes]) -> None:
        """Keep rows that have been computed, and end the claims on them.

        Parameters
        ----------
        fingerprint : str
            Of the network.
        keys : list of bytes
            Of the rows.
        values : list of bytes
            What to keep.
        """
        with self._changed:
            self._counts[fingerprint]["misses"] += len(keys)
            for key, value in zip(keys, values, strict=True):
                self._claims.pop((fingerprint, key), None)
                replaced = self._rows.pop((fingerprint, key), None)
                if replaced is not None:
                    self._count(fingerprint, replaced, -1)
                self._rows[fingerprint, key] = value
                self._count(fingerprint, value, 1)
            while self._n_bytes > self.max_bytes and self._rows:
                (owner, _), dropped = self._rows.popitem(last=False)
                self._count(owner, dropped, -1)
            self._changed.notify_all()

    def _count(self, fingerprint, value, sign):
        """Count a row that comes (1) or goes (-1)."""
        n_bytes = sign * (len(value) + _OVERHEAD)
        self._n_bytes += n_bytes
        self._counts[fingerprint]["rows"] += sign
        self._counts[fingerprint]["bytes"] += n_bytes

    def release(self, fingerprint: str, keys: Sequence[bytes]) -> None:
        """End claims of this thread on rows that were not computed."""
        with self._changed:
            for name in ((fingerprint, key) for key in keys):
                if self._claims.get(name) == threading.get_ident():
                    del self._claims[name]
            self._changed.notify_all()

    def wait(self, fingerprint: str, keys: Sequence[bytes]) -> None:
        """Wait until somebody has finished at least one of the rows, or given it up."""
        names, me = {(fingerprint, key) for key in keys}, threading.get_ident()
        with self._changed:
            self._changed.wait_for(lambda: any(self._claims.get(n, me) == me for n in names))

    def info(self) -> CacheInfo:
        """Say what is kept and how it was used, a line for each network.

        Returns
        -------
        info : list of dict
            ``fingerprint``, ``model``; ``rows`` and ``bytes`` kept; since the start or the last
            `clear`: ``hits``, rows that were read, and ``misses``, rows that were computed and
            written. ``info["rows"]`` is the sum over all networks, and so for the other numbers;
            ``info["computed"]`` and ``info["from_cache"]`` are the sums of misses and hits.
        """
        with self._changed:
            return CacheInfo(
                {
                    "fingerprint": fingerprint,
                    "model": self._models.get(fingerprint, ""),
                    **{name: counts[name] for name in ("rows", "bytes", "hits", "misses")},
                }
                for fingerprint, counts in self._counts.items()
            )

    def clear(self) -> None:
        """Drop all rows and set the counts to zero."""
        with self._changed:
            self._rows.clear()
            self._n_bytes = 0
            self._counts.clear()


_memory_cache = MemoryCache()


def _after_fork_in_child():
    # A thread that held the lock or a claim in the parent does not exist in the child.
    for cache in list(_caches):
        cache._start_unclaimed()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)


def memory_cache() -> MemoryCache:
    """Return the cache in memory of this process, used by estimators with ``cache="memory"``.

    Returns
    -------
    cache : MemoryCache
        See its ``info``, ``clear`` and ``max_bytes``.

    Examples
    --------
    >>> import skembed
    >>> skembed.memory_cache().clear()
    >>> skembed.memory_cache().info()["rows"]
    0
    """
    return _memory_cache
