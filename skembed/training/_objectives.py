"""Objectives: what training minimizes, as a table.

An objective is made for the labels of a `fit`. It is a torch module that takes vectors,
(n, n_dims), and labels, and returns the losses, to be averaged. Its own parameters (a classifier,
proxies) are trained beside the network and thrown away afterwards. Imports torch inside functions.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from sklearn.preprocessing import LabelEncoder
from sklearn.utils import compute_class_weight
from sklearn.utils.multiclass import type_of_target

from skembed.base._optional import require_optional


@dataclass(frozen=True)
class Targets:
    """Labels as numbers.

    Parameters
    ----------
    values : ndarray of shape (n_rows,) int64, or (n_rows, n_outputs) float32
        Class of each row; or zeros and ones, or standardized targets, of each output.
    n_outputs : int
        Number of classes, or of columns.
    classes : ndarray or None
        The classes as they were given. None: `values` has columns.
    """

    values: np.ndarray
    n_outputs: int
    classes: np.ndarray | None = None


@dataclass(frozen=True)
class Objective:
    """What training minimizes.

    Parameters
    ----------
    targets : callable
        Takes the labels, returns `Targets`; raises ValueError for labels that do not fit.
    loss : callable
        Takes `Targets`, the length of a vector and the `Training`; returns the torch module. It is
        called with labels and with the vectors of each view.
    compares : bool, default=False
        Whether the loss compares rows of a batch, which then must hold several of each class.
    labeled : bool, default=True
        Whether it uses labels; otherwise two views of each row are compared.
    weighted : bool, default=False
        Whether each row has a loss of its own, which a weight can multiply.
    """

    targets: Callable
    loss: Callable
    compares: bool = False
    labeled: bool = True
    weighted: bool = False


def _as_numbers(labels, purpose="", what="y"):
    try:
        values = np.asarray(labels, dtype=np.float64)
    except (TypeError, ValueError) as error:
        found = np.asarray(labels).dtype
        raise ValueError(f"{what} must hold numbers{purpose}; got {found} values.") from error
    if not np.isfinite(values).all():
        raise ValueError(f"{what} holds NaN or infinite values. Leave out these rows.")
    return values


def _check_no_missing(labels):
    missing = [i for i, label in enumerate(labels.tolist()) if label is None or label != label]
    if missing:
        raise ValueError(f"y holds missing values (row {missing[0]}). Leave out these rows.")


def _class_targets(labels):
    _check_no_missing(labels)
    kind = type_of_target(labels)
    if kind not in ("binary", "multiclass"):
        raise ValueError(f"y must hold one class for each row; got {kind} labels.")
    encoder = LabelEncoder().fit(labels)
    if len(encoder.classes_) < 2:
        raise ValueError(
            f"y has one class only, {encoder.classes_.tolist()[0]!r}: nothing can be learned."
        )
    values = encoder.transform(labels).astype(np.int64)
    return Targets(values, len(encoder.classes_), encoder.classes_)


def _class_or_indicator_targets(labels):
    if labels.ndim == 1:
        return _class_targets(labels)
    values = _as_numbers(labels, " for several classes a row")
    if not np.isin(values, (0, 1)).all():
        raise ValueError("A 2-D y must hold zeros and ones, a column for each class.")
    return Targets(values.astype(np.float32), values.shape[1])


def _paired_targets(labels):
    targets = _class_targets(labels)
    counts = np.bincount(targets.values)
    if counts.min() < 2:
        alone = targets.classes.tolist()[int(counts.argmin())]
        raise ValueError(
            f"The class {alone!r} has one row, and this objective compares rows of one class. Give "
            "it more rows, leave it out, or use objective='classification'."
        )
    return targets


def _standardized_targets(labels):
    values = _as_numbers(labels, " for regression")
    values = values.reshape(len(values), -1)
    spread = values.std(axis=0)
    if not (spread > 0).any():
        raise ValueError("y has the same value in all rows: nothing can be learned.")
    values = (values - values.mean(axis=0)) / np.where(spread > 0, spread, 1)
    return Targets(values.astype(np.float32), values.shape[1])


def _linear(n_dims, n_outputs):
    from torch import nn

    layer = nn.Linear(n_dims, n_outputs)
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer


def _classifier(targets, n_dims, training):
    from torch import nn

    class Classifier(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = _linear(n_dims, targets.n_outputs)
            self.register_buffer("weights", _class_weights(targets, training))

        def forward(self, labels, vectors):
            # Vectors of unit length are short for a linear layer.
            logits = self.layer(nn.functional.layer_norm(vectors, vectors.shape[-1:]))
            if targets.classes is None:
                loss = nn.functional.binary_cross_entropy_with_logits(
                    logits, labels, reduction="none"
                )
                return loss.mean(dim=1)
            loss = nn.functional.cross_entropy(logits, labels, reduction="none")
            return loss if self.weights is None else loss * self.weights[labels]

    return Classifier()


def _class_weights(targets, training):
    """Return a weight for each class as a tensor; None: all weigh the same."""
    import torch

    if training.class_weight is None:
        return None
    if targets.classes is None:
        raise ValueError("class_weight is for one class a row, not for a 2-D y.")
    weights = compute_class_weight(
        training.class_weight, classes=targets.classes, y=targets.classes[targets.values]
    )
    if not np.isfinite(weights).all() or (weights < 0).any():
        raise ValueError(
            f"class_weight must hold finite numbers >= 0; got {training.class_weight}."
        )
    return torch.tensor(weights, dtype=torch.float32)


def _regressor(targets, n_dims, training):
    from torch import nn

    class Regressor(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = _linear(n_dims, targets.n_outputs)

        def forward(self, labels, vectors):
            found = self.layer(nn.functional.layer_norm(vectors, vectors.shape[-1:]))
            return ((found - labels) ** 2).mean(dim=1)

    return Regressor()


def _metric_learning(make):
    """Return a function that makes a module of a loss of pytorch-metric-learning."""

    def loss(targets, n_dims, training):
        from torch import nn

        require_metric_learning(training.objective)
        from pytorch_metric_learning import losses, miners

        class Metric(nn.Module):
            def __init__(self):
                super().__init__()
                self.loss, self.miner = make(losses, miners, targets, n_dims, training)

            def forward(self, labels, vectors):
                chosen = None if self.miner is None else self.miner(vectors, labels)
                return self.loss(vectors, labels, chosen)[None]

        return Metric()

    return loss


def require_metric_learning(objective):
    """Raise a MissingDependencyError that names an objective."""
    require_optional("pytorch_metric_learning", extra="train", purpose=f"objective={objective!r}")


def _given(training):
    """Return the loss and the miner of an objective that is not a name, copied."""
    objective = training.objective
    parts = objective if isinstance(objective, (tuple, list)) else (objective,)
    loss, miner = (*parts, None)[:2]
    return copy.deepcopy(loss), copy.deepcopy(miner)


def _cosine(targets, n_dims, training):
    """Compare cosines with 1 for two rows of a class, and with 0 for other ones."""
    from torch import nn

    class Cosine(nn.Module):
        def forward(self, labels, vectors):
            vectors = nn.functional.normalize(vectors)
            cosines = vectors @ vectors.T
            same = labels[:, None] == labels[None, :]
            pairs = ~same.new_ones(same.shape).tril()  # each pair once, no row with itself
            near, far = (1 - cosines[same & pairs]) ** 2, cosines[~same & pairs] ** 2
            parts = [part.mean() for part in (near, far) if len(part)]
            return sum(parts, vectors.new_zeros(()))[None] / 2

    return Cosine()


def _two_views(targets, n_dims, training):
    """SimCLR's loss: each view is compared with all others."""
    from torch import nn

    require_metric_learning(training.objective)
    from pytorch_metric_learning.losses import NTXentLoss, SelfSupervisedLoss

    class TwoViews(nn.Module):
        def __init__(self):
            super().__init__()
            self.loss = SelfSupervisedLoss(NTXentLoss(training.temperature_or(0.1)))

        def forward(self, labels, left, right):
            return self.loss(left, right)[None]

    return TwoViews()


