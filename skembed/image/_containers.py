"""Extract images from containers: arrays, tensors, lazy columns of the library `datasets`."""

import numpy as np
from PIL import Image

from skembed.base._arrays import check_tensor, is_tensor
from skembed.base._files import is_file_object
from skembed.base._on_access import OnAccess, is_lazy
from skembed.base._rows import one_row_error
from skembed.image._pixels import channels_first


def rows_of(X, estimator):
    """Extract the rows of an array, a tensor or a lazy column of images.

    Parameters
    ----------
    X : object
        A container of rows.
    estimator : str
        Name of the estimator, for messages.

    Returns
    -------
    X : object
        A list or `OnAccess` of rows. Other containers are returned unchanged.

    Raises
    ------
    TypeError
        If `X` is one image.
    ValueError
        If `X` is an array with channels first, or a tensor that NumPy cannot read.
    """
    if is_tensor(X):
        return _rows_of_tensor(X, estimator)
    if isinstance(X, np.ndarray):
        return _rows_of_array(X, estimator)
    if isinstance(X, Image.Image) or is_file_object(X) or _is_row_of_datasets(X):
        raise _one_image(X, estimator)
    if is_lazy(X) and not _is_native(X):
        return OnAccess(X)
    return X


def _one_image(X, estimator):
    shape = getattr(X, "shape", getattr(X, "size", None))
    shape = f" of {tuple(shape)}" if shape is not None and not isinstance(X, dict) else ""
    return one_row_error(estimator, "images", f"{type(X).__name__}{shape}")


def _is_row_of_datasets(X):
    return isinstance(X, dict) and bool(X) and set(X) <= {"bytes", "path"}


def _is_native(X):
    """Tell whether `X` is a column or frame of a data-frame library."""
    import narwhals.stable.v1 as nw

    native = nw.from_native(X, allow_series=True, pass_through=True)
    return isinstance(native, (nw.DataFrame, nw.LazyFrame, nw.Series))


def _rows_of_array(X, estimator):
    if X.ndim == 3 and X.shape[2] in (3, 4):
        raise _one_image(X, estimator)
    if X.ndim == 4 and channels_first(X.shape[1:]):
        raise ValueError(
            f"{estimator} expects images with channels last, got a stack of shape {X.shape}. "
            "Transpose it: X.transpose(0, 2, 3, 1)."
        )
    return list(X) if X.ndim in (3, 4) else X


def _rows_of_tensor(X, estimator):
    check_tensor(X, estimator, "images")
    if X.ndim == 3 and (X.shape[0] in (1, 3, 4) or X.shape[2] in (1, 3, 4)):
        raise _one_image(X, estimator)
    return list(X) if X.ndim in (3, 4) else X
