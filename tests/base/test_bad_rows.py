"""Records of bad rows, and the error that names them."""

import pickle
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from skembed import BertEmbedder
from skembed.base._bad_rows import BadRow, Problem, bad_rows_error, bad_rows_of
from skembed.base._rows import Columns
from skembed.exceptions import BadRowsError

NOT_TEXT = Problem("not text", "not text")
NOT_IMAGES = Problem("not an image", "not images")
DAMAGED = Problem("not readable as an image", "not readable as images", "Replace them")


def error_of(bad, columns, **words):
    words = {"estimator": "BertEmbedder", "problems": [NOT_TEXT], **words}
    return bad_rows_error(bad, columns, **words)


def test_the_error_names_bad_rows_and_the_remedy():
    """How many of how many, where, of what kind, and what to do."""
    columns = Columns(["x"] * 1000, 1000, [None])
    error = error_of({902: "bytes", 4: "None", 17: "float nan"}, columns)
    assert str(error) == (
        "BertEmbedder: 3 of 1000 rows are not text (row 4: None, row 17: float nan, row 902: "
        'bytes). Fill in missing rows, correct the others, or set bad_rows="zero" or "nan".'
    )
    assert isinstance(error, ValueError)
    assert error.rows == {(4, 0): "None", (17, 0): "float nan", (902, 0): "bytes"}


def test_the_error_names_columns_where_there_are_several():
    """Each bad row with its column's name, or number where it has none."""
    columns = Columns(["x"] * 6, 3, ["city", "title"])
    assert str(error_of({1: "None", 5: "int"}, columns)) == (
        "BertEmbedder: 2 of 6 rows are not text (row 1 of column 'city': None, row 2 of "
        "column 'title': int). Fill in missing rows, correct the others, or set "
        'bad_rows="zero" or "nan".'
    )
    unnamed = columns._replace(names=[None, None])
    assert "row 1 of column 0: None, row 2 of column 1: int" in str(
        error_of({1: "None", 5: "int"}, unnamed)
    )


def test_a_single_column_is_named_once():
    """The name stands before the rows."""
    error = error_of({1: "None"}, Columns(["x", None], 2, ["city"]))
    assert "1 of 2 rows of column 'city' is not text (row 1: None)" in str(error)
    assert error.rows == {(1, "city"): "None"}


@pytest.mark.parametrize(
    ("n_bad", "ending"),
    [(5, "row 4: None)"), (6, "row 4: None, and 1 more)"), (900, "and 895 more)")],
)
def test_more_than_five_bad_rows_are_shortened(n_bad, ending):
    """Five are shown, the rest is counted; `rows` has all of them."""
    error = error_of(dict.fromkeys(range(n_bad), "None"), Columns([None] * 1000, 1000, [None]))
    message = str(error)
    assert message.startswith(f"BertEmbedder: {n_bad} of 1000 rows are not text (row 0: None, ")
    assert message.partition(". Fill")[0].endswith(ending)
    assert message.count("row ") == 5
    assert len(error.rows) == n_bad


def test_a_single_row_is_spoken_of_in_the_singular():
    """One row "is", whatever the number of rows; one of one is no plural either."""
    error = error_of({0: "int"}, Columns([3], 1, [None]), problems=[NOT_IMAGES])
    assert str(error).startswith("BertEmbedder: 1 of 1 row is not an image (row 0: int). ")
    error = error_of({0: "int"}, Columns([3, "a"], 2, [None]), problems=[NOT_IMAGES])
    assert str(error).startswith("BertEmbedder: 1 of 2 rows is not an image (row 0: int). ")
    error = error_of({0: "int", 1: "int"}, Columns([3, 4], 2, [None]), problems=[NOT_IMAGES])
    assert str(error).startswith("BertEmbedder: 2 of 2 rows are not images (row 0: int, ")


def test_the_error_survives_a_pickle():
    """As it must, to come back from a worker process."""
    error = pickle.loads(pickle.dumps(error_of({0: "int"}, Columns([3], 1, [None]))))
    assert type(error) is BadRowsError
    assert error.rows == {(0, 0): "int"}
    assert "row 0: int" in str(error)


@pytest.mark.parametrize(
    ("reasons", "problems", "remedy"),
    [
        (["None"], [NOT_IMAGES], "Fill it in, or set"),
        (["None", "float nan"], [NOT_IMAGES], "Fill them in, or set"),
        (["int"], [NOT_IMAGES], "Correct it, or set"),
        (["int", "int"], [NOT_IMAGES], "Correct them, or set"),
        (["a damaged image"], [DAMAGED], "Replace it, or set"),
        (["a damaged image"] * 2, [DAMAGED], "Replace them, or set"),
        (["too long"], [BertEmbedder._decode_problem], 'Shorten it, set long_texts="truncate"'),
        (["NAType", "int"], [NOT_IMAGES], "Fill in missing rows, correct the others, or set"),
        (["int", "a damaged image"], [NOT_IMAGES, DAMAGED], "Correct them, replace them, or set"),
        (
            ["None", "a damaged image"],
            [NOT_IMAGES, DAMAGED],
            "Fill in missing rows, replace the others, or set",
        ),
    ],
)
def test_the_remedy_fits_the_reasons(reasons, problems, remedy):
    """Missing rows are filled in; what to do about others depends on what is wrong with them."""
    columns = Columns(["x"] * 9, 9, [None])
    error = error_of(dict(enumerate(reasons)), columns, problems=problems)
    assert f"). {remedy}" in str(error)
    assert str(error).endswith(', or set bad_rows="zero" or "nan".')


