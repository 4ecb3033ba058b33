"""X of any accepted container -> columns of rows; keys of rows; the errors that name rows.

Imports only `exceptions` and `_on_access`. What a row may be is up to the modality; here it
is an object.
"""

import os
from collections.abc import Sequence
from hashlib import blake2b
from typing import NamedTuple

import numpy as np
from scipy import sparse

from skembed._on_access import OnAccess
from skembed.exceptions import BadRowsError

_N_SHOWN = 5
_CONTAINERS = (
    "a list, a tuple, a 1-D array, a pandas, polars or pyarrow column, or a frame or 2-D object "
    "array of such columns"
)


class Columns(NamedTuple):
    """Columns of rows, taken out of their container.

    ``rows`` holds ``len(names)`` columns of ``n_rows`` rows one after the other; a name is None
    where the container has none. ``is_frame`` tells a table of columns from a single column.
    """

    rows: list
    n_rows: int
    names: list
    is_frame: bool


def columns_of(X, *, estimator, kind):
    """Take the rows out of `X`, by position.

    Parameters
    ----------
    X : sequence, array, column or frame
        The rows, or columns of rows.
    estimator : str
        Name of the estimator, for messages.
    kind : str
        What the rows should be, for messages: ``"texts"``, ``"images"``, ``"sounds"``.

    Returns
    -------
    columns : Columns

    Raises
    ------
    TypeError
        If `X` is one row, or not a container of rows.
    ValueError
        If `X` is empty, or a column holds numbers.

    Examples
    --------
    >>> columns_of(["a", "b"], estimator="BertEmbedder", kind="texts")
    Columns(rows=['a', 'b'], n_rows=2, names=[None], is_frame=False)
    """
    if isinstance(X, (str, bytes, os.PathLike)):
        raise TypeError(
            f"{estimator} expects a collection of {kind}, got one {type(X).__name__}: "
            f"{_shortened(X)}. Wrap it in a list: [x]."
        )
    if sparse.issparse(X):
        raise TypeError(
            f"Sparse data was passed for X, but dense data is required: {estimator} expects {kind}."
        )
    if isinstance(X, np.ndarray):
        columns = _columns_of_array(X, estimator, kind)
    elif isinstance(X, OnAccess):
        columns = Columns(X, len(X), [None], False)
    elif isinstance(X, Sequence):
        columns = Columns(list(X), len(X), [None], False)
    else:
        columns = _columns_of_native(X, estimator, kind)
    if columns.n_rows == 0 or not columns.names:
        lacking = "feature(s)" if columns.n_rows else "sample(s)"
        raise ValueError(
            f"Found array with 0 {lacking} (shape={getattr(X, 'shape', (0,))}) "
            f"while a minimum of 1 is required by {estimator}."
        )
    return columns


def _columns_of_array(X, estimator, kind):
    if X.ndim == 0:
        raise TypeError(
            f"{estimator} expects a collection of {kind}, got an array of no dimensions: {X!r}. "
            "Wrap it in a list: [x]."
        )
    if X.ndim <= 2 and X.dtype.kind not in "OUST":
        raise _numeric_column(estimator, kind, None, X.dtype)
    if X.ndim == 2:
        return Columns(X.T.ravel().tolist(), X.shape[0], [None] * X.shape[1], True)
    rows = X.tolist() if X.ndim == 1 else list(X)
    return Columns(rows, len(rows), [None], False)


def _columns_of_native(X, estimator, kind):
    """Read pandas, polars and pyarrow objects."""
    import narwhals.stable.v1 as nw

    if type(X).__module__.startswith("pyarrow"):
        import pyarrow as pa

        if isinstance(X, pa.RecordBatch):
            X = pa.Table.from_batches([X])
        elif isinstance(X, pa.Array):
            X = pa.chunked_array([X])
    native = nw.from_native(X, allow_series=True, pass_through=True)
    if isinstance(native, nw.LazyFrame):
        raise TypeError(f"{estimator} got a lazy frame. Collect it first: X.collect().")
    if isinstance(native, nw.Series):
        frame = [native]
        name = native.name
        names = [name if isinstance(name, str) and name else None]
    elif isinstance(native, nw.DataFrame):
        frame = list(native.iter_columns())
        names = [name if isinstance(name, str) else None for name in native.columns]
    else:
        raise TypeError(
            f"{estimator} expects {kind} in {_CONTAINERS}; got {type(X).__name__}."
            + (" Make it a list: list(X)." if hasattr(X, "__iter__") else "")
        )
    rows = []
    for column in frame:
        numeric = column.dtype.is_numeric() or column.dtype in (nw.Boolean, nw.Datetime, nw.Date)
        # Where all is missing, a data-frame library cannot know what is missing, and says float.
        if numeric and not (column.dtype.is_float() and column.is_null().all()):
            raise _numeric_column(estimator, kind, column.name, column.dtype)
        rows += column.to_list()
    n_rows = len(native)
    return Columns(rows, n_rows, names, isinstance(native, nw.DataFrame))


