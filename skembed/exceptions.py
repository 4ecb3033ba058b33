"""Every error and warning class of skembed. Imports nothing."""

from __future__ import annotations

__all__ = [
    "BadRowsError",
    "CacheWarning",
    "ExportError",
    "MissingDependencyError",
    "ModelFormatError",
    "ModelNotFoundError",
    "NetworkChangedError",
    "RuntimeFallbackWarning",
    "TruncationWarning",
    "UnknownWordError",
    "UnknownWordsWarning",
    "VectorFileError",
    "VectorFileWarning",
]


class BadRowsError(ValueError):
    """Some rows of ``X`` cannot be embedded; the message lists them.

    Parameters
    ----------
    message : str
        The message.
    rows : dict of (int, str) to str, default=None
        (position, column) of each bad row -> why it is bad.

    Attributes
    ----------
    rows : dict
        The parameter `rows`; empty if it was None.
    """

    def __init__(self, message: str, rows: dict[tuple[int, str | int], str] | None = None) -> None:
        super().__init__(message)
        self.rows = rows or {}

    def __reduce__(self) -> tuple[type[BadRowsError], tuple[str, dict[tuple[int, str | int], str]]]:
        return BadRowsError, (self.args[0], self.rows)


class ModelNotFoundError(OSError):
    """A model was not found; the message lists the places that were searched."""


class ModelFormatError(ValueError):
    """A model was found, but its files have a format that skembed does not support."""


class NetworkChangedError(RuntimeError):
    """The network on disk differs from the one that the estimator was fitted with."""


class ExportError(RuntimeError):
    """A network cannot be exported to ONNX, or the results of its export differ from torch."""


class MissingDependencyError(ImportError):
    """An optional dependency is required, but not installed."""


class UnknownWordError(KeyError):
    """A word that was queried has no vector."""

    def __str__(self) -> str:
        return str(self.args[0])  # KeyError would put the message in quotes


class VectorFileError(ValueError):
    """A file of word vectors is damaged, or has a format that skembed does not support."""


class CacheWarning(UserWarning):
    """A cache of vectors does not work properly or is unsafe; results are not affected."""


class RuntimeFallbackWarning(UserWarning):
    """The faster backend is unavailable, and a slower one is used; results are correct."""


class TruncationWarning(UserWarning):
    """Rows were longer than the maximum input length of the network and were truncated."""


class UnknownWordsWarning(UserWarning):
    """Some rows contain no word that has a vector; their vectors are zeros."""


class VectorFileWarning(UserWarning):
    """A file of word vectors repeats words, or has words that are not UTF-8."""
