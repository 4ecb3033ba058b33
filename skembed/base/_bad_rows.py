"""Bad rows: a record for each of them, and the error that names them.

Imports the base layer. A reason is text from the modality: ``"None"``, ``"a damaged image: ..."``.
"""

import os
from collections.abc import Mapping
from functools import cache
from typing import Any, NamedTuple

from skembed.base._files import shortened
from skembed.base._rows import reject_column
from skembed.exceptions import BadRowsError

_N_SHOWN = 5
# What is said of missing rows by `describe`, and of an item that its array masks.
_MISSING = ("None", "float nan", "NAType", "NaTType", "MaskedConstant", "a masked value")


class BadRow(NamedTuple):
    """A row that cannot be embedded.

    Attributes
    ----------
    position : int
        Position of the row in `X`, from 0.
    column : str or int
        Name of its column, or the column's number where it has no name of its own.
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
    """What is wrong with bad rows, and what to do about it.

    Attributes
    ----------
    one, many : str
        The end of the sentences "1 row is ..." and "2 rows are ...": ``"not an image"``.
    remedy : str
        ``"Replace them"``; of a single row "them" becomes "it".
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
        Where the rows come from.

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
        Where the rows come from.
    estimator : str
        Name of the estimator.
    problems : list of Problem
        What is wrong with the rows.
    with_paths : bool, default=False
        Whether a row of text is the path of a file, to be named.

    Returns
    -------
    error : BadRowsError
        Where each row is bad and skrub is loaded, it is also skrub's ``RejectColumn``.

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
    shown = []
    for place, record in list(zip(sorted(bad), records, strict=True))[:_N_SHOWN]:
        path = _path_of(columns.rows[place], with_paths)
        shown.append(_described(record, path, columns, several))
    if len(records) > _N_SHOWN:
        shown.append(f"and {len(records) - _N_SHOWN} more")
    rows = "row" if total == 1 else "rows"
    of_column = f" of column {columns.names[0]!r}" if columns.names[0] and not several else ""
    verb, form = ("is", "one") if len(records) == 1 else ("are", "many")
    what = f", or {verb} ".join(dict.fromkeys(getattr(item, form) for item in problems))
    remedy = _remedy(records, problems)
    message = (
        f"{estimator}: {len(records)} of {total} {rows}{of_column} {verb} {what} "
        f'({", ".join(shown)}). {remedy}, or set bad_rows="zero" or "nan".'
    )
    kind = _rejecting(reject_column()) if len(records) == total else BadRowsError
    return kind(message, {(item.position, item.column): item.reason for item in records})


def _path_of(row, with_paths):
    """Return the path that a row holds, None where it holds none."""
    path = row.get("path") if isinstance(row, Mapping) else row
    if isinstance(path, os.PathLike) or (with_paths and isinstance(path, str)):
        return shortened(os.fsdecode(os.fspath(path)))
    return None


def _described(record, path, columns, several):
    """Name a bad row as the user knows it, and say why it is bad."""
    more = []
    if columns.labels is not None and columns.labels.tolist() != list(range(columns.n_rows)):
        more.append(f"label {record.label!r}")
    if path and path not in record.reason:
        more.append(path)
    where = f"row {record.position}" + (f" ({', '.join(more)})" if more else "")
    return where + (f" of column {record.column!r}" if several else "") + f": {record.reason}"


def _remedy(records, problems):
    """Say what to do about the rows, as an order: "Fill them in", or "Fill it in" of one row."""
    n_missing = sum(record.reason in _MISSING for record in records)
    orders = list(dict.fromkeys(problem.remedy for problem in problems))
    if len(records) == 1:
        return "Fill it in" if n_missing else orders[0].replace(" them", " it")
    if n_missing == len(records):
        return "Fill them in"
    if n_missing:  # with a second problem, the others are nearly always of that
        orders = ["Fill in missing rows", orders[-1].replace(" them", " the others")]
    return ", ".join([orders[0], *(order[0].lower() + order[1:] for order in orders[1:])])


@cache
def _rejecting(reject):
    """Return the class of an error that is a `BadRowsError` and `reject`."""
    if issubclass(BadRowsError, reject):
        return BadRowsError
    body = {"__module__": BadRowsError.__module__, "__doc__": BadRowsError.__doc__}
    return type("BadRowsError", (BadRowsError, reject), body)