def _numeric_column(estimator, kind, name, dtype):
    which = f"column {name!r}" if name else "X"
    return ValueError(
        f"{estimator} expects {kind}, but {which} is numeric (dtype {dtype}). Choose the columns "
        "that hold them, for instance with a ColumnTransformer."
    )


def _shortened(value, width=60):
    text = repr(value)
    return text if len(text) <= width else text[: width - 3] + "..."


def describe(row):
    """Say what `row` is, in one or two words, for a message about a bad row.

    Examples
    --------
    >>> describe(None), describe(float("nan")), describe(b"abc"), describe(3)
    ('None', 'float nan', 'bytes', 'int')
    """
    if row is None:
        return "None"
    if isinstance(row, (float, np.floating)) and row != row:
        return "float nan"
    return type(row).__name__


def bad_rows_error(bad, columns, *, estimator, problem, remedy):
    """Return the error that names bad rows.

    Parameters
    ----------
    bad : dict of int to str
        Position in ``columns.rows`` -> what is wrong with the row.
    columns : Columns
        Where the rows come from.
    estimator : str
        Name of the estimator.
    problem : str
        What is wrong with all of them: ``"not text"``.
    remedy : str
        What to do about it: ``"Fill them in"``.

    Returns
    -------
    error : BadRowsError

    Examples
    --------
    >>> columns = Columns(["a", None, 3], 3, [None], False)
    >>> print(bad_rows_error({1: "None", 2: "int"}, columns, estimator="BertEmbedder",
    ...                      problem="not text", remedy="Fill them in"))
    BertEmbedder: 2 of 3 rows are not text (row 1: None, row 2: int). Fill them in,
    or set bad_rows="zero" or "nan".
    """
    several = len(columns.names) > 1
    found = {}
    for position in sorted(bad):
        column, row = divmod(position, columns.n_rows)
        name = columns.names[column] if columns.names[column] is not None else column
        found[row, name] = bad[position]
    shown = [
        f"row {row}" + (f" of column {name!r}" if several else "") + f": {what}"
        for (row, name), what in list(found.items())[:_N_SHOWN]
    ]
    if len(found) > _N_SHOWN:
        shown.append(f"and {len(found) - _N_SHOWN} more")
    what = "rows are" if len(columns.rows) > 1 else "row is"
    return BadRowsError(
        f"{estimator}: {len(found)} of {len(columns.rows)} {what} {problem} "
        f'({", ".join(shown)}). {remedy}, or set bad_rows="zero" or "nan".',
        found,
    )


def row_key(tag, *parts):
    """Return the 32-byte key of a row's content.

    Parameters
    ----------
    tag : bytes
        Kind of the row, at most 16 bytes, so that equal bytes of two kinds differ.
    *parts : bytes
        The content; each part's length goes into the key.

    Returns
    -------
    key : bytes of length 32
        BLAKE2b-256.

    Examples
    --------
    >>> row_key(b"text", b"ab", b"c") == row_key(b"text", b"a", b"bc")
    False
    """
    if len(parts) > 1:
        parts = [item for part in parts for item in (len(part).to_bytes(8, "little"), part)]
    return blake2b(b"".join(parts), digest_size=32, person=tag).digest()


def unique_keys(keys):
    """Find the first row of each key.

    Parameters
    ----------
    keys : list of (hashable or None)
        One a row; None marks a row to leave out.

    Returns
    -------
    first : ndarray of shape (n_unique,), intp
        Positions of the rows that come first with their key, in order.
    repeats : ndarray of shape (n_repeats, 2), intp
        Position of each later row, and of the first row with its key.

    Examples
    --------
    >>> first, repeats = unique_keys([b"a", b"b", None, b"a"])
    >>> first.tolist(), repeats.tolist()
    ([0, 1], [[3, 0]])
    """
    seen = {}
    repeats = []
    for position, key in enumerate(keys):
        if key is not None:
            known = seen.setdefault(key, position)
            if known != position:
                repeats.append((position, known))
    first = np.fromiter(seen.values(), dtype=np.intp, count=len(seen))
    return first, np.array(repeats, dtype=np.intp).reshape(-1, 2)