def test_columns_of_one_name_are_told_apart_by_number():
    columns = Columns(["x", None, "y", None, None, "z"], 2, ["city", "city", "title"])
    bad = {1: "None", 3: "None", 4: "None"}
    error = error_of(bad, columns)
    assert "row 1 of column 0: None, row 1 of column 1: None, row 0 of column 'title'" in str(error)
    assert len(error.rows) == len(bad_rows_of(bad, columns)) == 3


def test_two_kinds_of_problems_are_one_error():
    """Rows that are bad at first sight stand beside those that cannot be read."""
    columns = Columns(["x"] * 9, 9, [None])
    error = error_of({2: "None", 0: "a damaged image"}, columns, problems=[NOT_IMAGES, DAMAGED])
    assert str(error).startswith(
        "BertEmbedder: 2 of 9 rows are not images, or are not readable as images "
        "(row 0: a damaged image, row 2: None). "
    )


@pytest.mark.parametrize(
    ("index", "named"),
    [
        (["r10", "r20", "r30"], "row 1 (label 'r20'): None"),
        ([5, 9, 7], "row 1 (label 9): None"),
        (pd.RangeIndex(3, 6), "row 1 (label 4): None"),
        (pd.MultiIndex.from_arrays([["a", "a", "b"], [1, 2, 1]]), "row 1 (label ('a', 2)): None"),
        (pd.to_datetime(["2020-01-01"] * 3), "row 1 (label Timestamp('2020-01-01 00:00:00'))"),
        (pd.RangeIndex(3), "(row 1: None)"),
        (pd.Index([0, 1, 2]), "(row 1: None)"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_row_is_named_by_its_label(index, named):
    """Where the index does not only count the rows."""
    columns = Columns(["a", None, "b"], 3, [None], None, pd.Index(index))
    assert named in str(error_of({1: "None"}, columns))


def test_a_row_is_named_by_its_path():
    """Where a row of text is a path; a long one by its end; none where the reason names it."""
    long = "folder/" * 20 + "broken.jpg"
    rows = ["a.jpg", b"a.jpg", long, {"bytes": None, "path": "b.jpg"}, Path("c.jpg"), "d.jpg"]
    bad = dict.fromkeys(range(5), "damaged") | {5: "no such file, d.jpg"}
    columns = Columns(rows, 6, [None])
    message = str(error_of({i: bad[i] for i in (0, 1, 2)}, columns, with_paths=True))
    assert "(row 0 (a.jpg): damaged, row 1: damaged, row 2 (…" in message
    assert "folder/broken.jpg): damaged)" in message
    assert long not in message
    message = str(error_of({i: bad[i] for i in (3, 4, 5)}, columns, with_paths=True))
    assert "(row 3 (b.jpg): damaged, row 4 (c.jpg): damaged, row 5: no such file, d.jpg)" in message
    assert "(row 0: damaged)" in str(error_of({0: "damaged"}, columns))


def test_label_path_and_column_stand_together():
    """In this order."""
    columns = Columns(["a.jpg"] * 4, 2, ["front", "back"], None, pd.Index(["x", "y"]))
    message = str(error_of({3: "damaged"}, columns, with_paths=True))
    assert "(row 1 (label 'y', a.jpg) of column 'back': damaged)" in message


def test_records_make_a_frame():
    """One for each bad row, column by column."""
    columns = Columns(["a", None, 3, None], 2, ["x", "y"], None, pd.Index(["p", "q"]))
    records = bad_rows_of({3: "None", np.int64(1): "None", 2: "int"}, columns)
    assert records == [
        BadRow(1, "x", "q", "None"),
        BadRow(0, "y", "p", "int"),
        BadRow(1, "y", "q", "None"),
    ]
    frame = pd.DataFrame(records)
    assert frame.columns.tolist() == ["position", "column", "label", "reason"]
    assert bad_rows_of({0: "int"}, Columns([3], 1, [None])) == [BadRow(0, 0, None, "int")]


def test_an_error_of_all_rows_is_skrubs_too():
    """So that skrub can leave a column out that holds none of what is embedded."""
    RejectColumn = pytest.importorskip("skrub.core").RejectColumn
    columns = Columns([1, 2], 2, [None])
    error = error_of({0: "int", 1: "int"}, columns)
    assert isinstance(error, BadRowsError)
    assert isinstance(error, RejectColumn)
    assert type(pickle.loads(pickle.dumps(error))) is BadRowsError
    assert not isinstance(error_of({0: "int"}, columns), RejectColumn)
