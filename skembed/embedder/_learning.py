"""Learning in `fit`: from an embedder's rows and labels to what its network learned.

Imports `network`, `training`, `cache` and `base`.
"""

from contextlib import contextmanager
from dataclasses import replace

import numpy as np

from skembed.base._bad_rows import RowsFailedError
from skembed.base._callbacks import subtask
from skembed.base._checks import check_truncate_dim
from skembed.base._failures import naming
from skembed.base._optional import require_optional
from skembed.base._rows import spread, unique_keys
from skembed.base._seeds import seed_of
from skembed.base._threads import n_threads_for
from skembed.cache._states import store_of_states
from skembed.network._load import with_export
from skembed.network._resolve import resolve
from skembed.network._spec import folder_of
from skembed.training._examples import labeled_examples, paired_examples
from skembed.training._objectives import PAIRS, SCORED_PAIRS, objective_of
from skembed.training._training import Training, training_of

# For "auto": the learning rate, steps and most epochs, of pretrained networks and of random ones.
_PRETRAINED = {"head": 1e-3, "lora": 2e-4, "last": 1e-4, "all": 4e-5}, 200, 20
_RANDOM = {"head": 1e-3, "lora": 1e-3, "last": 1e-3, "all": 1e-3}, 1000, 60


def learned_from_rows(embedder, rows, labels, weights, request, sample):
    """Train the network of a request on rows and labels.

    Parameters
    ----------
    embedder : NeuralEmbedder
        Its parameters `training`, `random_state`, `n_threads` and `bad_rows` are used.
    rows : sequence
        Rows that have a key.
    labels : ndarray or None
        Of these rows.
    weights : ndarray or None
        Of these rows.
    request : Request
        The network that is trained.
    sample : callable
        As `resolve` takes it.

    Returns
    -------
    learned : Learned
        What was learned.
    history : dict
        The course of the training.

    Raises
    ------
    RowsFailedError
        If rows cannot be prepared and ``bad_rows="raise"``.
    ValueError
        If labels are missing or do not fit, or the network cannot be trained.
    MissingDependencyError
        If torch or another library is not installed.
    """
    training = training_of(embedder.training)
    training.check()
    objective = objective_of(training)
    if objective.labeled and labels is None:
        raise ValueError(
            f"{type(embedder).__name__} learns from labels with training={embedder.training!r}: "
            "call fit(X, y)."
        )
    if weights is not None:
        weights = _checked_weights(weights, training, objective)
    subject = _Subject(embedder, training, request, sample)
    inputs, positions = subject.inputs_of(rows)
    examples = labeled_examples(inputs, positions, labels, objective, weights)
    return subject.train(examples)


def _checked_weights(weights, training, objective):
    if not objective.weighted:
        raise ValueError(
            "sample_weight is for objective='classification' and 'regression'; got "
            f"{training.objective!r}."
        )
    weights = np.asarray(weights, dtype=np.float64)
    if weights.ndim != 1 or not np.isfinite(weights).all() or (weights < 0).any():
        raise ValueError("sample_weight must hold one finite number >= 0 for each row.")
    if not weights.any():
        raise ValueError("sample_weight is 0 for all rows: nothing can be learned.")
    return weights


def learned_from_pairs(embedder, rows, pairs, similarity, request, sample):
    """Train the network of a request on pairs of rows.

    Parameters
    ----------
    embedder : NeuralEmbedder
        As for `learned_from_rows`.
    rows : sequence
        The left rows, then the right ones, that have a key.
    pairs : ndarray of shape (n_rows,), int
        The pair that each row belongs to. Pairs with one row only are left out.
    similarity : ndarray of shape (n_pairs,) or None
        Of all pairs.
    request, sample
        As for `learned_from_rows`.

    Returns
    -------
    learned : Learned
        What was learned.
    history : dict
        The course of the training.
    """
    training = training_of(embedder.training) or Training()
    training.check()
    subject = _Subject(embedder, training, request, sample)
    inputs, positions = subject.inputs_of(rows)
    sides = {}
    for item, row in zip(inputs, positions, strict=True):
        sides.setdefault(int(pairs[row]), {}).setdefault(int(row), item)  # a row's first window
    whole = {pair: list(items.values()) for pair, items in sides.items() if len(items) == 2}
    if len(whole) < 2:
        raise ValueError(f"fit_pairs() compares pairs, and got {len(whole)} that can be used.")
    left, right = zip(*whole.values(), strict=True)
    objective = PAIRS
    if similarity is not None:
        objective, similarity = SCORED_PAIRS, similarity[list(whole)]
    return subject.train(paired_examples(left, right, similarity, objective))


