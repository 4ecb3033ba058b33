"""Learner: what an embedder offers that learns in `fit`. Names no modality and loads no network."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from sklearn.utils._param_validation import StrOptions

from skembed.base._callbacks import CallbackSupportMixin, begun, with_callbacks
from skembed.base._rows import Columns
from skembed.embedder._base import Embedder, _fit_context
from skembed.embedder._learning import learned_from_pairs, learned_from_rows
from skembed.training._objectives import OBJECTIVES
from skembed.training._training import Training, training_of, with_nested

if TYPE_CHECKING:
    from typing import Any

    from numpy.typing import ArrayLike
    from typing_extensions import Self

    from skembed.base._typing import Rows, Vectors


class Learner(CallbackSupportMixin, Embedder):
    """Base of the embedders with the parameter `training`.

    A subclass supplies ``_fit_network``.
    """

    _parameter_constraints: dict = {
        **Embedder._parameter_constraints,
        "training": [StrOptions(set(OBJECTIVES)), Training, None],
    }
    training: Training | str | None
    training_history_: dict[str, list[dict[str, Any]]]

    def _fit_network(self, rows, learn=None):
        """Find the network; `learn` takes a request and a sample, returns `Learned` and history."""
        raise NotImplementedError

    def set_params(self, **params: Any) -> Self:
        """Set parameters, those of a nested `training` included.

        A str as `training` becomes a :class:`~skembed.Training` when one of its parameters is set;
        for ``training=None`` they are ignored, so that a search can compare it with others.

        Parameters
        ----------
        **params : dict
            Parameters by name, such as ``training__epochs=3``.

        Returns
        -------
        object
            The embedder.
        """
        return super().set_params(**with_nested(params, self.training))

    def _validate_params(self):
        super()._validate_params()
        training = training_of(self.training)
        if training is not None:
            training.check()

    def _uses_labels(self):
        # Also called before parameters are checked, for the tags.
        objective = getattr(training_of(self.training), "objective", None)
        if isinstance(objective, str):
            return objective in OBJECTIVES and OBJECTIVES[objective].labeled
        return objective is not None

    def _fit_rows(self, rows, labels, weights=None):
        learn = None
        if self.training is not None:
            learn = partial(learned_from_rows, self, rows, labels, weights)
        self._fit_network(rows, learn)

    @with_callbacks
    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: Rows, y: Any = None, sample_weight: ArrayLike | None = None) -> Self:
        """Find and check the network, and train it if the parameter `training` says so.

        Parameters
        ----------
        X : sequence, array, column or frame of rows
            The rows. The columns of a frame are embedded separately and concatenated.
        y : array-like of shape (n_rows,) or (n_rows, n_outputs), default=None
            Labels, for an objective of `training` that uses them. Otherwise ignored; present for
            API consistency.
        sample_weight : array-like of shape (n_rows,), default=None
            Weights of the rows in the loss of ``"classification"`` or ``"regression"``.

        Returns
        -------
        object
            The embedder, fitted.

        Raises
        ------
        BadRowsError
            If rows cannot be embedded and ``bad_rows="raise"``.
        ValueError
            If labels or weights are missing or do not fit, or the network cannot be trained.
        """
        self._told(self._fit, X, y, sample_weight)
        return self

    @with_callbacks
    @_fit_context(prefer_skip_nested_validation=True)
    def fit_transform(
        self, X: Rows, y: Any = None, sample_weight: ArrayLike | None = None
    ) -> Vectors:
        """Fit, then embed the same rows; the same as ``fit(X, y).transform(X)``.

        Parameters
        ----------
        X : sequence, array, column or frame of rows
            The rows.
        y : array-like of shape (n_rows,) or (n_rows, n_outputs), default=None
            As for :meth:`fit`.
        sample_weight : array-like of shape (n_rows,), default=None
            As for :meth:`fit`.

        Returns
        -------
        ndarray of shape (n_rows, n_features_out_), float32
            The vectors, in the order of `X`.
        """
        return self._embed_columns(*self._told(self._fit, X, y, sample_weight, prepare=True))

    def _told(self, fit, *given, **settings):
        """Call a function that fits, and tell callbacks about its beginning and end."""
        context = begun(self, max_subtasks=None)
        result = fit(*given, **settings)
        if context is not None:
            context.call_on_fit_task_end(estimator=self)
        return result

    @with_callbacks
    @_fit_context(prefer_skip_nested_validation=True)
    def fit_pairs(self, left: Rows, right: Rows, similarity: ArrayLike | None = None) -> Self:
        """Learn from pairs of rows; the embedder is then used as after :meth:`fit`.

        Without `similarity`, each row of `left` comes closer to its row of `right` than to the
        others in the batch (multiple-negatives ranking [1]_). With it, the order of the cosines of
        pairs learns that of their similarities. Of the parameter `training`, all but `objective`
        and `class_weight` are used; None stands for ``Training()``.

        Parameters
        ----------
        left, right : sequence, array or column of rows
            The rows of pairs: those at one position belong together.
        similarity : array-like of shape (n_pairs,), default=None
            How similar the two rows of each pair are, on any scale. None: all pairs are similar.

        Returns
        -------
        object
            The embedder, fitted.

        Raises
        ------
        BadRowsError
            If rows cannot be embedded and ``bad_rows="raise"``.
        ValueError
            If `left`, `right` and `similarity` have different lengths, or the network cannot be
            trained.

        References
        ----------
        .. [1] M. Henderson et al., "Efficient Natural Language Response Suggestion for Smart
           Reply", 2017.
        """
        self._told(self._fit_pairs, left, right, similarity)
        return self

    def _fit_pairs(self, left, right, similarity):
        with self._unchanged_by_failure():
            columns = [self._columns(left, reset=True), self._columns_of(right)]
            counts = [item.n_rows for item in columns]
            if any(len(item.names) > 1 for item in columns):
                raise ValueError("left and right must be one column each.")
            if counts[0] != counts[1]:
                raise ValueError(f"left has {counts[0]} rows and right has {counts[1]}.")
            if similarity is not None:
                similarity = np.asarray(similarity)
                if similarity.shape != (counts[0],):
                    raise ValueError(
                        f"left has {counts[0]} rows and similarity has the shape "
                        f"{similarity.shape}."
                    )
            both = Columns([*columns[0].rows, *columns[1].rows], counts[0], ["left", "right"])
            pairs = np.concatenate([np.arange(counts[0])] * 2)
            keys, bad = self._checked(both)
            pairs = pairs[[key is not None for key in keys]]

            def fit_rows(rows):
                self._fit_network(rows, partial(learned_from_pairs, self, rows, pairs, similarity))

            self._fit_checked(both, (keys, bad), fit_rows)