def _ranking(targets, n_dims, training):
    """Each left one has its own right one; the other right ones of the batch are negatives."""
    import torch
    from torch import nn

    temperature = training.temperature_or(0.05)

    class Ranking(nn.Module):
        def forward(self, labels, left, right):
            left, right = nn.functional.normalize(left), nn.functional.normalize(right)
            cosines = left @ right.T / temperature
            own = torch.arange(len(left), device=left.device)
            return nn.functional.cross_entropy(cosines, own, reduction="none")

    return Ranking()


def _order_of_cosines(targets, n_dims, training):
    """CoSENT: the cosine of a pair is above those of the pairs with a lower similarity."""
    import torch
    from torch import nn

    temperature = training.temperature_or(0.05)

    class Order(nn.Module):
        def forward(self, labels, left, right):
            cosines = nn.functional.cosine_similarity(left, right) / temperature
            differences = cosines[:, None] - cosines[None, :]
            wrong = labels[:, None] < labels[None, :]
            terms = torch.cat([differences.new_zeros(1), differences[wrong]])
            return torch.logsumexp(terms, dim=0)[None]

    return Order()


def _no_targets(labels):
    """Return targets without meaning, for `len(labels)` rows."""
    return Targets(np.zeros(len(labels), dtype=np.int64), 1)


