"""Rows that a lazy container creates on each access."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from skembed.base._files import UnreadableRowError
from skembed.base._on_access import OnAccess, is_lazy, taken


class Lazy:
    """A container whose row 2 cannot be decoded; it counts accesses."""

    def __init__(self):
        self.accessed = []

    def __len__(self):
        return 5

    def __getitem__(self, position):
        self.accessed.append(position)
        if position == 2:
            raise KeyError("no decoder\nfor this row")
        return f"row {position}"


def test_rows_are_created_on_access():
    container = Lazy()
    rows = OnAccess(container)
    assert len(rows) == 5
    assert container.accessed == []
    assert rows[1] == rows[1] == "row 1"
    assert rows[-1] == "row 4"
    assert container.accessed == [1, 1, 4]


def test_slices_and_positions_access_nothing():
    container = Lazy()
    rows = OnAccess(container)
    part = rows[1:4].taken([0, 2])
    assert isinstance(part, OnAccess)
    assert container.accessed == []
    assert list(part) == ["row 1", "row 3"]
    assert isinstance(taken(rows, np.array([0])), OnAccess)
    assert taken(["a", "b", "c"], [2, 0]) == ["c", "a"]


def test_a_row_that_the_container_cannot_create():
    row = OnAccess(Lazy())[2]
    assert isinstance(row, UnreadableRowError)
    assert str(row).startswith("cannot be made by its container: ")
    assert "\n" not in str(row)


def test_lack_of_memory_is_no_property_of_a_row():
    class Huge(Lazy):
        def __getitem__(self, position):
            raise MemoryError

    with pytest.raises(MemoryError):
        OnAccess(Huge())[0]


def test_the_end_of_the_rows():
    with pytest.raises(IndexError):
        OnAccess(Lazy())[5]


@pytest.mark.parametrize(
    ("X", "expected"),
    [
        (Lazy(), True),
        (range(3), True),
        (["a"], False),
        ("text", False),
        (b"text", False),
        ({"a": 1}, False),
        (np.zeros(3), False),
        (pd.Series(["a"]), False),
        (pd.DataFrame({"a": ["b"]}), False),
        (pa.array(["a"]), False),
        (iter(["a"]), False),
    ],
    ids=lambda value: type(value).__name__,
)
def test_is_lazy(X, expected):
    assert is_lazy(X) == expected