class _Subject:
    """What is trained: the network of a request, or a projection of its vectors."""

    def __init__(self, embedder, training, request, sample):
        for module in ("torch", "transformers", "safetensors"):
            require_optional(module, extra="torch", purpose="Training a network")
        with naming(request.model):
            folder = folder_of(embedder._modality, request.model, request.revision, request.seed)
        if folder.onnx is not None:
            raise ValueError(
                f"{folder.onnx} is an ONNX graph, which cannot be trained. Give the folder of the "
                "model that it was made from."
            )
        self.embedder, self.training = embedder, training
        self.of_head = training.trainable == "head"
        # The network that is trained needs no export.
        base = replace(request, backend="torch", precision="float32")
        self._request = replace(request if self.of_head else base, precompute=None)
        self._sample, self._on_graph = sample, request.backend != "torch"
        with naming(request.model):
            self.spec = self._base_spec(request)
        self.n_threads = n_threads_for(embedder.n_threads)

    def _base_spec(self, request):
        """Return the spec before training; with a projection, `truncate_dim` is about that."""
        n_dims, given = self.training.projection_dim, self._request
        if n_dims is None:
            return resolve(given, self.embedder._modality, self._sample)
        check_truncate_dim(request.estimator, request.truncate_dim, n_dims, projected=True)
        whole = replace(given, truncate_dim=None)
        spec = resolve(whole, self.embedder._modality, self._sample)
        return replace(spec, head=replace(spec.head, truncate_dim=request.truncate_dim))

    def inputs_of(self, rows):
        """Return network inputs, or frozen vectors, and the positions of their rows."""
        keys, _ = self.embedder._check_rows(rows)
        find = self._frozen_vectors if self.of_head else self._network_inputs
        inputs, positions, failed = find(rows, keys)
        if failed and self.embedder.bad_rows == "raise":
            raise RowsFailedError(failed)
        return inputs, np.array(positions, dtype=np.intp)

    def _network_inputs(self, rows, keys):
        inputs, positions, failed = [], [], {}
        size = self.embedder._modality.chunk
        for start in range(0, len(rows), size):
            part = range(start, min(start + size, len(rows)))
            prepared, wrong = self.spec.preprocessor.prepare(
                [rows[i] for i in part], [keys[i] for i in part], self.n_threads
            )
            failed |= {part[i]: reason for i, reason in wrong.items()}
            for i, row in zip(part, prepared, strict=True):
                windows = [window for window in row.inputs if window.size]
                inputs += windows
                positions += [i] * len(windows)
        return inputs, positions, failed

    def _frozen_vectors(self, rows, keys):
        """Return the vectors of the rows' windows, from the cache where they are."""
        network = with_export(self.spec)
        head = network.head.pooled()
        first, repeats = unique_keys(keys)
        same = {int(row): [int(row)] for row in first}
        for row, known in repeats.tolist():
            same[known].append(row)
        inputs, positions, failed = [], [], {}
        some_rows, some_keys = [rows[i] for i in first], [keys[i] for i in first]
        for found, windows in self.embedder._windows(network, some_rows, some_keys, failed):
            vectors = head.finished(network._of_head(windows.vectors))
            start = 0
            for row, n_windows in zip(first[found], windows.counts, strict=True):
                for again in same[int(row)]:
                    inputs += list(vectors[start : start + n_windows])
                    positions += [again] * int(n_windows)
                start += n_windows
        order = np.argsort(positions, kind="stable")
        inputs, positions = [inputs[i] for i in order], [positions[i] for i in order]
        return inputs, positions, spread(failed, first, repeats)

    def train(self, examples):
        """Return what was learned and the history."""
        from skembed.training._loop import train

        return train(
            lambda: self._trainee(examples),
            examples,
            self.training,
            auto=self._auto(),
            seed=seed_of(self.embedder.random_state),
            n_threads=self.n_threads,
            watch=Watch(self),
        )

    def _trainee(self, examples):
        from skembed.training._trainee import TrainedHead, TrainedNetwork

        if self.of_head:
            return TrainedHead(self.spec, len(examples.inputs[0]), self.training)
        augment = self._augment()
        with naming(self.spec.path):
            return TrainedNetwork(self.spec, self.training, augment, **self._states())

    def _states(self):
        """Return where states are kept, and what computes them, as parameters of `KeptStates`."""
        store, max_bytes = store_of_states(self.embedder._store())
        # A network with random weights has a graph for each seed, which is not worth exporting.
        # Apart from that, the choice must depend on parameters alone: so do the learned weights.
        on_graph = self._on_graph and self.spec.device == "cpu" and self.spec.seed is None
        return {
            "store": store,
            "max_bytes": max_bytes,
            "on_graph": on_graph,
            "n_threads": self.n_threads,
        }

    def _augment(self):
        from skembed.training._augment import augmentation

        training, given = self.training, self.training.augment
        kind = self.embedder._modality.kind
        views = training.objective == "simclr"
        if given == "auto":
            whole = self.spec.seed is not None and training.trainable == "all"
            name = "simclr" if views else None
            given = augmentation(kind, name) if views or whole else None
        if views and given is None:
            raise ValueError(
                f"objective='simclr' compares two views of each row: set augment, which for {kind} "
                "must be a function."
            )
        return given

    def _auto(self):
        from skembed.training._loop import Auto

        rates, *epochs = _PRETRAINED if self.spec.seed is None else _RANDOM
        return Auto(rates[self.training.trainable.partition(":")[0]], *epochs)

    def resolved(self, learned):
        """Return the spec of a network with what was learned so far, on torch."""
        return resolve(self._request, self.embedder._modality, self._sample, learned)


class Watch:
    """Tell the user and callbacks about the course of a training."""

    def __init__(self, subject):
        self._subject = subject

    @contextmanager
    def course(self, n_steps):
        """Return a context whose value is a progress bar."""
        with self._subject.embedder._progress(n_steps, unit="step") as bar:
            yield bar

    def epoch(self, trainee):
        """Return a context around an epoch, whose value has ``stop``."""
        subject = self._subject

        def fitted():
            network = subject.resolved(trainee.learned())
            n_dims = network.preprocessor.n_row_dims(network.n_dims)
            return {
                "_network": network,
                "_n_dims": n_dims,
                "fingerprint_": network.fingerprint,
                "n_features_out_": n_dims * subject.embedder.n_features_in_,
            }

        return subtask(subject.embedder, "epoch", fitted)
