"""Labels: `y`, with one entry for each row that is embedded. Imports nothing of skembed."""

import numpy as np


def labels_of_rows(y, columns):
    """Return the labels of all rows of all columns.

    Parameters
    ----------
    y : array-like of shape (n_rows,) or (n_rows, n_outputs), or None
        Labels, classes or numbers.
    columns : Columns
        Those of X; the rows of its columns follow one another.

    Returns
    -------
    labels : ndarray of shape (n_columns * n_rows,) or (n_columns * n_rows, n_outputs), or None
        Each column's rows have the labels of `y`.

    Raises
    ------
    ValueError
        If `y` has another number of entries than X has rows.

    Examples
    --------
    >>> from skembed.base._rows import Columns
    >>> labels_of_rows([0, 1], Columns(["a", "b", "c", "d"], 2, ["left", "right"])).tolist()
    [0, 1, 0, 1]
    """
    if y is None:
        return None
    labels = y.to_numpy() if hasattr(y, "to_numpy") else np.asarray(y)
    if labels.ndim == 0 or len(labels) != columns.n_rows:
        found = len(labels) if labels.ndim else "no"
        raise ValueError(f"X has {columns.n_rows} rows and y has {found} entries.")
    return np.concatenate([labels] * len(columns.names))
