"""The store on disk: a folder with a file for each network, shared by processes and runs.

Imports `_config`, `_eviction`, `_file`, `_info`, `_sqlite` and `_store`.
"""

from __future__ import annotations

import os
from numbers import Integral
from pathlib import Path
from typing import TYPE_CHECKING

from skembed._config import get_config
from skembed.cache._eviction import make_room
from skembed.cache._file import file_at
from skembed.cache._info import CacheInfo
from skembed.cache._sqlite import LEAST_BYTES
from skembed.cache._store import Store

if TYPE_CHECKING:
    from collections.abc import Sequence

    from skembed.base._typing import FilePath


class EmbeddingCache(Store):
    """Store on disk, shared by processes and later runs.

    An error of the files (a full disk, missing permissions, damage) causes one warning, and vectors
    are computed without the cache. Files that cannot be written are still read.

    Parameters
    ----------
    folder : str or path, default=None
        Created with mode 0700 if it does not exist. None: the ``cache_folder`` of
        ``skembed.get_config``. It should be on a local disk, because locks of network file systems
        are unreliable.
    max_bytes : int or None, default=20 GiB
        Limit of the size of all files in the folder, at least 114,688. The least recently used
        networks and rows are dropped to keep it; rows of networks that were used within the last
        minute are dropped last. None: no limit.

    See Also
    --------
    skembed.MemoryCache : The same in memory, for one process.
    skembed.cache.Store : The methods of all stores.

    Notes
    -----
    Pickles use the same folder. Objects with equal parameters are equal.

    Examples
    --------
    >>> import tempfile
    >>> from skembed import BertEmbedder, EmbeddingCache
    >>> cache = EmbeddingCache(tempfile.mkdtemp())
    >>> vectors = BertEmbedder(cache=cache).fit_transform(["a text", "another", "a text"])
    >>> vectors = BertEmbedder(cache=cache).fit_transform(["another", "a third"])
    >>> [(row["model"], row["rows"], row["hits"], row["misses"]) for row in cache.info()]
    [('sentence-transformers/all-MiniLM-L6-v2', 3, 1, 3)]
    >>> cache.verify()
    {'rows': 3, 'damaged': 0}
    >>> cache.clear()
    """

    def __init__(self, folder: FilePath | None = None, max_bytes: int | None = 20 * 2**30) -> None:
        folder = get_config()["cache_folder"] if folder is None else os.fsdecode(folder)
        if not folder or "\0" in folder:
            raise ValueError(f"The folder of a cache must be a path, got {folder!r}.")
        if max_bytes is not None and (not isinstance(max_bytes, Integral) or max_bytes < 1):
            raise ValueError(f"max_bytes must be a positive int or None, got {max_bytes!r}.")
        if max_bytes is not None and max_bytes < LEAST_BYTES:
            raise ValueError(
                f"max_bytes must be at least {LEAST_BYTES:,}, the size of a file with a few rows. "
                f"Got {max_bytes!r}. To use no cache, set cache=None."
            )
        self.folder = os.path.abspath(os.path.expanduser(folder))
        self.max_bytes = max_bytes

    def __repr__(self):
        return f"EmbeddingCache({self.folder!r}, max_bytes={self.max_bytes})"

    def __eq__(self, other):
        return type(self) is type(other) and vars(self) == vars(other)

    def __hash__(self):
        return hash((self.folder, self.max_bytes))

    @property
    def _vectors(self):
        return Path(self.folder) / "vectors"

    def _file(self, fingerprint):
        return file_at(self._vectors / f"{fingerprint}.sqlite")

    # -- called by embedders ----------------------------------------------------------------------

    def describe(self, fingerprint: str, model: str) -> None:
        """Record which model a fingerprint stands for; see `Store.describe`."""
        self._file(fingerprint).describe(model)

    def read(self, fingerprint: str, keys: Sequence[bytes]) -> list[bytes | None]:
        """Look up the values of rows; see `Store.read`."""
        return self._file(fingerprint).read(keys, self.max_bytes)

    def claim(self, fingerprint: str, keys: Sequence[bytes]) -> list[bool]:
        """Claim rows for the calling thread; see `Store.claim`.

        Claims of a process that has ended lapse. So do claims of a process that is stopped, after
        10 seconds, and claims that do not change for 10 minutes.
        """
        return self._file(fingerprint).claim(keys)

    def write(self, fingerprint: str, keys: Sequence[bytes], values: Sequence[bytes]) -> None:
        """Keep the values of rows; end the claims on them. See `Store.write`."""
        file = self._file(fingerprint)
        if self.max_bytes is not None:
            # This uses the other files of the folder, so it must not run inside a method of `file`:
            # under the lock of one file no code may wait for the lock of another.
            others = {path: file_at(path) for path in self._paths() if file_at(path) is not file}
            n_dropped = len(keys) - make_room(file, others, values, self.max_bytes)
            file.release(keys[:n_dropped])
            keys, values = keys[n_dropped:], values[n_dropped:]
        file.write(keys, values)

    def release(self, fingerprint: str, keys: Sequence[bytes]) -> None:
        """End claims of the calling thread; see `Store.release`."""
        self._file(fingerprint).release(keys)

    def wait(self, fingerprint: str, keys: Sequence[bytes]) -> None:
        """Block until one of the rows is written or released, or its claim lapses."""
        self._file(fingerprint).wait(keys)

    # -- called by users --------------------------------------------------------------------------

    def _paths(self):
        try:
            names = os.listdir(self._vectors)
        except OSError:  # also if the path is too long
            return []
        return sorted(self._vectors / name for name in names if name.endswith(".sqlite"))

    def _all(self):
        return [file_at(path) for path in self._paths()]

    def info(self) -> CacheInfo:
        """Describe the content, one dict per network.

        Returns
        -------
        CacheInfo
            See :class:`skembed.cache.CacheInfo`. ``hits`` and ``misses`` are counted from the
            creation of the network's file. Hits of another process are added when it writes next,
            or ends.
        """
        return CacheInfo(info for file in self._all() if (info := file.info()))

    def verify(self) -> dict[str, int]:
        """Compare each row with its checksum, and drop the rows that differ.

        Returns
        -------
        dict
            ``rows``: how many were checked; ``damaged``: how many of them were dropped.
        """
        counts = [file.verify() for file in self._all()]
        return {name: sum(count[name] for count in counts) for name in ("rows", "damaged")}

    def clear(self) -> None:
        """Delete all vectors in the folder, of all networks.

        Raises
        ------
        OSError
            If a file cannot be deleted.
        """
        for file in self._all():
            file.delete()
