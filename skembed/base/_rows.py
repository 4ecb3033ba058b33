"""Extract columns of rows from containers; keys of rows.

A row is any object here; each modality checks its type. Imports `_arrays` and `_on_access`.
"""

import os
import sys
from collections.abc import KeysView, Mapping, Sequence, Set
from functools import partial
from hashlib import blake2b
from typing import Any, NamedTuple

import numpy as np
from scipy import sparse

from skembed.base._arrays import is_tensor
from skembed.base._on_access import OnAccess

_CONTAINERS = (
    "a list, a tuple, a 1-D array, a pandas, polars or pyarrow column, or a frame or 2-D object "
    "array of such columns"
)
_ONE_ROW = (str, bytes, bytearray, memoryview, os.PathLike)
# Interfaces of objects that export a column or a table.
_ARROW = ("__arrow_c_stream__", "__arrow_c_array__", "__dataframe__")
# Module that defines a lazy frame -> code that collects it.
_COLLECT = {
    "polars": "X.collect()",
    "dask": "X.compute()",
    "duckdb": "X.df()",
    "pyspark": "X.toPandas()",
}


class Columns(NamedTuple):
    """Columns of rows, extracted from a container.

    Attributes
    ----------
    rows : list
        The rows of all columns, one column after the other.
    n_rows : int
        Number of rows of each column.
    names : list of (str or None)
        Name of each column. None: it has no name.
    header : frame or None
        The frame without its rows. None: `X` is no frame, or several columns have the same name.
    labels : index or None
        The index of a pandas object.
    """

    rows: list
    n_rows: int
    names: list
    header: Any = None
    labels: Any = None


def columns_of(X, *, estimator, kind):
    """Extract the rows of a container, by position.

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
        If `X` is empty, or a column holds numbers. Where skrub is loaded, a column of numbers
        raises its ``RejectColumn``, which is a ValueError.

    Examples
    --------
    >>> columns_of(["a", "b"], estimator="BertEmbedder", kind="texts")
    Columns(rows=['a', 'b'], n_rows=2, names=[None], header=None, labels=None)
    """
    _refuse_one_row_and_sparse(X, estimator, kind)
    if isinstance(X, np.ndarray):
        columns = _columns_of_array(X, estimator, kind)
    elif isinstance(X, OnAccess):
        columns = Columns(X, len(X), [None])
    elif isinstance(X, Sequence):
        columns = Columns(list(X), len(X), [None])
    else:
        columns = _columns_of_native(X, estimator, kind)
    if columns.n_rows == 0 or not columns.names:
        lacking = "feature(s)" if columns.n_rows else "sample(s)"
        raise ValueError(
            f"Found array with 0 {lacking} (shape={getattr(X, 'shape', (0,))}) "
            f"while a minimum of 1 is required by {estimator}."
        )
    return columns


def one_row_error(estimator, kind, description):
    """Return the TypeError for an `X` that is one row and no collection of rows.

    Examples
    --------
    >>> one_row_error("Estimator", "images", "Image")
    TypeError('Estimator expects a collection of images, got one Image. Wrap it in a list: [x].')
    """
    return TypeError(
        f"{estimator} expects a collection of {kind}, got one {description}. Wrap it in a list: "
        "[x]."
    )


def _refuse_one_row_and_sparse(X, estimator, kind):
    if isinstance(X, _ONE_ROW):
        raise one_row_error(estimator, kind, f"{type(X).__name__}: {_shortened(X)}")
    if sparse.issparse(X):
        raise TypeError(
            f"Sparse data was passed for X, but dense data is required: {estimator} expects {kind}."
        )


