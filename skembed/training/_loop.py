"""The loop that trains a network on the inputs and labels of a `fit`.

Imports torch, and so imported only when a network is trained.
"""

import copy
import threading
import time
from contextlib import contextmanager

import numpy as np
import torch
from safetensors.torch import save
from sklearn.model_selection import ShuffleSplit, StratifiedShuffleSplit

from skembed.models._backbone import WithStem
from skembed.models._folder import ModelFolder
from skembed.network._learned import Learned
from skembed.network._load import torch_network
from skembed.training._objectives import OBJECTIVES
from skembed.training._sampling import epoch_batches
from skembed.training._upper import Upper

# The number of threads and the random state of torch belong to the whole process.
_one_at_a_time = threading.Lock()

_STEPS, _MOST_EPOCHS = 200, 30  # of epochs="auto"
_LEAST_RATE = 1e-2  # of layers that are thrown away afterwards
_KEPT_ROWS = 64  # whose states are computed in one go


class Trainee(torch.nn.Module):
    """A network that is trained, from its inputs or from kept states to the head's vectors.

    Parameters
    ----------
    spec : NetworkSpec
        The network before training.
    n_last : int or None
        How many of its layers are trained; None: all of them.
    """

    def __init__(self, spec, n_last):
        super().__init__()
        network = copy.deepcopy(torch_network(spec, spec.head_pieces))
        stemmed = isinstance(network.backbone, WithStem)
        self.stem = network.backbone.stem if stemmed else None
        self.backbone = network.backbone.backbone if stemmed else network.backbone
        self.pieces = network.pieces
        self.requires_grad_(False)
        self._head = spec.head
        self._before = {name: t.clone() for name, t in self.backbone.state_dict().items()}
        self._upper = None
        if n_last is None:
            self.trained = {n for n, p in self.backbone.named_parameters() if p.is_floating_point()}
        else:
            probe = self._stemmed(torch.from_numpy(spec.preprocessor.probes()[0]))
            self._upper = Upper(self.backbone, _kept_layer(spec, n_last), probe)
            self.trained = self._upper.parameters
        for name, parameter in self.backbone.named_parameters():
            parameter.requires_grad_(name in self.trained)

    def _stemmed(self, inputs):
        with torch.no_grad():
            return inputs if self.stem is None else self.stem(inputs)

    def kept(self, inputs):
        """Return what is kept of inputs of one shape for all epochs, (n_rows, ...)."""
        inputs = self._stemmed(inputs)
        return inputs if self._upper is None else self._upper.kept_state(inputs)

    def shape_of(self, inputs):
        """Return inputs of the same shape that take no memory."""
        inputs = self._stemmed(inputs)
        return torch.zeros((), dtype=inputs.dtype), inputs.shape[1:]

    def forward(self, kept, blank, shape):
        """(n_rows, ...) -> vectors, (n_rows, n_dims), as the embedder gives them."""
        if self._upper is None:
            states = self.backbone(kept)
        else:
            states = self._upper(blank.expand(len(kept), *shape), kept)
        vectors = torch.cat([piece(states) for piece in self.pieces], dim=1)
        head = self._head
        if not head.truncate_last:
            vectors = vectors[:, : head.truncate_dim]
        if head.normalize:
            vectors = torch.nn.functional.normalize(vectors, dim=1)
        return vectors[:, : head.truncate_dim]

    def train_mode(self):
        """Put the modules that are wholly trained into training mode, and the others not."""
        self.eval()
        for prefix, module in self.backbone.named_modules():
            names = [f"{prefix}.{n}" if prefix else n for n, _ in module.named_parameters()]
            if names and self.trained.issuperset(names):
                module.train()

    def learned(self):
        """Return the tensors of the backbone that changed, in the format of safetensors."""
        changed = {
            name: tensor.contiguous()
            for name, tensor in self.backbone.state_dict().items()
            if not torch.equal(tensor, self._before[name])
        }
        return Learned(weights=save(changed) if changed else b"")


