"""The cache on disk: a folder with a file for each network, shared by processes and runs.

Imports only the lowest layer and `_file`.
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

if TYPE_CHECKING:
    from collections.abc import Sequence

    from skembed.base._typing import FilePath


class EmbeddingCache:
    """Vectors kept on disk, found again by other processes and later runs.

    Whatever goes wrong with the files (a full disk, no rights, damage) costs one warning and time:
    the work goes on without them. Files that cannot be written are read.

    Parameters
    ----------
    folder : str or path, default=None
        Created with mode 0700 if it does not exist. None: the folder of ``skembed.set_config``.
        It should be on a local disk: the locks of network file systems are not to be relied on.
    max_bytes : int or None, default=20 GiB
        The files of the folder take no more; at least 114,688. To make room, what was used longest
        ago is dropped: networks that nobody has used for a minute, then rows. None: no limit.

    See Also
    --------
    skembed.MemoryCache : The same in memory, for one process.

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
            raise ValueError(f"A cache's folder must be a path, got {folder!r}.")
        if max_bytes is not None and (not isinstance(max_bytes, Integral) or max_bytes < 1):
            raise ValueError(f"max_bytes must be a positive int or None, got {max_bytes!r}.")
        if max_bytes is not None and max_bytes < LEAST_BYTES:
            raise ValueError(
                f"max_bytes must be at least {LEAST_BYTES:,}, which a file with a few rows takes, "
                f"got {max_bytes!r}. Without a cache: cache=None."
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

    # -- what an embedder calls -------------------------------------------------------------------

    def describe(self, fingerprint: str, model: str) -> None:
        """Note which model a fingerprint stands for."""
        self._file(fingerprint).describe(model)

    def read(self, fingerprint: str, keys: Sequence[bytes]) -> list[bytes | None]:
        """Return what is kept under each key, or None."""
        return self._file(fingerprint).read(keys, self.max_bytes)

    def claim(self, fingerprint: str, keys: Sequence[bytes]) -> list[bool]:
        """Take on the computing of rows that nobody has computed or is computing."""
        return self._file(fingerprint).claim(keys)

    def write(self, fingerprint: str, keys: Sequence[bytes], values: Sequence[bytes]) -> None:
        """Keep rows that have been computed, and end the claims on them."""
        file = self._file(fingerprint)
        if self.max_bytes is not None:
            # Not inside of the file's methods: under its lock no other file's may be waited for.
            others = {path: file_at(path) for path in self._paths() if file_at(path) is not file}
            n_dropped = len(keys) - make_room(file, others, values, self.max_bytes)
            file.release(keys[:n_dropped])
            keys, values = keys[n_dropped:], values[n_dropped:]
        file.write(keys, values)

    def release(self, fingerprint: str, keys: Sequence[bytes]) -> None:
        """End claims on rows that were not computed."""
        self._file(fingerprint).release(keys)

    def wait(self, fingerprint: str, keys: Sequence[bytes]) -> None:
        """Wait until somebody has finished at least one of the rows, given it up, or died."""
        self._file(fingerprint).wait(keys)

    # -- what a person calls ----------------------------------------------------------------------

    def _paths(self):
        try:
            names = os.listdir(self._vectors)
        except OSError:  # also where the path is too long
            return []
        return sorted(self._vectors / name for name in names if name.endswith(".sqlite"))

    def _all(self):
        return [file_at(path) for path in self._paths()]

    def info(self) -> CacheInfo:
        """Say what is kept, a line for each network.

        Returns
        -------
        list of dict
            ``fingerprint``, ``model``; ``rows`` and ``bytes`` kept; ``hits``, rows that were read,
            and ``misses``, rows that were computed and written, since the file was made. Hits of
            another process are counted when it writes next, or ends. ``info["rows"]`` is the sum
            over all networks, and so for the other numbers.
        """
        return CacheInfo(info for file in self._all() if (info := file.info()))

    def verify(self) -> dict[str, int]:
        """Check each row against its checksum, and drop those that fail.

        Returns
        -------
        dict
            ``rows`` checked, and how many were ``damaged``.
        """
        counts = [file.verify() for file in self._all()]
        return {name: sum(count[name] for count in counts) for name in ("rows", "damaged")}

    def clear(self) -> None:
        """Delete all vectors of the folder, of all networks.

        Raises
        ------
        OSError
            If a file cannot be deleted.
        """
        for file in self._all():
            file.delete()
