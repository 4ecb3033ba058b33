"""What all stores say about their content: one shape. Imports nothing of skembed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, SupportsIndex, overload

if TYPE_CHECKING:
    pass

_TOTALS = {"computed": "misses", "from_cache": "hits"}


class CacheInfo(list[dict[str, Any]]):
    """One dict per network; a name in place of a position gives the sum over all networks.

    The dicts have the keys ``fingerprint`` and ``model``; ``rows`` and ``bytes`` kept; ``hits``,
    rows that were read, and ``misses``, rows that were computed and written. In sums, ``computed``
    and ``from_cache`` stand for misses and hits, too.

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