def _columns_of_array(X, estimator, kind):
    X = np.asanyarray(X) if isinstance(X, np.ma.MaskedArray) else np.asarray(X)
    if X.ndim == 0:
        raise TypeError(
            f"{estimator} expects a collection of {kind}, got an array of no dimensions: {X!r}. "
            "Wrap it in a list: [x]."
        )
    if X.dtype.names:
        raise TypeError(
            f"{estimator} got a structured array of the fields {', '.join(X.dtype.names)}. Pass "
            f"one of them: X[{X.dtype.names[0]!r}]."
        )
    if X.ndim <= 2 and X.dtype.kind not in "OUST":
        raise _numeric_column(estimator, kind, None, X.dtype)
    if X.ndim == 2:
        return Columns(X.T.ravel().tolist(), X.shape[0], [None] * X.shape[1])
    rows = X.tolist() if X.ndim == 1 else list(X)
    return Columns(rows, len(rows), [None])


def _columns_of_native(X, estimator, kind):
    """Read columns and frames of data-frame libraries, and objects that convert to them."""
    import narwhals.stable.v1 as nw

    if is_tensor(X) and X.ndim:  # the modalities that take tensors have unpacked them
        raise _numeric_column(estimator, kind, None, X.dtype)
    X = _as_native(X, nw)
    if isinstance(X, np.ndarray):
        return _columns_of_array(X, estimator, kind)
    repeated = _columns_of_one_name(X, nw)
    native = nw.from_native(repeated[0] if repeated else X, allow_series=True, pass_through=True)
    if repeated:
        frame, header = repeated, None
        names = [column.name if isinstance(column.name, str) else None for column in frame]
    elif isinstance(native, nw.Series):
        frame = [native]
        name = native.name
        names, header = [name if isinstance(name, str) and name else None], None
    elif isinstance(native, nw.DataFrame):
        frame = list(native.iter_columns())
        names = [name if isinstance(name, str) else None for name in native.columns]
        header = native.head(0).to_native()
    else:
        message = f"{estimator} expects {kind} in {_CONTAINERS}; got {type(X).__name__}."
        if isinstance(native, nw.LazyFrame):
            message = f"{estimator} got a lazy frame."
        raise TypeError(f"{message} {_remedy_for(X)}".rstrip())
    rows = []
    for column in frame:
        # Data-frame libraries give a column in which all values are missing the dtype float.
        if _is_numeric(column, nw) and not (column.dtype.is_float() and column.is_null().all()):
            raise _numeric_column(estimator, kind, column.name, column.dtype)
        rows += column.to_list()
    return Columns(rows, len(native), names, header, nw.maybe_get_index(native))


def _columns_of_one_name(X, nw):
    """Return the columns of a frame if several have the same name, else an empty list.

    pandas and pyarrow allow such frames, but narwhals does not read them.
    """
    names = getattr(X, "column_names", None) if hasattr(X, "itercolumns") else None
    if names is not None and len(set(names)) < len(names):
        columns = zip(names, X.itercolumns(), strict=True)
        return [nw.from_native(c, series_only=True).alias(name) for name, c in columns]
    index = getattr(X, "columns", None) if hasattr(X, "iloc") else None
    if index is not None and not getattr(index, "is_unique", True):
        return [nw.from_native(X.iloc[:, i], series_only=True) for i in range(len(index))]
    return []


def _as_native(X, nw):
    """Convert `X` to an object that narwhals reads or to an array, if its rows are unambiguous."""
    if isinstance(X, (nw.DataFrame, nw.Series, np.generic, type)):
        return X
    if nw.dependencies.is_into_dataframe(X) or nw.dependencies.is_into_series(X):
        return X
    pandas = sys.modules.get("pandas")
    if pandas is not None and isinstance(X, pandas.MultiIndex):
        return X
    if pandas is not None and isinstance(X, (pandas.Index, pandas.api.extensions.ExtensionArray)):
        return pandas.Series(getattr(X, "array", X), name=getattr(X, "name", None))
    if type(X).__module__.partition(".")[0] == "pyarrow" or any(map(partial(hasattr, X), _ARROW)):
        return _as_arrow(X, nw)
    return np.asarray(X) if hasattr(X, "__array__") else X