def _kept_layer(spec, n_last):
    n_layers = spec.modality.n_layers(ModelFolder(spec.path))
    if n_layers is None or n_last > n_layers:
        found = "an unknown number of" if n_layers is None else n_layers
        raise ValueError(f"trainable='last:{n_last}': {spec.model} has {found} layers.")
    kept = n_layers - n_last
    n_states = n_layers + 1 + spec.modality.has_pooled_state
    highest = max(range(n_states)[layer] for layer in spec.head.layers)
    if highest <= kept:
        raise ValueError(
            f"trainable='last:{n_last}' trains the layers above {kept}, and the vectors are pooled "
            f"from layer {highest}. Train more layers, or pool a later one."
        )
    return kept


def train(spec, inputs, labels, training, *, n_last, seed, n_threads, progress):
    """Train a network.

    Parameters
    ----------
    spec : NetworkSpec
        The network before training.
    inputs : list of ndarray
        Network inputs, one a row.
    labels : ndarray of shape (n_rows,) or (n_rows, n_outputs)
        Of the rows.
    training : Training
        Checked parameters.
    n_last : int or None
        Number of layers that are trained. None: all.
    seed : int
        Draws batches, dropout and layers that are thrown away.
    n_threads : int
        Of torch.
    progress : callable
        Takes the number of steps, returns a context whose value has ``update(n)``.

    Returns
    -------
    learned : Learned
        The weights that changed.
    history : dict
        ``"steps"`` and ``"epochs"``, each a list of dicts.

    Raises
    ------
    ValueError
        If labels do not fit the objective, or the loss is not finite.
    """
    objective = OBJECTIVES[training.objective]
    targets = objective.targets(labels)
    with _one_at_a_time, _torch_for_training(seed, n_threads):
        course = _Course(spec, inputs, targets, objective, training, n_last, seed)
        return course.run(progress)


@contextmanager
def _torch_for_training(seed, n_threads):
    before = torch.get_num_threads()
    with torch.random.fork_rng(devices=[]), torch.enable_grad():
        torch.manual_seed(seed)
        torch.set_num_threads(n_threads)
        try:
            yield
        finally:
            torch.set_num_threads(before)


