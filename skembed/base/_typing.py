"""Types of the public signatures. Only type checkers import this module.

Imports nothing of skembed.
"""

from __future__ import annotations

import os
from typing import Any, Literal, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray


class _Container(Protocol):
    """A list, tuple, array, Series, frame, Arrow column or lazy column."""

    def __len__(self) -> int: ...
    def __getitem__(self, index: Any, /) -> Any: ...


class _ArrowStream(Protocol):
    def __arrow_c_stream__(self, requested_schema: Any = None) -> Any: ...


class CacheStore(Protocol):
    """The methods of `skembed.cache.Store`, which a cache need not inherit from."""

    def describe(self, fingerprint: str, model: str) -> None: ...
    def read(self, fingerprint: str, keys: list[bytes]) -> list[bytes | None]: ...
    def claim(self, fingerprint: str, keys: list[bytes]) -> list[bool]: ...
    def write(self, fingerprint: str, keys: list[bytes], values: list[bytes]) -> None: ...
    def release(self, fingerprint: str, keys: list[bytes]) -> None: ...
    def wait(self, fingerprint: str, keys: list[bytes]) -> None: ...
    def info(self) -> list[dict[str, Any]]: ...


Rows: TypeAlias = _Container | _ArrowStream
FilePath: TypeAlias = str | os.PathLike[str]
Vectors: TypeAlias = NDArray[np.float32]
RandomState: TypeAlias = int | np.random.RandomState | None
BadRows: TypeAlias = Literal["raise", "zero", "nan"]

# Parameters of the estimators that run a network.
NamedLayers: TypeAlias = int | str | list[int] | list[str] | tuple[int | str, ...]
Pooling: TypeAlias = str | list[str]
Precompute: TypeAlias = dict[str, list[Any]] | None
# Names in the tables BACKENDS and PRECISIONS, which grow in one place.
Backend: TypeAlias = str
Precision: TypeAlias = str
