"""Embedder: the path from rows to vectors, the same for every estimator.

X -> rows -> unique rows -> embed -> scatter back to the order of X.

Imports `base`, `_config`, `exceptions` and `_feature_names`; names no modality.
"""

from __future__ import annotations

import warnings
from contextlib import contextmanager
from numbers import Integral
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import check_is_fitted

from skembed._config import apply_settings, get_config, own_settings
from skembed.base._bad_rows import Problem, RowsFailedError, bad_rows_error, bad_rows_of
from skembed.base._labels import labels_of_rows
from skembed.base._on_access import taken
from skembed.base._progress import no_bar, progress_bar
from skembed.base._rows import columns_of, spread, unique_keys
from skembed.base._warnings import callers_level
from skembed.embedder._feature_names import check_feature_names
from skembed.exceptions import TruncationWarning

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import TypeVar

    from numpy.typing import NDArray
    from typing_extensions import Self

    from skembed.base._bad_rows import BadRow
    from skembed.base._typing import Rows, Vectors

    # scikit-learn has no types, and a decorator without types makes `fit` one without types.
    def _fit_context(*, prefer_skip_nested_validation: bool) -> Callable[[_Method], _Method]: ...

    _Method = TypeVar("_Method", bound=Callable[..., Any])
else:
    from sklearn.base import _fit_context


class Block(NamedTuple):
    """Vectors of some of the rows that `Embedder._embed` was given."""

    rows: np.ndarray  # (n,) positions among those rows
    vectors: np.ndarray  # (n, n_dims) float32
    cut: np.ndarray | None = None  # (n,) bool: whether the row was truncated


