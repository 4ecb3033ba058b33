"""Labels stay aligned with rows: of several columns, and where bad rows are left out."""

import numpy as np
import pandas as pd
import polars as pl
import pytest
from scipy.sparse import csr_array

from skembed.base._labels import labels_of_rows
from skembed.base._rows import columns_of, row_key
from skembed.embedder._base import Block, Embedder


class Recorder(Embedder):
    """Embed texts by their length, and record what `fit` was given."""

    def __init__(self, bad_rows="raise", verbose=0):
        self.bad_rows = bad_rows
        self.verbose = verbose

    def _uses_labels(self):
        return True

    def _check_rows(self, rows):
        keys = [row_key(b"text", row.encode()) if isinstance(row, str) else None for row in rows]
        return keys, {i: "None" for i, key in enumerate(keys) if key is None}

    def _fit_rows(self, rows, labels):
        self.seen_ = list(rows), labels
        self._n_dims = 1

    def _embed(self, rows, keys, bad):
        yield Block(np.arange(len(rows)), np.array([[len(row)] for row in rows], dtype=np.float32))


@pytest.mark.parametrize(
    "make", [list, np.array, pd.Series, pl.Series, lambda y: pd.Series(y, index=[7, 3, 5, 1])]
)
@pytest.mark.parametrize("method", ["fit", "fit_transform"])
def test_labels_of_bad_rows_are_left_out(make, method):
    embedder = Recorder(bad_rows="zero")
    getattr(embedder, method)(["a", None, "b", "c"], make([10, 11, 12, 13]))
    rows, labels = embedder.seen_
    assert rows == ["a", "b", "c"]
    assert labels.tolist() == [10, 12, 13]


def test_each_column_of_a_frame_has_the_labels():
    frame = pd.DataFrame({"left": ["a", "b"], "right": ["c", None]}, dtype=object)
    embedder = Recorder(bad_rows="nan").fit(frame, ["first", "second"])
    rows, labels = embedder.seen_
    assert list(zip(rows, labels, strict=True)) == [("a", "first"), ("b", "second"), ("c", "first")]


def test_several_outputs_stay_together():
    y = np.arange(6).reshape(3, 2)
    embedder = Recorder(bad_rows="zero").fit(["a", None, "b"], y)
    np.testing.assert_array_equal(embedder.seen_[1], y[[0, 2]])


@pytest.mark.parametrize("y", [[1], [1, 2, 3], 5])
def test_another_number_of_labels_is_refused(y):
    with pytest.raises(ValueError, match="X has 2 rows and y has"):
        Recorder().fit(["a", "b"], y)


def test_no_labels_are_no_labels():
    assert Recorder().fit(["a"]).seen_[1] is None
    assert labels_of_rows(None, columns_of(["a"], estimator="Recorder", kind="texts")) is None


def test_columns_and_sparse_matrices_are_labels():
    columns = columns_of(["a", "b"], estimator="Recorder", kind="texts")
    assert labels_of_rows([["x"], ["y"]], columns).tolist() == ["x", "y"]
    assert labels_of_rows(csr_array([[1, 0], [0, 1]]), columns).tolist() == [[1, 0], [0, 1]]


@pytest.mark.parametrize(
    ("y", "message"),
    [
        ([["x"], ["x", "y"]], "The entries of y have different lengths"),
        (np.zeros((2, 1, 3)), "y must have one or two dimensions"),
    ],
)
def test_labels_that_are_no_table(y, message):
    with pytest.raises(ValueError, match=message):
        labels_of_rows(y, columns_of(["a", "b"], estimator="Recorder", kind="texts"))