def _similarities(labels):
    values = _as_numbers(labels, what="similarity")
    if len(values) and values.min() == values.max():
        raise ValueError("similarity has the same value for all pairs: nothing can be learned.")
    return Targets(values.astype(np.float32), 1)


OBJECTIVES = {
    "classification": Objective(_class_or_indicator_targets, _classifier, weighted=True),
    "regression": Objective(_standardized_targets, _regressor, weighted=True),
    "cosine": Objective(_paired_targets, _cosine, compares=True),
    "supcon": Objective(
        _paired_targets,
        _metric_learning(
            lambda losses, miners, targets, n_dims, training: (
                losses.SupConLoss(temperature=training.temperature_or(0.1)),
                None,
            )
        ),
        compares=True,
    ),
    "triplet": Objective(
        _paired_targets,
        _metric_learning(
            lambda losses, miners, targets, n_dims, training: (
                losses.TripletMarginLoss(margin=0.2),
                miners.TripletMarginMiner(margin=0.2, type_of_triplets="semihard"),
            )
        ),
        compares=True,
    ),
    "proxy_anchor": Objective(
        _class_targets,
        _metric_learning(
            lambda losses, miners, targets, n_dims, training: (
                losses.ProxyAnchorLoss(targets.n_outputs, n_dims),
                None,
            )
        ),
    ),
    "simcse": Objective(_no_targets, _ranking, labeled=False),
    "simclr": Objective(_no_targets, _two_views, labeled=False),
}

_OWN_LOSS = Objective(
    _paired_targets,
    _metric_learning(lambda losses, miners, targets, n_dims, training: _given(training)),
    compares=True,
)

# Objectives of `fit_pairs`: without and with similarities.
PAIRS = Objective(_no_targets, _ranking)
SCORED_PAIRS = Objective(_similarities, _order_of_cosines)


def objective_of(training):
    """Return the `Objective` of a `Training`: a row of the table, or for a given loss."""
    if isinstance(training.objective, str):
        return OBJECTIVES[training.objective]
    return _OWN_LOSS


_PACKAGES = {"loss": "losses", "miner": "miners"}  # of pytorch-metric-learning


def check_objective(given):
    """Raise a ValueError unless an objective is a name of the table or a loss, with a miner or not.

    Parameters
    ----------
    given : object
        The parameter `objective`.
    """
    if isinstance(given, str):
        if given not in OBJECTIVES:
            known = ", ".join(map(repr, OBJECTIVES))
            raise ValueError(f"{given!r} is no objective. There are: {known}.")
        return
    parts = given if isinstance(given, (tuple, list)) else (given,)
    made = all(callable(part) and not isinstance(part, type) for part in parts)
    if not made or len(parts) not in (1, 2):
        raise ValueError(
            "objective must be a name, or a loss of pytorch-metric-learning or (loss, miner), as "
            f"objects: objective=SupConLoss(). Got {given!r} instead."
        )
    for part, role, other in zip(parts, ("loss", "miner"), ("miner", "loss"), strict=False):
        modules = [kind.__module__ for kind in type(part).__mro__]
        if any(name.startswith(f"pytorch_metric_learning.{_PACKAGES[other]}") for name in modules):
            raise ValueError(
                f"objective takes (loss, miner) in this order. The {role} is a {other}: {part!r}."
            )
        if any(name.startswith("torch.nn.modules.loss") for name in modules):
            raise ValueError(
                f"{part!r} is a loss of torch, which compares no vectors. Use "
                "objective='classification' or 'regression', or a loss of pytorch-metric-learning."
            )