class Embedder(TransformerMixin, BaseEstimator):
    """Base of all embedders: rows in, float32 vectors out.

    A subclass supplies ``_kind``, ``_check_rows``, ``_fit_rows`` and ``_embed``, and sets
    ``_n_dims``, the length of a row's vector, in ``_fit_rows``.
    """

    _parameter_constraints: dict = {
        "bad_rows": [StrOptions({"raise", "zero", "nan"})],
        "verbose": ["verbose", Interval(Integral, 0, None, closed="left")],
    }
    n_features_in_: int
    feature_names_in_: NDArray[np.object_]
    n_features_out_: int
    _n_dims: int
    _kind = "rows"  # what X holds, in the plural
    _problem = Problem("not a row", "not rows")  # of rows that `_check_rows` finds
    _decode_problem = Problem("not a row", "not rows")  # of rows that fail in preparation
    _rows_are_files = False  # a row of text is a path, to be named in errors
    # skrub embeds each column by itself, and leaves out those that raise its `RejectColumn`.
    __single_column_transformer__ = True
    _cut_warning: type[Warning] = TruncationWarning

    # -- what a subclass supplies ---------------------------------------------------------------

    def _unpacked(self, X):
        """Turn the modality's own containers (a stack of images) into a list of rows."""
        return X

    def _check_rows(self, rows):
        """Return a hashable key for each row (None for bad rows) and {position: reason}."""
        raise NotImplementedError

    def _uses_labels(self):
        """Tell whether ``_fit_rows`` learns from `y`; otherwise `y` is ignored."""
        return False

    def _fit_rows(self, rows, labels):
        """Learn from the good rows; set ``_n_dims``.

        `labels` has one entry a row, or is None. The rows of a frame's columns follow one another,
        and each column's rows have the labels of `y`.
        """
        raise NotImplementedError

    def _embed(self, rows, keys, bad):
        """Yield a `Block` for each part of `rows`; add rows that fail to `bad`."""
        raise NotImplementedError

    def _decode_errors(self, rows, keys, *, fitted):
        """Return {position: reason} of rows that fail in preparation.

        `fitted`: with the fitted preprocessor; otherwise, with one that the parameters define.
        """
        return {}

    def _cut_message(self, n_cut, n_rows):
        """Return the text of the warning about truncated rows."""
        raise NotImplementedError

    # -- the path --------------------------------------------------------------------------------

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: Rows, y: Any = None) -> Self:
        """Find and check the pretrained network, or learn from the rows.

        Parameters
        ----------
        X : sequence, array, column or frame of rows
            The rows. The columns of a frame are embedded separately and concatenated.
        y : array-like of shape (n_rows,) or (n_rows, n_outputs), default=None
            Labels for embedders that learn from them, see their parameter `training`. Otherwise
            ignored; present for API consistency.

        Returns
        -------
        object
            The embedder, fitted.

        Raises
        ------
        BadRowsError
            If rows cannot be embedded and ``bad_rows="raise"``.
        """
        self._fit(X, y)
        return self

    @_fit_context(prefer_skip_nested_validation=True)
    def fit_transform(self, X: Rows, y: Any = None) -> Vectors:
        """Fit, then embed the same rows; the same as ``fit(X).transform(X)``.

        Parameters
        ----------
        X : sequence, array, column or frame of rows
            The rows.
        y : array-like of shape (n_rows,), default=None
            As for :meth:`fit`.

        Returns
        -------
        ndarray of shape (n_rows, n_features_out_), float32
            The vectors, in the order of `X`.
        """
        return self._embed_columns(*self._fit(X, y, prepare=True))

    def transform(self, X: Rows) -> Vectors:
        """Embed rows.

        Parameters
        ----------
        X : sequence, array, column or frame of rows
            The rows, with as many columns as in :meth:`fit`.

        Returns
        -------
        ndarray of shape (n_rows, n_features_out_), float32
            The vectors, in the order of `X`, C-contiguous; a frame after
            ``set_output(transform="pandas")`` or ``"polars"``.

        Raises
        ------
        BadRowsError
            If rows cannot be embedded and ``bad_rows="raise"``.
        NotFittedError
            If the embedder is not fitted.
        """
        check_is_fitted(self)
        columns = self._columns(X, reset=False)
        return self._embed_columns(columns, *self._checked(columns, prepare=True, fitted=True))

    def find_bad_rows(self, X: Rows) -> list[BadRow]:
        """Find the rows that cannot be embedded, for any value of `bad_rows`.

        All rows are read as :meth:`transform` would read them; the network is not run. The
        embedder need not be fitted.

        Parameters
        ----------
        X : sequence, array, column or frame of rows
            The rows.

        Returns
        -------
        list of BadRow
            For each bad row its ``position`` in `X`, its ``column``, its ``label`` in the index
            of a pandas object, and the ``reason``. ``pandas.DataFrame(...)`` makes a frame of
            them.

        Examples
        --------
        >>> from skembed import Word2VecVectorizer
        >>> Word2VecVectorizer().find_bad_rows(["a text", None])
        [BadRow(position=1, column=0, label=None, reason='None')]
        """
        fitted = self.__sklearn_is_fitted__()
        if not fitted:
            self._validate_params()
        columns = self._columns_of(X)
        keys, bad = self._check_rows(columns.rows)
        decode_errors = self._all_decode_errors(columns.rows, keys, fitted)
        return bad_rows_of(bad | decode_errors, columns)

    def _columns_of(self, X):
        return columns_of(self._unpacked(X), estimator=type(self).__name__, kind=self._kind)

    @contextmanager
    def _unchanged_by_failure(self):
        """Return a context for a fit: if it fails, the attributes are restored."""
        before = vars(self).copy()
        try:
            yield
        except BaseException:
            vars(self).clear()
            vars(self).update(before)
            raise

    def _columns(self, X, *, reset):
        columns = self._columns_of(X)
        check_feature_names(self, columns, reset=reset)
        return columns

    def _checked(self, columns, *, prepare=False, fitted=False):
        """Return keys and bad rows; raise if there are bad ones and ``bad_rows="raise"``.

        With `prepare`, the error also names the rows that fail in preparation.
        """
        keys, bad = self._check_rows(columns.rows)
        if bad and self.bad_rows == "raise":
            decode_errors = self._all_decode_errors(columns.rows, keys, fitted) if prepare else {}
            raise self._bad_rows_error(columns, bad, decode_errors)
        return keys, bad

    def _all_decode_errors(self, rows, keys, fitted):
        """Return `_decode_errors` of all rows that have a key; equal rows are prepared once."""
        first, repeats = unique_keys(keys)
        if not len(first):
            return {}
        decode_errors = self._decode_errors(taken(rows, first), taken(keys, first), fitted=fitted)
        return spread(decode_errors, first, repeats)

    def _bad_rows_error(self, columns, bad, decode_errors):
        problems = [*[self._problem] * bool(bad), *[self._decode_problem] * bool(decode_errors)]
        return bad_rows_error(
            bad | decode_errors,
            columns,
            estimator=type(self).__name__,
            problems=problems,
            with_paths=self._rows_are_files,
        )

    def _fit(self, X, *aligned, prepare=False):
        """Fit; what is `aligned` with the rows, `y` and weights, is passed to `_fit_rows`.

        Returns the columns, keys and bad rows.
        """
        with self._unchanged_by_failure():
            columns = self._columns(X, reset=True)
            checked = self._checked(columns, prepare=prepare)
            self._fit_checked(columns, checked, self._fit_rows, *aligned)
        return columns, *checked

    def _fit_checked(self, columns, checked, fit_rows, *aligned):
        """Call `fit_rows` with the good rows, and the entries of each array that belong to them."""
        rows, (keys, bad) = columns.rows, checked
        used = self._uses_labels()
        named = zip(aligned, ("y", "sample_weight"), strict=False)  # fit_pairs() has neither
        aligned = [labels_of_rows(item, columns, name) if used else None for item, name in named]
        good = range(len(rows))
        if bad:
            good = [i for i, key in enumerate(keys) if key is not None]
            rows = taken(rows, good)
            aligned = [None if item is None else item[good] for item in aligned]
        try:
            fit_rows(rows, *aligned)
        except RowsFailedError as error:
            found = {good[i]: reason for i, reason in error.reasons.items()}
            raise self._bad_rows_error(columns, {}, found) from None
        self.n_features_out_ = self._n_dims * self.n_features_in_

    def _embed_columns(self, columns, keys, bad):
        """Embed unique rows and scatter their vectors: (n_rows, n_features_out_) float32."""
        n_columns, n_all = len(columns.names), len(columns.rows)
        vectors = np.empty((n_all, self._n_dims), dtype=np.float32)
        cut = np.zeros(n_all, dtype=bool)
        first, repeats = unique_keys(keys)
        decode_errors = {}
        unique = (columns.rows, keys)
        if len(first) < n_all:
            unique = tuple(taken(items, first) for items in unique)
        for block in self._embed(*unique, decode_errors):
            where = first[block.rows]
            vectors[where] = block.vectors
            if block.cut is not None:
                cut[where] = block.cut
        vectors[repeats[:, 0]] = vectors[repeats[:, 1]]
        cut[repeats[:, 0]] = cut[repeats[:, 1]]
        if decode_errors:
            decode_errors = spread(decode_errors, first, repeats)
            if self.bad_rows == "raise":
                raise self._bad_rows_error(columns, {}, decode_errors)
        if bad or decode_errors:
            vectors[[*bad, *decode_errors]] = 0 if self.bad_rows == "zero" else np.nan
        self._warn_truncated(int(cut.sum()), n_all)
        if n_columns == 1:
            return vectors
        side_by_side = vectors.reshape(n_columns, columns.n_rows, -1).transpose(1, 0, 2)
        return side_by_side.reshape(columns.n_rows, -1)

    def _warn_truncated(self, n_cut, n_rows):
        if n_cut:
            message = f"{type(self).__name__}: {self._cut_message(n_cut, n_rows)}"
            warnings.warn(message, self._cut_warning, stacklevel=callers_level())

    def _progress(self, total, *, unit, shown=False):
        """Return a context whose value has ``update(n)``: a progress bar, if one is asked for."""
        shown = shown or self._speaker()
        return progress_bar(total, type(self).__name__, unit) if shown else no_bar()

    def _speaker(self):  # for `speaking`
        return type(self).__name__ if self.verbose or get_config()["progress"] else None

    # -- interface of scikit-learn ---------------------------------------------------------------

    def get_feature_names_out(
        self, input_features: Sequence[str] | NDArray[Any] | None = None
    ) -> NDArray[np.object_]:
        """Get the names of the output features.

        Parameters
        ----------
        input_features : array-like of str or None, default=None
            Names of the columns of X; None: those seen in :meth:`fit`.

        Returns
        -------
        ndarray of shape (n_features_out_,), str objects
            ``<column>_<i>`` where X has column names, else ``<classname><i>``.

        Raises
        ------
        ValueError
            If `input_features` are not the columns that :meth:`fit` saw.
        """
        check_is_fitted(self)
        names = getattr(self, "feature_names_in_", None)
        if input_features is not None:
            given = np.atleast_1d(np.asarray(input_features, dtype=object))
            if names is not None and list(names) != list(given):
                raise ValueError("input_features is not equal to feature_names_in_")
            if len(given) != self.n_features_in_:
                raise ValueError(
                    "input_features should have length equal to number of features "
                    f"({self.n_features_in_}), got {len(given)}"
                )
            names = given
        if names is None:
            prefix = type(self).__name__.lower()
            return np.array([f"{prefix}{i}" for i in range(self.n_features_out_)], dtype=object)
        return np.array(
            [f"{name}_{i}" for name in names for i in range(self._n_dims)], dtype=object
        )

    def __sklearn_is_fitted__(self):
        return hasattr(self, "n_features_out_")

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.one_d_array = True
        tags.input_tags.two_d_array = False
        tags.input_tags.allow_nan = self.bad_rows != "raise"
        tags.transformer_tags.preserves_dtype = []
        tags.target_tags.required = self._uses_labels()
        return tags

    # A worker process applies the settings of the process that sent it the estimator.

    def __getstate__(self):
        return {**super().__getstate__(), "_settings": own_settings()}

    def __setstate__(self, state):
        state = dict(state)
        settings = state.pop("_settings", {})
        super().__setstate__(state)
        apply_settings(settings)
