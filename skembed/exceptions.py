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
    """Some rows of ``X`` cannot be embedded; the message names them.

    Parameters
    ----------
    message : str
        What is shown.
    rows : dict of (int, str) to str, default=None
        Position and column of each bad row, and what is wrong with it.

    Attributes
    ----------
    rows : dict
        As given.
    """

    def __init__(self, message: str, rows: dict[tuple[int, str | int], str] | None = None) -> None:
        super().__init__(message)
        self.rows = rows or {}

    def __reduce__(self) -> tuple[type[BadRowsError], tuple[str, dict[tuple[int, str | int], str]]]:
        return BadRowsError, (self.args[0], self.rows)


class ModelNotFoundError(OSError):
    """A model was found nowhere; the message lists each place that was tried."""


class ModelFormatError(ValueError):
    """A model was found, but its files are not of a kind that skembed reads."""


class NetworkChangedError(RuntimeError):
    """The network on disk is no longer the one that the estimator was fitted with."""


class ExportError(RuntimeError):
    """A network could not be exported to ONNX, or its export does not agree with torch."""


class MissingDependencyError(ImportError):
    """An optional dependency is needed and not installed."""


class UnknownWordError(KeyError):
    """A word was asked for that has no vector."""

    def __str__(self) -> str:
        return str(self.args[0])  # KeyError itself would show the message in quotes


class VectorFileError(ValueError):
    """A file of word vectors is damaged, or not of a kind that skembed reads."""


class CacheWarning(UserWarning):
    """A cache of vectors does not work as it should; the work goes on, slower."""


class RuntimeFallbackWarning(UserWarning):
    """A faster way to run a network was not open, and a slower one is used; results are right."""


class TruncationWarning(UserWarning):
    """Rows were longer than the network takes and have been cut."""


class UnknownWordsWarning(UserWarning):
    """No word of some rows has a vector, and their vectors are zeros."""


class VectorFileWarning(UserWarning):
    """A file of word vectors has oddities that were passed over; the message counts them."""
