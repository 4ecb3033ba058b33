"""Rows out of any container, and their keys."""

import re
import sys
import warnings
from collections import deque
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse

from skembed.base._rows import columns_of, describe, row_key, unique_keys


def matrix(values):
    """Return a matrix, of whose class numpy warns, whatever the filters are at collection."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PendingDeprecationWarning)
        return np.asmatrix(values)


ROWS = ["a", "b", "a"]


class _Holds:
    """An object of no known library, which hands out what it holds by one interface."""

    def __init__(self, held):
        self.held = held


class HasArray(_Holds):
    def __array__(self, dtype=None, copy=None):
        return np.asarray(self.held, dtype=dtype)


class HasStream(_Holds):
    def __arrow_c_stream__(self, requested_schema=None):
        return self.held.__arrow_c_stream__(requested_schema)


class HasArrowArray(_Holds):
    def __arrow_c_array__(self, requested_schema=None):
        return self.held.__arrow_c_array__(requested_schema)


class HasInterchange(_Holds):
    def __dataframe__(self, nan_as_null=False, allow_copy=True):
        return self.held.__dataframe__(nan_as_null, allow_copy)


def texts_of(X):
    return columns_of(X, estimator="BertEmbedder", kind="texts")


@pytest.mark.parametrize(
    ("X", "name"),
    [
        (ROWS, None),
        (tuple(ROWS), None),
        (deque(ROWS), None),
        (np.array(ROWS), None),
        (np.array(ROWS, dtype=object), None),
        (pd.Series(ROWS, index=[2, 0, 1], name="city"), "city"),
        (pd.Series(ROWS, index=[7, 7, 7], dtype="category"), None),
        (pd.Series(ROWS, dtype="string[pyarrow]", name=0), None),
        (pd.array(ROWS, dtype="string[python]"), None),
        (pd.array(ROWS, dtype="string[pyarrow]"), None),
        (pd.array(ROWS, dtype=pd.ArrowDtype(pa.string())), None),
        (pd.Series(ROWS).values, None),
        (pd.Series(ROWS).array, None),
        (pd.Categorical(ROWS), None),
        (pd.Index(ROWS), None),
        (pd.Index(ROWS, name="city"), "city"),
        (pd.CategoricalIndex(ROWS), None),
        (pl.Series("city", ROWS), "city"),
        (pl.Series(ROWS, dtype=pl.Categorical), None),
        (pa.array(ROWS, pa.large_string()), None),
        (pa.array(ROWS, pa.string_view()), None),
        (pa.array(ROWS).dictionary_encode(), None),
        (np.array(ROWS, dtype=np.dtypes.StringDType()), None),
        (HasArray(np.array(ROWS)), None),
        (HasStream(pa.chunked_array([ROWS])), None),
        (HasArrowArray(pa.array(ROWS)), None),
        (pl.Series(ROWS), None),
        (pa.chunked_array([ROWS[:1], ROWS[1:]]), None),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_column_of_any_container_gives_its_rows_by_position(X, name):
    """One column, in order, whatever the labels; its name where it has one."""
    columns = texts_of(X)
    assert columns[:3] == (ROWS, 3, [name])
    assert columns.header is None


@pytest.mark.parametrize(
    ("X", "names"),
    [
        (pd.DataFrame({"x": ["a", "b"], "y": ["c", "d"]}, index=[9, 3]), ["x", "y"]),
        (pd.DataFrame({0: ["a", "b"], 1: ["c", "d"]}), [None, None]),
        (pl.DataFrame({"x": ["a", "b"], "y": ["c", "d"]}), ["x", "y"]),
        (pa.table({"x": ["a", "b"], "y": ["c", "d"]}), ["x", "y"]),
        (HasStream(pa.table({"x": ["a", "b"], "y": ["c", "d"]})), ["x", "y"]),
        (HasArrowArray(pa.record_batch({"x": ["a", "b"], "y": ["c", "d"]})), ["x", "y"]),
        (HasInterchange(pa.table({"x": ["a", "b"], "y": ["c", "d"]})), ["x", "y"]),
        (matrix([["a", "c"], ["b", "d"]]), [None, None]),
        (np.array([["a", "c"], ["b", "d"]], dtype=object), [None, None]),
        (np.array([["a", "c"], ["b", "d"]]), [None, None]),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_frame_gives_its_columns_one_after_the_other(X, names):
    """Column by column, two rows each, with the names that are text."""
    columns = texts_of(X)
    assert columns[:3] == (["a", "b", "c", "d"], 2, names)
    assert (columns.header is None) == isinstance(X, np.ndarray)


def test_rows_of_an_array_are_python_objects():
    """Text of a numpy array arrives as `str`, not as a numpy scalar."""
    assert [type(row) for row in texts_of(np.array(["a", "b"])).rows] == [str, str]


def test_a_stack_of_arrays_is_taken_apart():
    """An array of more than two dimensions is a column of arrays."""
    stack = np.arange(24.0).reshape(2, 3, 4)
    columns = columns_of(stack, estimator="CNNImageEmbedder", kind="images")
    assert columns.n_rows == 2
    assert columns.names == [None]
    np.testing.assert_array_equal(columns.rows[1], stack[1])


def test_missing_rows_stay_recognizable():
    """Missing text of pandas, polars and pyarrow is None or NaN, never the text "nan"."""
    for X in (pd.Series(["a", None]), pl.Series(["a", None]), pa.chunked_array([["a", None]])):
        assert describe(texts_of(X).rows[1]) in ("None", "float nan")


@pytest.mark.parametrize(
    ("X", "message"),
    [
        (
            "one text",
            "BertEmbedder expects a collection of texts, got one str: 'one text'. "
            "Wrap it in a list: [x].",
        ),
        (
            "x" * 200,
            f"BertEmbedder expects a collection of texts, got one str: '{'x' * 56}.... "
            "Wrap it in a list: [x].",
        ),
        (
            b"ab",
            "BertEmbedder expects a collection of texts, got one bytes: b'ab'. "
            "Wrap it in a list: [x].",
        ),
        (
            Path("picture.png"),
            "BertEmbedder expects a collection of texts, got one PosixPath: "
            "PosixPath('picture.png'). Wrap it in a list: [x].",
        ),
        (
            np.array("one text"),
            "BertEmbedder expects a collection of texts, got an array of no dimensions: "
            "array('one text', dtype='<U8'). Wrap it in a list: [x].",
        ),
        (
            sparse.csr_array(np.eye(2)),
            "Sparse data was passed for X, but dense data is required: BertEmbedder expects texts.",
        ),
        (
            (text for text in ROWS),
            "BertEmbedder expects texts in a list, a tuple, a 1-D array, a pandas, polars or "
            "pyarrow column, or a frame or 2-D object array of such columns; got generator. "
            "Make it a list: list(X).",
        ),
        (
            {"a", "b"},
            "BertEmbedder expects texts in a list, a tuple, a 1-D array, a pandas, polars or "
            "pyarrow column, or a frame or 2-D object array of such columns; got set. "
            "It has no order. Make it a list: list(X).",
        ),
        (
            {"a": 1}.keys(),
            "BertEmbedder expects texts in a list, a tuple, a 1-D array, a pandas, polars or "
            "pyarrow column, or a frame or 2-D object array of such columns; got dict_keys. "
            "Make it a list: list(X).",
        ),
        (
            3,
            "BertEmbedder expects texts in a list, a tuple, a 1-D array, a pandas, polars or "
            "pyarrow column, or a frame or 2-D object array of such columns; got int.",
        ),
        (
            None,
            "BertEmbedder expects texts in a list, a tuple, a 1-D array, a pandas, polars or "
            "pyarrow column, or a frame or 2-D object array of such columns; got NoneType.",
        ),
        (
            bytearray(b"ab"),
            "BertEmbedder expects a collection of texts, got one bytearray: bytearray(b'ab'). "
            "Wrap it in a list: [x].",
        ),
        (
            np.array([("a", 1)], dtype=[("text", "U1"), ("n", int)]),
            "BertEmbedder got a structured array of the fields text, n. Pass one of them: "
            "X['text'].",
        ),
        (
            pl.LazyFrame({"x": ["a"]}),
            "BertEmbedder got a lazy frame. Collect it first: X.collect().",
        ),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_is_no_container_of_rows_is_named(X, message):
    """The TypeError says what came and what to do about it."""
    with pytest.raises(TypeError) as raised:
        texts_of(X)
    assert str(raised.value) == message


@pytest.mark.parametrize(
    ("X", "remedy"),
    [
        ({"a": ["b"]}, "got dict. Pass one of its values, or make it a frame"),
        (iter(ROWS), "got list_iterator. Make it a list: list(X)."),
        (map(str, ROWS), "got map. Make it a list: list(X)."),
        (pd.MultiIndex.from_arrays([ROWS, ROWS]), "one of its levels: X.get_level_values(0)."),
        (pa.table({"x": ROWS}).to_reader(), "Read it first: X.read_all()."),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_may_be_meant_is_said(X, remedy):
    """The error of what is almost a container ends in the way to make it one."""
    with pytest.raises(TypeError, match=re.escape(remedy)):
        texts_of(X)


def test_an_arrow_stream_needs_pyarrow(monkeypatch):
    """Without it, the error names it."""
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(TypeError, match=r"got HasStream\. Install pyarrow, which reads it\."):
        texts_of(HasStream(None))


@pytest.mark.parametrize(
    ("X", "labels"),
    [
        (pd.Series(ROWS, index=list("xyz")), ["x", "y", "z"]),
        (pd.DataFrame({"a": ROWS}, index=[3, 1, 2]), [3, 1, 2]),
        (pd.Index(ROWS), [0, 1, 2]),
        (pl.Series(ROWS), None),
        (ROWS, None),
    ],
    ids=lambda value: type(value).__name__,
)
def test_labels_are_the_index(X, labels):
    """The index of a pandas object is kept, for messages."""
    found = texts_of(X).labels
    assert (found if found is None else found.tolist()) == labels


@pytest.mark.parametrize(
    ("X", "which", "dtype"),
    [
        (np.arange(3), "X", "int64"),
        (np.eye(2), "X", "float64"),
        (np.array([True]), "X", "bool"),
        (np.array(["2020-01-01"], dtype="datetime64[D]"), "X", "datetime64[D]"),
        (pd.Series([1.0, 2.0], name="age"), "column 'age'", "Float64"),
        (pd.Series([1, 2]), "X", "Int64"),
        (pd.DataFrame({"city": ["a"], "age": [3]}), "column 'age'", "Int64"),
        (pl.DataFrame({"city": ["a"], "new": [True]}), "column 'new'", "Boolean"),
        (pa.table({"age": [3]}), "column 'age'", "Int64"),
        (pd.array([1, 2]), "X", "Int64"),
        (pd.RangeIndex(3, name="age"), "column 'age'", "Int64"),
        (pd.Series(pd.to_timedelta([1])), "X", "Duration(time_unit='ns')"),
        (pd.Series([1j]), "X", "Unknown"),
        (HasArray(np.eye(2)), "X", "float64"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_numeric_columns_are_refused_by_name(X, which, dtype):
    """The ValueError names the column and its dtype."""
    with pytest.raises(ValueError) as raised:  # noqa: PT011
        texts_of(X)
    assert str(raised.value) == (
        f"BertEmbedder expects texts, but {which} is numeric (dtype {dtype}). Choose the columns "
        "that hold them, for instance with a ColumnTransformer."
    )


@pytest.mark.parametrize(
    ("X", "shape"),
    [
        ([], "(0,)"),
        ((), "(0,)"),
        (np.array([], dtype=object), "(0,)"),
        (np.empty((0, 2), dtype=object), "(0, 2)"),
        (pd.Series([], dtype=object), "(0,)"),
        (pl.DataFrame({"x": pl.Series([], dtype=pl.String)}), "(0, 1)"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_empty_x_is_refused(X, shape):
    """As scikit-learn says it, with the shape."""
    with pytest.raises(ValueError) as raised:  # noqa: PT011
        texts_of(X)
    assert str(raised.value) == (
        f"Found array with 0 sample(s) (shape={shape}) while a minimum of 1 is required by "
        "BertEmbedder."
    )


@pytest.mark.parametrize(
    "X", [pd.DataFrame(index=[1, 2]), np.empty((2, 0), dtype=object)], ids=["pandas", "numpy"]
)
def test_a_frame_without_columns_is_refused(X):
    """Rows without a column are said to lack features, not samples."""
    with pytest.raises(ValueError) as raised:  # noqa: PT011
        texts_of(X)
    assert str(raised.value) == (
        "Found array with 0 feature(s) (shape=(2, 0)) while a minimum of 1 is required by "
        "BertEmbedder."
    )


@pytest.mark.parametrize(
    "X",
    [
        pd.DataFrame([["a", "b"]], columns=["x", "x"]),
        pa.table([pa.array(["a"]), pa.array(["b"])], names=["x", "x"]),
    ],
    ids=["pandas", "pyarrow"],
)
def test_columns_of_one_name_are_taken_by_position(X):
    """narwhals raises its own error for such frames."""
    columns = texts_of(X)
    assert columns.rows == ["a", "b"]
    assert columns.names == ["x", "x"]
    assert columns.n_rows == 1


def test_columns_of_one_name_have_labels_and_refuse_numbers():
    X = pd.DataFrame([["a", "b"], ["c", None]], columns=["x", "x"], index=[5, 9])
    assert texts_of(X).labels.tolist() == [5, 9]
    with pytest.raises(ValueError, match="column 'x' is numeric"):
        texts_of(pd.DataFrame([["a", 1]], columns=["x", "x"]))
    assert texts_of(pd.DataFrame([["a", "b"]], columns=[0, 0])).names == [None, None]


@pytest.mark.parametrize(
    ("row", "words"),
    [
        (None, "None"),
        (float("nan"), "float nan"),
        (np.float32("nan"), "float nan"),
        (1.5, "float"),
        (b"", "bytes"),
        (pd.NaT, "NaTType"),
        (pd.NA, "NAType"),
        (["a"], "list"),
    ],
)
def test_bad_rows_are_described_by_type(row, words):
    """A word or two, and never the content."""
    assert describe(row) == words


@given(st.lists(st.binary(), max_size=4), st.lists(st.binary(), max_size=4))
def test_keys_do_not_collide_between_splits(some, others):
    """Equal keys come from equal parts only, wherever the bytes are split."""
    if len(some) != 1 and len(others) != 1:  # the number of parts belongs to the tag
        assert (row_key(b"image", *some) == row_key(b"image", *others)) == (some == others)


@given(st.binary(max_size=16), st.binary(max_size=16), st.binary())
def test_keys_do_not_collide_between_tags(tag, other, content):
    """Equal bytes of two kinds of row have two keys."""
    same = tag.ljust(16, b"\0") == other.ljust(16, b"\0")
    assert (row_key(tag, content) == row_key(other, content)) == same


@given(st.lists(st.text(), unique=True))
def test_keys_of_texts_are_injective(rows):
    """Different texts have different keys, of 32 bytes."""
    keys = {row_key(b"text", row.encode()) for row in rows}
    assert len(keys) == len(rows)
    assert {len(key) for key in keys} <= {32}


@given(st.lists(st.none() | st.sampled_from([b"a", b"b", b"c", b"d"])))
def test_unique_keys_scatter_back(keys):
    """First rows and repeats together give all keyed rows, in order of first appearance."""
    first, repeats = unique_keys(keys)
    answer = [None] * len(keys)
    for position in first:
        answer[position] = keys[position]
    for again, known in repeats:
        assert known in first
        assert answer[again] is None
        assert known < again
        answer[again] = answer[known]
    assert answer == keys
    assert len({keys[i] for i in first}) == len(first)
    assert first.tolist() == sorted(first)
    assert first.dtype == repeats.dtype == np.intp
    assert repeats.shape == (len(repeats), 2)
