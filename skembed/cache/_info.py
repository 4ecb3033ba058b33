"""CacheInfo: how every store describes its content. Imports nothing of skembed."""

from __future__ import annotations

from typing import Any, SupportsIndex, overload

_TOTALS = {"computed": "misses", "from_cache": "hits"}


class CacheInfo(list[dict[str, Any]]):
    """List of one dict per network; indexed by a name, the sum over all networks.

    Each dict has the keys

    - ``fingerprint``: str, the network;
    - ``model``: str, the parameter `model`, ``""`` if it is not known;
    - ``rows``, ``bytes``: int, what is kept;
    - ``hits``: int, rows that were read;
    - ``misses``: int, rows that were computed and written.

    ``info["rows"]``, ``info["bytes"]``, ``info["hits"]`` and ``info["misses"]`` are sums.
    ``info["computed"]`` is another name of the sum of misses, ``info["from_cache"]`` of the sum of
    hits.

    Examples
    --------
    >>> lines = [{"model": "a", "rows": 2, "misses": 3}, {"model": "b", "rows": 1, "misses": 1}]
    >>> info = CacheInfo(lines)
    >>> info[0]["model"], info["rows"], info["computed"]
    ('a', 3, 4)
    """

    @overload
    def __getitem__(self, item: str) -> int: ...
    @overload
    def __getitem__(self, item: SupportsIndex) -> dict[str, Any]: ...
    @overload
    def __getitem__(self, item: slice) -> list[dict[str, Any]]: ...
    def __getitem__(self, item: Any) -> Any:
        if not isinstance(item, str):
            return super().__getitem__(item)
        name = _TOTALS.get(item, item)
        if name not in ("rows", "bytes", "hits", "misses"):
            raise KeyError(item)
        return sum(line[name] for line in self)
