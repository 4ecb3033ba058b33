"""Divide rows into batches. Imports nothing of skembed."""


def batches(n_rows, size):
    """Yield slices that divide rows into batches.

    Unlike scikit-learn's ``gen_batches``, it allows for no rows, which have no batches.

    Parameters
    ----------
    n_rows : int
        Number of rows.
    size : int
        Number of rows in a batch; the last one may have fewer.

    Yields
    ------
    batch : slice

    Examples
    --------
    >>> list(batches(5, 2))
    [slice(0, 2, None), slice(2, 4, None), slice(4, 5, None)]
    >>> list(batches(0, 2))
    []
    """
    for start in range(0, n_rows, size):
        yield slice(start, min(start + size, n_rows))
