"""Rows out of any container, their keys, and the errors that name them."""

import pickle
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

from skembed._rows import (
    Columns,
    bad_rows_error,
    columns_of,
    describe,
    row_key,
    unique_keys,
)
from skembed.exceptions import BadRowsError

ROWS = ["a", "b", "a"]


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
        (pl.Series("city", ROWS), "city"),
        (pl.Series(ROWS), None),
        (pa.chunked_array([ROWS[:1], ROWS[1:]]), None),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_column_of_any_container_gives_its_rows_by_position(X, name):
    """One column, in order, whatever the labels; its name where it has one."""
    assert texts_of(X) == Columns(ROWS, 3, [name], False)


@pytest.mark.parametrize(
    ("X", "names"),
    [
        (pd.DataFrame({"x": ["a", "b"], "y": ["c", "d"]}, index=[9, 3]), ["x", "y"]),
        (pd.DataFrame({0: ["a", "b"], 1: ["c", "d"]}), [None, None]),
        (pl.DataFrame({"x": ["a", "b"], "y": ["c", "d"]}), ["x", "y"]),
        (pa.table({"x": ["a", "b"], "y": ["c", "d"]}), ["x", "y"]),
        (np.array([["a", "c"], ["b", "d"]], dtype=object), [None, None]),
        (np.array([["a", "c"], ["b", "d"]]), [None, None]),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_frame_gives_its_columns_one_after_the_other(X, names):
    """Column by column, two rows each, with the names that are text."""
    assert texts_of(X) == Columns(["a", "b", "c", "d"], 2, names, True)


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


def test_missing_rows_stay_recognisable():
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
            "Make it a list: list(X).",
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


def test_a_dict_is_no_container_of_rows():
    """Its order is that of its keys, which is nobody's order of rows."""
    with pytest.raises(TypeError, match=r"got dict\."):
        texts_of({"a": ["b"]})


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


def error_of(bad, columns, **words):
    words = {"estimator": "BertEmbedder", "problem": "not text", "remedy": "Fill them in", **words}
    return bad_rows_error(bad, columns, **words)


def test_the_error_names_bad_rows_and_the_remedy():
    """How many of how many, where, of what kind, and what to do."""
    columns = Columns(["x"] * 1000, 1000, [None], False)
    error = error_of({902: "bytes", 4: "None", 17: "float nan"}, columns)
    assert str(error) == (
        "BertEmbedder: 3 of 1000 rows are not text (row 4: None, row 17: float nan, row 902: "
        'bytes). Fill them in, or set bad_rows="zero" or "nan".'
    )
    assert isinstance(error, ValueError)
    assert error.rows == {(4, 0): "None", (17, 0): "float nan", (902, 0): "bytes"}


def test_the_error_names_columns_where_there_are_several():
    """Each bad row with its column's name, or number where it has none."""
    columns = Columns(["x"] * 6, 3, ["city", "title"], True)
    assert str(error_of({1: "None", 5: "int"}, columns)) == (
        "BertEmbedder: 2 of 6 rows are not text (row 1 of column 'city': None, row 2 of column "
        '\'title\': int). Fill them in, or set bad_rows="zero" or "nan".'
    )
    unnamed = columns._replace(names=[None, None])
    assert "row 1 of column 0: None, row 2 of column 1: int" in str(
        error_of({1: "None", 5: "int"}, unnamed)
    )


def test_a_named_single_column_is_not_repeated_in_the_error():
    """With one column, rows are named by number alone; `rows` keeps the name."""
    error = error_of({1: "None"}, Columns(["x", None], 2, ["city"], True))
    assert "(row 1: None)" in str(error)
    assert error.rows == {(1, "city"): "None"}


@pytest.mark.parametrize(
    "X",
    [
        pd.DataFrame([["a", "b"]], columns=["x", "x"]),
        pa.table([pa.array(["a"]), pa.array(["b"])], names=["x", "x"]),
    ],
    ids=["pandas", "pyarrow"],
)
def test_columns_of_one_name_are_refused(X):
    """Two columns of one name could not be told apart in errors and in the answer's names."""
    with pytest.raises(Exception, match="unique column names"):
        texts_of(X)


@pytest.mark.parametrize(
    ("n_bad", "ending"),
    [(5, "row 4: None)"), (6, "row 4: None, and 1 more)"), (900, "and 895 more)")],
)
def test_more_than_five_bad_rows_are_shortened(n_bad, ending):
    """Five are shown, the rest is counted; `rows` has all of them."""
    error = error_of(
        dict.fromkeys(range(n_bad), "None"), Columns([None] * 1000, 1000, [None], False)
    )
    message = str(error)
    assert message.startswith(f"BertEmbedder: {n_bad} of 1000 rows are not text (row 0: None, ")
    assert message.partition(". Fill")[0].endswith(ending)
    assert message.count("row ") == 5
    assert len(error.rows) == n_bad


def test_a_single_row_is_spoken_of_in_the_singular():
    """One of one row "is"."""
    error = error_of({0: "int"}, Columns([3], 1, [None], False))
    assert str(error).startswith("BertEmbedder: 1 of 1 row is not text (row 0: int). ")


def test_the_error_survives_a_pickle():
    """As it must, to come back from a worker process."""
    error = pickle.loads(pickle.dumps(error_of({0: "int"}, Columns([3], 1, [None], False))))
    assert type(error) is BadRowsError
    assert error.rows == {(0, 0): "int"}
    assert "row 0: int" in str(error)


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
