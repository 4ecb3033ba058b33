"""Rows that their container makes anew on each access, so that they are never all in memory.

Imports `_files`.
"""

from collections.abc import Sequence

from skembed.base._files import UnreadableRowError, shortened


class OnAccess(Sequence):
    """Rows of a lazy container, such as an image column of the library `datasets`.

    A row that its container fails to make is an `UnreadableRowError`, which stands in its place.

    Parameters
    ----------
    container : object
        Has a length, and takes integers as indices.
    positions : sequence of int, default=None
        Which of its rows. None: all of them.

    Examples
    --------
    >>> rows = OnAccess(range(10, 20))
    >>> rows.taken([3, 5])[1]
    15
    """

    def __init__(self, container, positions=None):
        self._container = container
        self._positions = range(len(container)) if positions is None else positions

    def __len__(self):
        return len(self._positions)

    def __getitem__(self, index):
        if isinstance(index, slice):
            return OnAccess(self._container, self._positions[index])
        position = int(self._positions[index])
        try:
            return self._container[position]
        except MemoryError:
            raise
        except Exception as error:  # of whatever decodes the row
            reason = str(error).strip().splitlines() or [type(error).__name__]
            return UnreadableRowError(f"cannot be made by its container: {shortened(reason[0])}")

    def taken(self, positions):
        """Return some of the rows, by their positions."""
        return OnAccess(self._container, [self._positions[i] for i in positions])


def taken(rows, positions):
    """Return the rows at some positions, as a list unless they are made on access."""
    return rows.taken(positions) if isinstance(rows, OnAccess) else [rows[i] for i in positions]


def is_lazy(X):
    """Tell whether a container that no data-frame library knows makes its rows on access."""
    if isinstance(X, (list, tuple, str, bytes, bytearray, memoryview, dict, set, frozenset)):
        return False
    if not (hasattr(X, "__len__") and hasattr(X, "__getitem__")) or hasattr(X, "keys"):
        return False
    known = ("__array__", "__arrow_c_stream__", "__arrow_c_array__", "__dataframe__", "tocsr")
    return not any(hasattr(X, name) for name in known) and not hasattr(X, "column_names")
