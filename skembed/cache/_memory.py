"""The cache in memory: one a process, bounded by bytes, what was used longest ago goes first."""

import os
import threading
from collections import Counter, OrderedDict
from weakref import WeakSet

# Per row: the key, the tuple, the bytes object and the dict's entry.
_OVERHEAD = 250
_caches = WeakSet()


class NoCache:
    """A store that keeps nothing."""

    def describe(self, fingerprint, model):
        """Do nothing."""

    def read(self, fingerprint, keys):
        """Return None for each key."""
        return [None] * len(keys)

    def claim(self, fingerprint, keys):
        """Grant every claim."""
        return [True] * len(keys)

    def write(self, fingerprint, keys, values):
        """Keep nothing."""

    def release(self, fingerprint, keys):
        """Do nothing."""

    def wait(self, fingerprint, keys):
        """Return at once."""


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
    >>> cache.info()
    {'rows': 1, 'bytes': 256, 'computed': 1, 'from_cache': 1}
    """

    def __init__(self, max_bytes=512 * 2**20):
        self.max_bytes = max_bytes
        self._rows = OrderedDict()
        self._n_bytes = 0
        self._counts = Counter()
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

    def describe(self, fingerprint, model):
        """Do nothing: networks are not told apart in `info`."""

    def read(self, fingerprint, keys):
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
                    self._counts["from_cache"] += 1
                values.append(value)
        return values

    def claim(self, fingerprint, keys):
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

    def write(self, fingerprint, keys, values):
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
            self._counts["computed"] += len(keys)
            for key, value in zip(keys, values, strict=True):
                self._claims.pop((fingerprint, key), None)
                replaced = self._rows.pop((fingerprint, key), None)
                if replaced is not None:
                    self._n_bytes -= len(replaced) + _OVERHEAD
                self._rows[fingerprint, key] = value
                self._n_bytes += len(value) + _OVERHEAD
            while self._n_bytes > self.max_bytes and self._rows:
                _, dropped = self._rows.popitem(last=False)
                self._n_bytes -= len(dropped) + _OVERHEAD
            self._changed.notify_all()

    def release(self, fingerprint, keys):
        """End claims of this thread on rows that were not computed."""
        with self._changed:
            for name in ((fingerprint, key) for key in keys):
                if self._claims.get(name) == threading.get_ident():
                    del self._claims[name]
            self._changed.notify_all()

    def wait(self, fingerprint, keys):
        """Wait until somebody has finished at least one of the rows, or given it up."""
        names, me = {(fingerprint, key) for key in keys}, threading.get_ident()
        with self._changed:
            self._changed.wait_for(lambda: any(self._claims.get(n, me) == me for n in names))

    def info(self):
        """Say what is kept and how it was used.

        Returns
        -------
        info : dict
            ``rows`` and ``bytes`` kept; since the start or the last `clear`: rows ``computed``,
            and rows served ``from_cache``.
        """
        with self._changed:
            return {
                "rows": len(self._rows),
                "bytes": self._n_bytes,
                "computed": self._counts["computed"],
                "from_cache": self._counts["from_cache"],
            }

    def clear(self):
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


def memory_cache():
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
