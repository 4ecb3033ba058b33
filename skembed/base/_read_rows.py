"""Read rows on threads: their values, and the reasons of rows that cannot be read.

Imports `_files` and `_threads`.
"""

from skembed.base._files import UnreadableRowError
from skembed.base._threads import in_threads


def read_rows(function, rows, n_threads):
    """Call a function with each row, on threads.

    Parameters
    ----------
    function : callable
        Takes a row, and returns its value or raises an `UnreadableRowError`.
    rows : sequence
        The rows.
    n_threads : int
        Number of threads.

    Returns
    -------
    values : list
        The value of each row; None for rows that cannot be read.
    reasons : dict of int to str
        Position of each unreadable row -> the message of its error.

    Examples
    --------
    >>> def half(row):
    ...     if row % 2:
    ...         raise UnreadableRowError("an odd number")
    ...     return row // 2
    >>> read_rows(half, [2, 3, 8], n_threads=1)
    ([1, None, 4], {1: 'an odd number'})
    """

    def value_and_reason(row):
        try:
            return function(row), None
        except UnreadableRowError as error:
            return None, str(error)

    pairs = list(in_threads(value_and_reason, rows, n_threads))
    values = [value for value, _ in pairs]
    return values, {i: reason for i, (_, reason) in enumerate(pairs) if reason is not None}
