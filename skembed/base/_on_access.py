"""Rows that a lazy container creates on each access, so that they are never all in memory.

Imports `_failures` and `_files`.
"""

from collections.abc import Sequence

from skembed.base._failures import first_line
from skembed.base._files import UnreadableRowError, shortened


class OnAccess(Sequence):
    """Rows of a lazy container, such as an image column of the library `datasets`.

    If the container raises an error for a row, the row is an `UnreadableRowError`.

    Parameters
    ----------
    container : object
        Has a length and can be indexed with int.
    positions : sequence of int, default=None
        Positions of the rows in the container. None: all rows.

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
        except Exception as error:  # any error of the library that decodes the row
            reason = shortened(first_line(error))
            return UnreadableRowError(f"cannot be made by its container: {reason}")

    def taken(self, positions):
        """Return the rows at some positions."""
        return OnAccess(self._container, [self._positions[i] for i in positions])


def taken(rows, positions):
    """Return the rows at some positions: an `OnAccess` if `rows` is one, else a list."""
    return rows.taken(positions) if isinstance(rows, OnAccess) else [rows[i] for i in positions]


def is_lazy(X):
    """Tell whether a container is to be wrapped in `OnAccess`.

    It has a length and items, and is no container of Python, NumPy, SciPy or a data-frame library.
    """
    if isinstance(X, (list, tuple, str, bytes, bytearray, memoryview, dict, set, frozenset)):
        return False
    if not (hasattr(X, "__len__") and hasattr(X, "__getitem__")) or hasattr(X, "keys"):
        return False
    known = ("__array__", "__arrow_c_stream__", "__arrow_c_array__", "__dataframe__", "tocsr")
    return not any(hasattr(X, name) for name in known) and not hasattr(X, "column_names")
