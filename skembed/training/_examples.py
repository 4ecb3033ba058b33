"""What is trained on: network inputs, the views that belong together, targets and weights."""

from dataclasses import dataclass

import numpy as np

from skembed.training._objectives import Objective, Targets


@dataclass(frozen=True)
class Examples:
    """The examples of a training, each with one view or two.

    Parameters
    ----------
    inputs : list of ndarray
        Network inputs, or frozen vectors.
    views : ndarray of shape (n_examples, n_views), int
        Which inputs an example consists of.
    rows : ndarray of shape (n_examples,), int
        The row of X that it comes from; the windows of a sound come from one row.
    objective : Objective
        What is minimized.
    targets : Targets
        Of the examples.
    weights : ndarray of shape (n_examples,), float32, or None
        Of their losses; None: all weigh the same.
    """

    inputs: list
    views: np.ndarray
    rows: np.ndarray
    objective: Objective
    targets: Targets
    weights: np.ndarray | None = None

    def __len__(self):
        return len(self.views)

    @property
    def classes(self):
        """The class of each example, int; None: they have none."""
        return None if self.targets.classes is None else self.targets.values

    @property
    def lengths(self):
        """The size of each example's largest view."""
        sizes = np.array([item.size for item in self.inputs])
        return sizes[self.views].max(axis=1)


def labeled_examples(inputs, rows, labels, objective, weights=None):
    """Return examples of rows and their labels.

    Parameters
    ----------
    inputs : list of ndarray
        Network inputs.
    rows : ndarray of shape (n_inputs,), int
        The row that each comes from.
    labels : ndarray of shape (n_rows,) or (n_rows, n_outputs), or None
        Of the rows; None for objectives without labels.
    objective : Objective
        What is minimized.
    weights : ndarray of shape (n_rows,), default=None
        Of the rows.

    Raises
    ------
    ValueError
        If labels do not fit the objective.
    """
    views = np.arange(len(inputs))[:, None]
    if objective.labeled:
        targets = objective.targets(labels[rows])
    else:
        targets = objective.targets(rows)
        views = np.repeat(views, 2, axis=1)
    weights = None if weights is None else weights[rows].astype(np.float32)
    return Examples(inputs, views, rows, objective, targets, weights)


def paired_examples(left, right, similarity, objective):
    """Return examples of two inputs each.

    Parameters
    ----------
    left, right : list of ndarray
        Network inputs; those at one position belong together.
    similarity : ndarray of shape (n_pairs,) or None
        Of the pairs.
    objective : Objective
        What is minimized.

    Raises
    ------
    ValueError
        If similarities do not fit the objective.
    """
    rows = np.arange(len(left))
    targets = objective.targets(rows if similarity is None else similarity)
    views = np.stack([rows, rows + len(left)], axis=1)
    return Examples([*left, *right], views, rows, objective, targets)
