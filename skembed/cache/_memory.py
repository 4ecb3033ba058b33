"""The stores in memory: MemoryCache, which is limited in bytes, and NoCache, which keeps nothing.

Imports `base`, `_info` and `_store`.
"""

from __future__ import annotations

import threading
from collections import Counter, OrderedDict, defaultdict
from typing import TYPE_CHECKING
from weakref import WeakSet

from skembed.base._fork import after_fork_in_child
from skembed.cache._info import CacheInfo
from skembed.cache._store import Store

if TYPE_CHECKING:
    from collections.abc import Sequence

# Bytes of a row besides its value: the key, the tuple, the bytes object, the entries of two dicts.
_OVERHEAD = 250
_caches: WeakSet[MemoryCache] = WeakSet()


class NoCache(Store):
    """Store that keeps nothing; used by estimators with ``cache=None``.

    Examples
    --------
    >>> store = NoCache()
    >>> store.write("fingerprint", [b"key"], [b"value"])
    >>> store.read("fingerprint", [b"key"])
    [None]
    """

    def read(self, fingerprint: str, keys: Sequence[bytes]) -> list[bytes | None]:
        """Return None for each key."""
        return [None] * len(keys)

    def write(self, fingerprint: str, keys: Sequence[bytes], values: Sequence[bytes]) -> None:
        """Do nothing."""


class MemoryCache(Store):
    """Store of one process, in memory, shared by its estimators and threads.

    Clones of an estimator share its cache. A pickle contains no rows: another process starts with
    an empty cache.

    Parameters
    ----------
    max_bytes : int, default=512 MiB
        Above this size, the least recently used rows are dropped. States that training keeps
        (``trainable="last:N"``) are limited to twice this size, apart from the vectors.

    See Also
    --------
    skembed.EmbeddingCache : The same on disk, shared by processes and later runs.
    skembed.cache.Store : The methods of all stores.

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
        # (fingerprint, key) -> value; the least recently used first.
        self._rows: OrderedDict[tuple[str, bytes], bytes] = OrderedDict()
        self._n_bytes = 0
        self._counts: defaultdict[str, Counter[str]] = defaultdict(Counter)  # of each network
        self._models: dict[str, str] = {}
        self._states: MemoryCache | None = None
        self._reset_claims()
        _caches.add(self)

    def __reduce__(self):
        return type(self), (self.max_bytes,)

    def _reset_claims(self):
        self._claims = {}  # (fingerprint, key) -> the thread that computes the row
        self._changed = threading.Condition()

    @property
    def states(self) -> MemoryCache:
        """Cache of the states that training keeps. `clear` empties it, too."""
        with self._changed:
            if self._states is None:
                self._states = MemoryCache(2 * self.max_bytes)
            return self._states

    def describe(self, fingerprint: str, model: str) -> None:
        """Record which model a fingerprint stands for; see `Store.describe`."""
        self._models[fingerprint] = model

    def read(self, fingerprint: str, keys: Sequence[bytes]) -> list[bytes | None]:
        """Look up the values of rows; see `Store.read`."""
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
        """Claim rows for the calling thread; see `Store.claim`."""
        with self._changed:
            me = threading.get_ident()
            names = [(fingerprint, key) for key in keys]
            # A claim of this thread was left by an interrupt: no thread claims a row twice.
            granted = [n not in self._rows and self._claims.get(n, me) == me for n in names]
            self._claims.update((n, me) for n, mine in zip(names, granted, strict=True) if mine)
        return granted

    def write(self, fingerprint: str, keys: Sequence[bytes], values: Sequence[bytes]) -> None:
        """Keep the values of rows; end the claims on them. See `Store.write`."""
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
        """Count a row that is added (1) or dropped (-1)."""
        n_bytes = sign * (len(value) + _OVERHEAD)
        self._n_bytes += n_bytes
        self._counts[fingerprint]["rows"] += sign
        self._counts[fingerprint]["bytes"] += n_bytes

    def release(self, fingerprint: str, keys: Sequence[bytes]) -> None:
        """End claims of the calling thread; see `Store.release`."""
        with self._changed:
            for name in ((fingerprint, key) for key in keys):
                if self._claims.get(name) == threading.get_ident():
                    del self._claims[name]
            self._changed.notify_all()

    def wait(self, fingerprint: str, keys: Sequence[bytes]) -> None:
        """Block until another thread has written or released one of the rows; see `Store.wait`."""
        names, me = {(fingerprint, key) for key in keys}, threading.get_ident()
        with self._changed:
            self._changed.wait_for(lambda: any(self._claims.get(n, me) == me for n in names))

    def info(self) -> CacheInfo:
        """Describe the content, one dict per network.

        Returns
        -------
        CacheInfo
            See :class:`skembed.cache.CacheInfo`. ``hits`` and ``misses`` are counted from the start
            of the process or the last `clear`.
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
            self._states = None


_memory_cache = MemoryCache()


@after_fork_in_child
def _reset_claims_in_child():
    # A thread that held the lock or a claim in the parent does not exist in the child.
    for cache in list(_caches):
        cache._reset_claims()


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
