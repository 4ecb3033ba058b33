"""Rows are read on threads; those that cannot be read have reasons."""

import pytest

from skembed.base._files import UnreadableRowError
from skembed.base._read_rows import read_rows


def tenfold(row):
    if row < 0:
        raise UnreadableRowError(f"{row} is negative" if row > -9 else "")
    return row * 10 or None


@pytest.mark.parametrize("n_threads", [1, 3])
def test_values_and_reasons_stand_in_the_order_of_rows(n_threads):
    """None may be a value, and a reason may be empty."""
    values, reasons = read_rows(tenfold, [4, -1, 0, -9, 2], n_threads)
    assert values == [40, None, None, None, 20]
    assert reasons == {1: "-1 is negative", 3: ""}


def test_no_rows():
    assert read_rows(tenfold, [], 2) == ([], {})


@pytest.mark.parametrize("n_threads", [1, 3])
def test_other_errors_are_raised(n_threads):
    with pytest.raises(TypeError):
        read_rows(tenfold, [1, "a", 2], n_threads)