class _Course:
    """One training, from its first step to the weights that are kept."""

    def __init__(self, spec, inputs, targets, objective, training, n_last, seed):
        self.training, self.objective = training, objective
        self.random = np.random.default_rng(seed)
        self.trainee = Trainee(spec, n_last)
        self.lengths = np.array([item.size for item in inputs])
        self.labels = torch.from_numpy(targets.values)
        self.classes = targets.values if targets.classes is not None else None
        self.rows, self.held_out = self._split(len(inputs), seed)
        self._keep(inputs)
        self.loss = objective.loss(targets, spec.n_dims, training)
        self.rate = training.learning_rate
        if self.rate == "auto":
            self.rate = 1e-3 if spec.seed is not None else 1e-4 if n_last else 2e-5
        self.history = {"steps": [], "epochs": []}

    def _split(self, n_rows, seed):
        """Return the rows that are trained on, and those that are kept aside."""
        fraction, rows = self.training.validation_fraction, np.arange(n_rows)
        if fraction is None:
            return rows, None
        splitter = ShuffleSplit if self.classes is None else StratifiedShuffleSplit
        try:
            split = splitter(1, test_size=fraction, random_state=seed).split(rows, self.classes)
            return next(split)
        except ValueError as error:
            raise ValueError(
                f"validation_fraction={fraction} cannot be kept aside of {n_rows} rows: {error}"
            ) from None

    def _keep(self, inputs):
        """Compute what is kept of each row, rows of one shape together."""
        self.kept, self.blanks = [None] * len(inputs), [None] * len(inputs)
        self.shapes = [item.shape for item in inputs]
        for shape in dict.fromkeys(self.shapes):
            rows = [i for i, other in enumerate(self.shapes) if other == shape]
            for start in range(0, len(rows), _KEPT_ROWS):
                part = rows[start : start + _KEPT_ROWS]
                batch = torch.from_numpy(np.stack([inputs[i] for i in part]))
                blank = self.trainee.shape_of(batch[:1])
                for i, item in zip(part, self.trainee.kept(batch), strict=True):
                    self.kept[i], self.blanks[i] = item, blank

    def _loss(self, batch):
        """Return the loss of some rows; those of one shape run together."""
        parts = {}
        for i in batch.tolist():
            parts.setdefault(self.shapes[i], []).append(i)
        vectors = torch.cat(
            [
                self.trainee(torch.stack([self.kept[i] for i in rows]), *self.blanks[rows[0]])
                for rows in parts.values()
            ]
        )
        order = [i for rows in parts.values() for i in rows]
        return self.loss(vectors, self.labels[order]).mean()

    def _batches(self):
        classes = self.classes[self.rows] if self.objective.pairs else None
        found = epoch_batches(
            self.lengths[self.rows], classes, self.training.batch_size, self.random
        )
        return [self.rows[batch] for batch in found]

    def _optimizer(self, n_steps):
        network = [p for p in self.trainee.parameters() if p.requires_grad]
        groups = [{"params": network, "lr": self.rate}]
        own = list(self.loss.parameters())
        if own:
            groups.append({"params": own, "lr": max(self.rate, _LEAST_RATE)})
        optimizer = torch.optim.AdamW(groups, weight_decay=self.training.weight_decay)
        n_warm = self.training.warmup * n_steps

        def factor(step):
            rising = (step + 1) / max(1.0, n_warm)
            return min(rising, (n_steps - step) / max(1.0, n_steps - n_warm), 1.0)

        return optimizer, torch.optim.lr_scheduler.LambdaLR(optimizer, factor)

    def run(self, progress):
        """Train; return what was learned and the history."""
        epochs = self.training.epochs
        n_batches = len(self._batches())
        if epochs == "auto":
            epochs = int(np.clip(round(_STEPS / n_batches), 1, _MOST_EPOCHS))
        optimizer, schedule = self._optimizer(epochs * n_batches)
        start, best, ended = time.perf_counter(), (np.inf, None, 0), False
        limit = self.training.max_seconds or np.inf
        with progress(epochs * n_batches) as bar:
            for epoch in range(epochs):
                self.trainee.train_mode()
                losses, n_rows = [], 0
                for batch in self._batches():
                    losses.append(self._step(batch, optimizer, schedule, epoch))
                    n_rows += len(batch)
                    bar.update(1)
                    ended = time.perf_counter() - start > limit
                    if ended:
                        break
                record = self._epoch(epoch, losses, n_rows, time.perf_counter() - start)
                if record["validation_loss"] is not None and record["validation_loss"] < best[0]:
                    best = record["validation_loss"], self._weights(), epoch
                patience = self.training.patience
                if ended or (patience is not None and epoch - best[2] >= patience):
                    break
        if best[1] is not None:
            self.trainee.backbone.load_state_dict(best[1])
        return self.trainee.learned(), self.history

    def _step(self, batch, optimizer, schedule, epoch):
        loss = self._loss(batch)
        if not torch.isfinite(loss):
            raise ValueError(
                f"The loss is not finite in epoch {epoch + 1}, at the learning rate "
                f"{optimizer.param_groups[0]['lr']:.2g}. Set a smaller learning_rate."
            )
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.trainee.parameters(), 1.0)
        optimizer.step()
        record = {"loss": loss.item(), "learning_rate": optimizer.param_groups[0]["lr"]}
        self.history["steps"].append(record)
        schedule.step()
        return record["loss"]

    def _epoch(self, epoch, losses, n_rows, seconds):
        validation = None
        if self.held_out is not None:
            self.trainee.eval()
            with torch.no_grad():
                validation = self._loss(self.held_out).item()
        before = self.history["epochs"][-1]["seconds"] if self.history["epochs"] else 0.0
        record = {
            "epoch": epoch + 1,
            "loss": float(np.mean(losses)),
            "validation_loss": validation,
            "seconds": seconds,
            "rows_per_second": n_rows / max(seconds - before, 1e-9),
        }
        self.history["epochs"].append(record)
        return record

    def _weights(self):
        return {name: tensor.clone() for name, tensor in self.trainee.backbone.state_dict().items()}
