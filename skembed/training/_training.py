"""`Training`: how an embedder learns in `fit`, as a small object with parameters."""

from __future__ import annotations

import os
from numbers import Integral, Real
from typing import TYPE_CHECKING

from sklearn.base import BaseEstimator
from sklearn.utils._param_validation import Interval, StrOptions, validate_parameter_constraints

from skembed.training._objectives import check_objective

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Literal

    from skembed.base._typing import FilePath


class Training(BaseEstimator):
    """How an embedder learns from the rows and labels of `fit`.

    Pass it as the parameter `training` of :class:`~skembed.BertEmbedder`,
    :class:`~skembed.CNNImageEmbedder` or :class:`~skembed.AudioEmbedder`. The name of an objective
    alone stands for a `Training` with the defaults below. Nested parameters work:
    ``set_params(training__epochs=3)``.

    Each `fit` starts from the weights of the model, and only rows of that `fit` are used. What was
    learned is part of the fitted embedder: it is pickled with it and changes its fingerprint, so
    vectors of other folds are never taken from a cache.

    Parameters
    ----------
    objective : {"classification", "regression", "cosine", "supcon", "triplet", "proxy_anchor", \
            "simcse", "simclr"}, loss or (loss, miner), default="classification"
        What is minimized. ``"classification"``: the cross-entropy of a linear classifier on top of
        the vectors, which is thrown away afterwards; with a 2-D `y` of zeros and ones, the binary
        cross-entropy of each column (multi-label). ``"regression"``: the squared error of a linear
        layer, also thrown away, on standardized targets. ``"cosine"``: the squared error of the
        cosine of two rows, which should be 1 in one class and 0 in two. ``"supcon"``: the
        supervised contrastive loss [1]_. ``"triplet"``: the triplet loss with semi-hard triplets
        [2]_. ``"proxy_anchor"``: the proxy anchor loss [3]_. ``"simcse"`` and ``"simclr"`` need no
        labels and compare two views of each row: the same text with other dropout [4]_, and an
        image or sound after two random changes [5]_. A loss of pytorch-metric-learning, or a pair
        of loss and miner, is used as given. ``"supcon"``, ``"triplet"``, ``"proxy_anchor"`` and
        ``"simclr"`` need the extra ``train``.
    trainable : {"head", "lora", "all"} or str, default="last:2"
        What changes. ``"head"``: only a projection of the vectors, which come from the cache.
        ``"last:N"``: the last N layers; the states below them are computed once for each row and
        kept in the embedder's `cache` for all fits. ``"lora"``: a change of low rank in each linear
        layer [6]_; needs the extra ``train``. ``"all"``: the whole network.
    epochs : int or "auto", default="auto"
        Passes over the rows. "auto": as many as make about 200 steps, at most 20; for networks with
        random weights, about 1,000 steps, at most 60.
    learning_rate : float or "auto", default="auto"
        The highest learning rate of AdamW. "auto": 1e-3 for ``"head"`` and for networks with random
        weights, 2e-4 for ``"lora"``, 1e-4 for ``"last:N"`` and 4e-5 for ``"all"`` of a pretrained
        one. Classifiers and proxies that are thrown away afterwards have at least 1e-2.
    batch_size : int, default=32
        Rows in a step.
    weight_decay : float, default=0.01
        Of AdamW.
    warmup : float, default=0.1
        Fraction of the steps in which the learning rate rises from zero. It falls linearly to zero
        afterwards.
    temperature : float or "auto", default="auto"
        Of ``"supcon"``, ``"simcse"`` and ``"simclr"``, and of pairs. "auto": 0.1 for ``"supcon"``
        and ``"simclr"``, 0.05 for the others.
    projection_dim : int, default=None
        Length of a linear projection of the vectors that is learned, too; projected vectors are
        what the embedder returns. None: none; for ``trainable="head"``, as long as the vectors.
    lora_rank : int, default=8
        Rank of the changes of ``"lora"``.
    augment : callable or "auto", default="auto"
        Changes a batch of network inputs at random: takes a tensor of shape (n_rows, ...), of float
        for images and sounds and of token ids for texts, and returns one with as many rows. "auto":
        for ``"simclr"``, and for images and sounds whose network starts from random weights. None:
        no change. A function is an error with ``trainable="head"``, which sees no inputs.
    mixed_precision : bool or "auto", default="auto"
        Whether the network computes products in bfloat16 while it is trained, which is faster;
        weights are kept in float32. "auto": where the processor or GPU has such instructions.
    validation_fraction : float, default=None
        Fraction of the rows that are kept aside to measure the loss after each epoch; the weights
        with the lowest loss are kept. None: all rows are trained on.
    patience : int, default=None
        Epochs without a lower validation loss after which training stops. Needs
        `validation_fraction`. None: training does not stop early.
    max_seconds : float, default=None
        Training ends after the step that exceeds this time. None: no limit.
    class_weight : dict or "balanced", default=None
        Weights of the classes in the loss of ``"classification"``; "balanced": inversely
        proportional to the number of rows of each class.
    checkpoint_folder : str or path, default=None
        Where the state of training is written every 30 seconds. A `fit` with the same parameters
        and rows that was killed or interrupted goes on from there; the file is removed at the end.
        None: it is not written.

    References
    ----------
    .. [1] P. Khosla et al., "Supervised Contrastive Learning", NeurIPS 2020.
    .. [2] F. Schroff, D. Kalenichenko, J. Philbin, "FaceNet: A Unified Embedding for Face
       Recognition and Clustering", CVPR 2015.
    .. [3] S. Kim, D. Kim, M. Cho, S. Kwak, "Proxy Anchor Loss for Deep Metric Learning", CVPR 2020.
    .. [4] T. Gao, X. Yao, D. Chen, "SimCSE: Simple Contrastive Learning of Sentence Embeddings",
       EMNLP 2021.
    .. [5] T. Chen et al., "A Simple Framework for Contrastive Learning of Visual Representations",
       ICML 2020.
    .. [6] E. Hu et al., "LoRA: Low-Rank Adaptation of Large Language Models", ICLR 2022.

    Examples
    --------
    >>> from skembed import BertEmbedder, Training
    >>> training = Training("classification", trainable="last:1", epochs=5)
    >>> embedder = BertEmbedder(training=training, random_state=0)
    >>> texts = ["a good film", "a bad film", "good music", "bad music"]
    >>> embedder.fit_transform(texts, [1, 0, 1, 0]).shape
    (4, 384)
    >>> epochs = embedder.training_history_["epochs"]
    >>> epochs[-1]["loss"] < epochs[0]["loss"]
    True
    """

    _parameter_constraints: dict = {
        "objective": [str, callable, tuple, list],
        "trainable": [str],
        "epochs": [Interval(Integral, 1, None, closed="left"), StrOptions({"auto"})],
        "learning_rate": [Interval(Real, 0, None, closed="neither"), StrOptions({"auto"})],
        "batch_size": [Interval(Integral, 2, None, closed="left")],
        "weight_decay": [Interval(Real, 0, None, closed="left")],
        "warmup": [Interval(Real, 0, 1, closed="both")],
        "temperature": [Interval(Real, 0, None, closed="neither"), StrOptions({"auto"})],
        "projection_dim": [Interval(Integral, 1, None, closed="left"), None],
        "lora_rank": [Interval(Integral, 1, None, closed="left")],
        "augment": [callable, StrOptions({"auto"}), None],
        "mixed_precision": ["boolean", StrOptions({"auto"})],
        "validation_fraction": [Interval(Real, 0, 1, closed="neither"), None],
        "patience": [Interval(Integral, 1, None, closed="left"), None],
        "max_seconds": [Interval(Real, 0, None, closed="neither"), None],
        "class_weight": [dict, StrOptions({"balanced"}), None],
        "checkpoint_folder": [str, os.PathLike, None],
    }

    def __init__(
        self,
        objective: Any = "classification",
        *,
        trainable: str = "last:2",
        epochs: int | Literal["auto"] = "auto",
        learning_rate: float | Literal["auto"] = "auto",
        batch_size: int = 32,
        weight_decay: float = 0.01,
        warmup: float = 0.1,
        temperature: float | Literal["auto"] = "auto",
        projection_dim: int | None = None,
        lora_rank: int = 8,
        augment: Callable[[Any], Any] | Literal["auto"] | None = "auto",
        mixed_precision: bool | Literal["auto"] = "auto",
        validation_fraction: float | None = None,
        patience: int | None = None,
        max_seconds: float | None = None,
        class_weight: dict[Any, float] | Literal["balanced"] | None = None,
        checkpoint_folder: FilePath | None = None,
    ) -> None:
        self.objective = objective
        self.trainable = trainable
        self.epochs = epochs
        self.learning_rate = learning_rate
        self.batch_size = batch_size
        self.weight_decay = weight_decay
        self.warmup = warmup
        self.temperature = temperature
        self.projection_dim = projection_dim
        self.lora_rank = lora_rank
        self.augment = augment
        self.mixed_precision = mixed_precision
        self.validation_fraction = validation_fraction
        self.patience = patience
        self.max_seconds = max_seconds
        self.class_weight = class_weight
        self.checkpoint_folder = checkpoint_folder

    @property
    def n_last(self) -> int | None:
        """The number of layers that are trained; None: all, or none of them."""
        name, _, number = self.trainable.partition(":")
        return int(number) if name == "last" and number.isdecimal() else None

    def temperature_or(self, auto: float) -> float:
        """Return the temperature, `auto` for "auto"."""
        return auto if self.temperature == "auto" else float(self.temperature)

    def check(self) -> None:
        """Check the parameters.

        Raises
        ------
        ValueError
            If a parameter has a wrong value, or two do not fit each other.
        """
        validate_parameter_constraints(
            self._parameter_constraints, self.get_params(deep=False), caller_name="Training"
        )
        check_objective(self.objective)
        if self.trainable not in ("head", "lora", "all") and not self.n_last:
            raise ValueError(
                "The 'trainable' parameter of Training must be 'head', 'last:N' with N >= 1, "
                f"'lora' or 'all'. Got {self.trainable!r} instead."
            )
        if self.patience is not None and self.validation_fraction is None:
            raise ValueError(
                f"patience={self.patience} compares validation losses: set validation_fraction too."
            )
        if self.class_weight is not None and self.objective != "classification":
            raise ValueError(
                f"class_weight is for objective='classification'; got {self.objective!r}."
            )
        if self.trainable == "head" and self.objective in ("simcse", "simclr"):
            raise ValueError(
                f"objective={self.objective!r} compares two views of a row, and trainable='head' "
                "knows each row's frozen vector only. Use trainable='last:2', 'lora' or 'all'."
            )
        if self.trainable == "head" and callable(self.augment):
            raise ValueError(
                "augment changes the network's input, and trainable='head' knows each row's frozen "
                "vector only. Use trainable='last:2', 'lora' or 'all'."
            )


def training_of(given):
    """Return the `Training` of an embedder's parameter; None for None."""
    return Training(given) if isinstance(given, str) else given


def with_nested(params, training):
    """Return parameters for `set_params` whose ``training__...`` find a `Training` to be set on.

    Parameters
    ----------
    params : dict
        Parameters by name.
    training : Training, str or None
        The present value of the parameter `training`, used if `params` has none.

    Examples
    --------
    >>> with_nested({"training__epochs": 3}, "supcon")
    {'training': Training(objective='supcon'), 'training__epochs': 3}
    >>> with_nested({"training": None, "training__epochs": 3}, "supcon")
    {'training': None}
    """
    nested = {name: value for name, value in params.items() if name.startswith("training__")}
    if not nested:
        return params
    others = {name: value for name, value in params.items() if name not in nested}
    training = training_of(others.pop("training", training))
    return {**others, "training": training, **(nested if training is not None else {})}
