"""Batches cover all rows in order."""

from hypothesis import given
from hypothesis import strategies as st

from skembed.base._batches import batches


@given(st.integers(0, 50), st.integers(1, 60))
def test_batches_cover_all_rows_in_order(n_rows, size):
    rows = [list(range(n_rows))[batch] for batch in batches(n_rows, size)]
    assert [row for batch in rows for row in batch] == list(range(n_rows))
    assert all(len(batch) == size for batch in rows[:-1])
    assert all(0 < batch.stop - batch.start <= size for batch in batches(n_rows, size))
