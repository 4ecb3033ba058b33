"""Records of bad rows, and the error that names them.

The reason why a row is bad is a str from the modality: ``"None"``, ``"a damaged image: ..."``.
Imports `_files`, `_rows` and `exceptions`.
"""

import os
from collections.abc import Mapping
from functools import cache
from typing import Any, NamedTuple

from skembed.base._files import shortened
from skembed.base._rows import reject_column
from skembed.exceptions import BadRowsError

_N_SHOWN = 5
# Reasons of missing rows: those of `describe`, and those of masked items of arrays.
_MISSING = ("None", "float nan", "NAType", "NaTType", "MaskedConstant", "a masked value")


class RowsFailedError(Exception):
    """Rows that turned out bad in `fit`, by position; made a BadRowsError where X is known."""

    def __init__(self, reasons):
        super().__init__(reasons)
        self.reasons = reasons


class BadRow(NamedTuple):
    """A row that cannot be embedded.

    Attributes
    ----------
    position : int
        Position of the row in `X`, from 0.
    column : str or int
        Name of its column, or the number of the column if the name is missing or not unique.
    label : object
        Label of the row in the index of a pandas object; None for other containers.
    reason : str
        Why the row cannot be embedded.
    """

    position: int
    column: Any
    label: Any
    reason: str


class Problem(NamedTuple):
    """Phrases of the error message for one kind of bad rows.

    Attributes
    ----------
    one, many : str
        How the sentences "1 row is ..." and "2 rows are ..." end: ``"not an image"``.
    remedy : str
        ``"Replace them"``. For a single row, "them" is replaced with "it".
    """

    one: str
    many: str
    remedy: str = "Correct them"


def bad_rows_of(bad, columns):
    """Return the records of bad rows, in the order of `X`, column by column.

    Parameters
    ----------
    bad : dict of int to str
        Position in ``columns.rows`` -> why the row is bad.
    columns : Columns
        All rows.

    Returns
    -------
    records : list of BadRow
    """
    labels = columns.labels.tolist() if columns.labels is not None else None
    records = []
    for place in sorted(bad):
        column, row = divmod(int(place), columns.n_rows)
        name = columns.names[column]
        if name is None or columns.names.count(name) > 1:
            name = column
        label = None if labels is None else labels[row]
        records.append(BadRow(row, name, label, bad[place]))
    return records


def bad_rows_error(bad, columns, *, estimator, problems, with_paths=False):
    """Return the error that names bad rows.

    Parameters
    ----------
    bad : dict of int to str
        Position in ``columns.rows`` -> why the row is bad.
    columns : Columns
        All rows.
    estimator : str
        Name of the estimator.
    problems : list of Problem
        The kinds of bad rows that occur.
    with_paths : bool, default=False
        Whether a str is the path of a file, to be named in the message.

    Returns
    -------
    error : BadRowsError
        If all rows are bad and skrub is loaded, it is also a ``RejectColumn`` of skrub.

    Examples
    --------
    >>> from skembed.base._rows import Columns
    >>> columns = Columns(["a", None, 3], 3, ["city"])
    >>> print(bad_rows_error({1: "None", 2: "int"}, columns, estimator="BertEmbedder",
    ...                      problems=[Problem("not text", "not text")]))
    BertEmbedder: 2 of 3 rows of column 'city' are not text (row 1: None, row 2: int). Fill in
    missing rows, correct the others, or set bad_rows="zero" or "nan".
    """
    records, total = bad_rows_of(bad, columns), len(columns.rows)
    several = len(columns.names) > 1
    rows = "row" if total == 1 else "rows"
    of_column = f" of column {columns.names[0]!r}" if columns.names[0] and not several else ""
    verb, form = ("is", "one") if len(records) == 1 else ("are", "many")
    what = f", or {verb} ".join(dict.fromkeys(getattr(item, form) for item in problems))
    remedy = _remedy(records, problems)
    shown = _listed(bad, records, columns, with_paths)
    message = (
        f"{estimator}: {len(records)} of {total} {rows}{of_column} {verb} {what} "
        f'({shown}). {remedy}, or set bad_rows="zero" or "nan".'
    )
    kind = _rejecting(reject_column()) if len(records) == total else BadRowsError
    return kind(message, {(item.position, item.column): item.reason for item in records})


def _listed(bad, records, columns, with_paths):
    """List the first bad rows, and count the others."""
    shown = []
    for place, record in list(zip(sorted(bad), records, strict=True))[:_N_SHOWN]:
        path = _path_of(columns.rows[place], with_paths)
        shown.append(_row_description(record, path, columns))
    if len(records) > _N_SHOWN:
        shown.append(f"and {len(records) - _N_SHOWN} more")
    return ", ".join(shown)


def _path_of(row, with_paths):
    """Return the path in a row, None if there is none."""
    path = row.get("path") if isinstance(row, Mapping) else row
    if isinstance(path, os.PathLike) or (with_paths and isinstance(path, str)):
        return shortened(os.fsdecode(os.fspath(path)))
    return None


def _row_description(record, path, columns):
    """Name a bad row by its position, label, path and column, and give the reason."""
    more = []
    if columns.labels is not None and columns.labels.tolist() != list(range(columns.n_rows)):
        more.append(f"label {record.label!r}")
    if path and path not in record.reason:
        more.append(path)
    where = f"row {record.position}" + (f" ({', '.join(more)})" if more else "")
    column = f" of column {record.column!r}" if len(columns.names) > 1 else ""
    return f"{where}{column}: {record.reason}"


def _remedy(records, problems):
    """Say what to do about the rows: "Fill them in", "Fill it in" for one row, and so on."""
    n_missing = sum(record.reason in _MISSING for record in records)
    remedies = list(dict.fromkeys(problem.remedy for problem in problems))
    if len(records) == 1:
        return "Fill it in" if n_missing else remedies[0].replace(" them", " it")
    if n_missing == len(records):
        return "Fill them in"
    if n_missing:  # if there is a second kind, the other rows are nearly always of that kind
        remedies = ["Fill in missing rows", remedies[-1].replace(" them", " the others")]
    return ", ".join([remedies[0], *(text[0].lower() + text[1:] for text in remedies[1:])])


@cache
def _rejecting(reject):
    """Return a subclass of `BadRowsError` and of the class `reject`."""
    if issubclass(BadRowsError, reject):
        return BadRowsError
    body = {"__module__": BadRowsError.__module__, "__doc__": BadRowsError.__doc__}
    return type("BadRowsError", (BadRowsError, reject), body)