def _as_arrow(X, nw):
    """Read an object with an interface of Arrow: a column, or a table if it has fields."""
    try:
        import pyarrow as pa
    except ImportError:
        return X
    if isinstance(X, pa.RecordBatch):
        return pa.Table.from_batches([X])
    if isinstance(X, pa.Array):
        return pa.chunked_array([X])
    if hasattr(X, "read_all") or not any(map(partial(hasattr, X), _ARROW)):
        return X
    if hasattr(X, "__arrow_c_stream__"):
        column = pa.chunked_array(X)
    elif hasattr(X, "__arrow_c_array__"):
        column = pa.chunked_array([pa.array(X)])
    else:
        return nw.from_native(X, eager_or_interchange_only=True).to_arrow()
    return pa.Table.from_struct_array(column) if pa.types.is_struct(column.type) else column


def _is_numeric(column, nw):
    """Tell whether a column holds numbers, dates or times."""
    dtype = column.dtype
    if dtype.is_numeric() or dtype in (nw.Boolean, nw.Datetime, nw.Date, nw.Duration, nw.Time):
        return True
    own = getattr(column.to_native(), "dtype", None)  # in pandas: complex, periods, intervals
    return dtype == nw.Unknown and getattr(own, "kind", "O") not in "OUST"


def _remedy_for(X):
    """Say how to convert `X` to a container of rows, for an error message."""
    if isinstance(X, Mapping):
        return "Pass one of its values, or make it a frame: pandas.DataFrame(X)."
    if isinstance(X, Set) and not isinstance(X, KeysView):
        return "It has no order. Make it a list: list(X)."
    module = type(X).__module__.partition(".")[0].lstrip("_")
    if module in _COLLECT:
        return f"Collect it first: {_COLLECT[module]}."
    if hasattr(X, "read_all"):  # a reader of Arrow, which can be read only once
        return "Read it first: X.read_all()."
    if hasattr(X, "column_names"):
        return "Pass one of its columns, X[name]."
    if hasattr(X, "get_level_values"):
        return "Pass one of its levels: X.get_level_values(0)."
    if any(map(partial(hasattr, X), _ARROW)):
        return "Install pyarrow, which reads it."
    return "Make it a list: list(X)." if hasattr(X, "__iter__") else ""


def reject_column():
    """Return the class ``RejectColumn`` of skrub if skrub is loaded, else ValueError."""
    for name in ("skrub.core", "skrub._single_column_transformer", "skrub._on_each_column"):
        found = getattr(sys.modules.get(name), "RejectColumn", None)
        if found is not None:
            return found
    return ValueError


def _numeric_column(estimator, kind, name, dtype):
    which = f"column {name!r}" if name else "X"
    return reject_column()(
        f"{estimator} expects {kind}, but {which} is numeric (dtype {dtype}). Choose the columns "
        "that hold them, for instance with a ColumnTransformer."
    )


def _shortened(value, width=60):
    text = repr(value)
    return text if len(text) <= width else text[: width - 3] + "..."


def describe(row):
    """Describe a row in one or two words, for a message about a bad row.

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


def row_key(tag, *parts):
    """Return the 32-byte key of a row's content.

    Parameters
    ----------
    tag : bytes
        Type of the row, at most 16 bytes. Equal content of two types has different keys.
    *parts : bytes
        The content. The key also depends on the length of each part.

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
        The key of each row; None: the row is left out.

    Returns
    -------
    first : ndarray of shape (n_unique,), intp
        Positions of the first row of each key, in order.
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


def spread(reasons, first, repeats):
    """Turn positions among unique rows into positions among all rows.

    Parameters
    ----------
    reasons : dict
        By position among the unique rows.
    first, repeats : ndarray
        As :func:`unique_keys` returned them.

    Examples
    --------
    >>> spread({1: "closed"}, *unique_keys([b"a", b"b", b"b"]))
    {1: 'closed', 2: 'closed'}
    """
    reasons = {int(first[position]): reason for position, reason in reasons.items()}
    later = {again: reasons[known] for again, known in repeats.tolist() if known in reasons}
    return reasons | later
