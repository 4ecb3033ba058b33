"""Rows read on threads: values in order, one reason for each unreadable row."""

import pytest

from skembed.base._files import UnreadableRowError
from skembed.base._read_rows import read_rows


def read(row):
    if row == "bad":
        raise UnreadableRowError("a bad row")
    return row.upper()


@pytest.mark.parametrize("n_threads", [1, 3])
def test_values_keep_the_order_of_rows(n_threads):
    values, reasons = read_rows(read, ["a", "bad", "b", "bad"], n_threads)
    assert values == ["A", None, "B", None]
    assert reasons == {1: "a bad row", 3: "a bad row"}


def test_other_errors_are_raised():
    with pytest.raises(AttributeError):
        read_rows(read, ["a", 3], 1)


def test_no_rows():
    assert read_rows(read, [], 2) == ([], {})
