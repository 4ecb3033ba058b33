"""Labels: `y`, with one entry for each row that is embedded. Imports nothing of skembed."""

import numpy as np
from scipy.sparse import issparse


def labels_of_rows(y, columns, name="y"):
    """Return the labels of all rows of all columns.

    Parameters
    ----------
    y : array-like of shape (n_rows,) or (n_rows, n_outputs), or None
        Labels, classes or numbers. A single column is one label a row. May be a sparse matrix.
    columns : Columns
        Those of X; the rows of its columns follow one another.
    name : str, default="y"
        Of the parameter, for messages.

    Returns
    -------
    labels : ndarray of shape (n_columns * n_rows,) or (n_columns * n_rows, n_outputs), or None
        Each column's rows have the labels of `y`.

    Raises
    ------
    ValueError
        If `y` has another number of entries than X has rows, or is not an array of one or two
        dimensions.

    Examples
    --------
    >>> from skembed.base._rows import Columns
    >>> labels_of_rows([0, 1], Columns(["a", "b", "c", "d"], 2, ["left", "right"])).tolist()
    [0, 1, 0, 1]
    """
    if y is None:
        return None
    labels = _as_array(y, name)
    if labels.ndim == 0 or len(labels) != columns.n_rows:
        found = len(labels) if labels.ndim else "no"
        raise ValueError(f"X has {columns.n_rows} rows and {name} has {found} entries.")
    if labels.ndim > 2:
        raise ValueError(f"{name} must have one or two dimensions; its shape is {labels.shape}.")
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    return np.concatenate([labels] * len(columns.names))


def _as_array(y, name):
    if issparse(y):
        return y.toarray()
    if hasattr(y, "to_numpy"):
        return y.to_numpy()
    try:
        return np.asarray(y)
    except ValueError:  # lists of different lengths
        raise ValueError(
            f"The entries of {name} have different lengths. For several classes a row, give zeros "
            "and ones, a column for each class: sklearn.preprocessing.MultiLabelBinarizer."
        ) from None
