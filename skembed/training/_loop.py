"""The loop that trains a network or a projection on the examples of a `fit`.

Imports torch, and so imported only when a network is trained.
"""

import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from sklearn.model_selection import ShuffleSplit, StratifiedShuffleSplit

from skembed.training._checkpoint import Checkpoint
from skembed.training._sampling import epoch_batches

# The number of threads and the random state of torch belong to the whole process.
_one_at_a_time = threading.Lock()

_LEAST_RATE = 1e-2  # of layers that are thrown away afterwards


@dataclass(frozen=True)
class Auto:
    """What "auto" stands for.

    Parameters
    ----------
    rate : float
        The learning rate.
    n_steps : int
        As many epochs as make about this number of steps,
    max_epochs : int
        but no more than these.
    """

    rate: float
    n_steps: int
    max_epochs: int


def train(make_trainee, examples, training, *, auto, seed, n_threads, watch):
    """Train a network or a projection.

    Parameters
    ----------
    make_trainee : callable
        Returns the `TrainedNetwork` or `TrainedHead`.
    examples : Examples
        What is trained on.
    training : Training
        Checked parameters.
    auto : Auto
        What "auto" stands for.
    seed : int
        Draws batches, dropout and layers that are thrown away.
    n_threads : int
        Of torch.
    watch : Watch
        Is told about the course: progress bar, callbacks.

    Returns
    -------
    learned : Learned
        What was learned.
    history : dict
        ``"steps"`` and ``"epochs"``, each a list of dicts.

    Raises
    ------
    ValueError
        If no rows can be kept aside, or the loss is not finite.
    """
    with _one_at_a_time, _torch_for_training(seed, n_threads):
        course = _Course(make_trainee(), examples, training, auto, seed)
        return course.run(watch)


@contextmanager
def _torch_for_training(seed, n_threads):
    before = torch.get_num_threads()
    devices = range(torch.cuda.device_count()) if torch.cuda.is_available() else []
    with torch.random.fork_rng(devices=devices), torch.enable_grad():
        torch.manual_seed(seed)
        torch.set_num_threads(n_threads)
        try:
            yield
        finally:
            torch.set_num_threads(before)


class _Course:
    """One training, from its first step to the weights that are kept."""

    def __init__(self, trainee, examples, training, auto, seed):
        self.trainee, self.examples, self.training = trainee, examples, training
        self.random = np.random.default_rng(seed)
        self.device = next(p.device for p in trainee.parameters())
        self.labels = torch.from_numpy(examples.targets.values).to(self.device)
        self.lengths = examples.lengths
        self.rows, self.held_out = self._split(seed)
        weights = examples.weights
        if weights is not None:  # with the mean 1, so that their scale does not matter
            weights = torch.from_numpy(weights / max(weights[self.rows].mean(), 1e-12))
            weights = weights.to(self.device)
        self.weights = weights
        self._keep(examples.inputs)
        self.loss = examples.objective.loss(examples.targets, trainee.n_dims, training)
        self.loss.to(self.device)
        self.auto = auto
        self.rate = auto.rate if training.learning_rate == "auto" else training.learning_rate
        self.history = {"steps": [], "epochs": []}
        self.best = (np.inf, None, 0)  # loss, weights, epoch
        self.seconds = 0.0

    def _split(self, seed):
        """Return the examples that are trained on, and batches of those kept aside, or None."""
        fraction, everything = self.training.validation_fraction, np.arange(len(self.examples))
        if fraction is None:
            return everything, None
        rows, first = np.unique(self.examples.rows, return_index=True)
        classes = self.examples.classes
        classes = None if classes is None else classes[first]
        splitter = ShuffleSplit if classes is None else StratifiedShuffleSplit
        try:
            split = splitter(1, test_size=fraction, random_state=seed).split(rows, classes)
            _, aside = next(split)
        except ValueError as error:
            raise ValueError(
                f"validation_fraction={fraction} cannot be kept aside of {len(rows)} rows: {error}"
            ) from None
        aside = np.isin(self.examples.rows, rows[aside])
        batches = self._batches(everything[aside], np.random.default_rng(seed))
        return everything[~aside], batches

    def _batches(self, rows, random):
        examples = self.examples
        classes = examples.classes[rows] if examples.objective.compares else None
        found = epoch_batches(self.lengths[rows], classes, self.training.batch_size, random)
        return [rows[batch] for batch in found]

    def _keep(self, inputs):
        """Compute what is kept of each input."""
        self.kept, self.shapes = self.trainee.kept(inputs), [item.shape for item in inputs]
        shapes = {shape: self.trainee.input_shape(shape) for shape in dict.fromkeys(self.shapes)}
        self.shapes = [tuple(shapes[shape]) for shape in self.shapes]

    def _losses(self, batch):
        """Return the losses of some examples, to be averaged."""
        numbers = self.examples.views[batch].T.ravel().tolist()
        kept, shapes = [self.kept[i] for i in numbers], [self.shapes[i] for i in numbers]
        order, vectors = [], []
        for part in self.trainee.parts_of(shapes):
            order += part
            vectors.append(self.trainee([kept[i] for i in part], [shapes[i] for i in part]))
        vectors = torch.cat(vectors)[np.argsort(order)]
        losses = self.loss(self.labels[batch], *vectors.split(len(batch)))
        return losses if self.weights is None else losses * self.weights[batch]

    def _groups(self):
        network = [p for p in self.trainee.parameters() if p.requires_grad]
        own = list(self.loss.parameters())
        groups = [{"params": network, "lr": self.rate}]
        return [*groups, {"params": own, "lr": max(self.rate, _LEAST_RATE)}] if own else groups

    def _optimizer(self, n_steps):
        optimizer = torch.optim.AdamW(self._groups(), weight_decay=self.training.weight_decay)
        n_warm = self.training.warmup * n_steps

        def factor(step):
            rising = (step + 1) / max(1.0, n_warm)
            return min(rising, (n_steps - step) / max(1.0, n_steps - n_warm), 1.0)

        return optimizer, torch.optim.lr_scheduler.LambdaLR(optimizer, factor)

    def run(self, watch):
        """Train; return what was learned and the history."""
        n_batches = len(self._batches(self.rows, np.random.default_rng(0)))
        epochs = self.training.epochs
        if epochs == "auto":
            epochs = int(np.clip(round(self.auto.n_steps / n_batches), 1, self.auto.max_epochs))
        self.optimizer, self.schedule = self._optimizer(epochs * n_batches)
        checkpoint = Checkpoint(self)
        epoch, step = checkpoint.resume()
        with watch.course(epochs * n_batches) as bar:
            bar.update(len(self.history["steps"]))
            while epoch < epochs and not self._ended(epoch):
                with watch.epoch(self.trainee) as state:
                    self._epoch(epoch, step, bar, checkpoint)
                epoch, step = epoch + 1, 0
                checkpoint.save_now_and_then(epoch, 0)
                if state.stop:
                    break
        if self.best[1] is not None:
            self.trainee.load_state_dict(self.best[1], strict=False)
        checkpoint.remove()
        return self.trainee.learned(), self.history

    def _ended(self, epoch):
        patience, limit = self.training.patience, self.training.max_seconds
        out_of_time = limit is not None and self.seconds > limit
        return out_of_time or (patience is not None and epoch - self.best[2] >= patience)

    def _epoch(self, epoch, first, bar, checkpoint):
        """Run the steps of an epoch from the step `first` on, and measure the loss."""
        checkpoint.begin_epoch(first)
        batches = self._batches(self.rows, self.random)
        self.trainee.train_mode()
        before, n_rows = self.seconds, 0
        for i, batch in enumerate(batches[first:], first):
            start = time.perf_counter()
            record = self._step(batch, epoch)
            n_rows += len(batch)
            self.seconds += time.perf_counter() - start
            bar.update(1)
            bar.set_postfix_str(f"loss {record['loss']:.4f}", refresh=False)
            checkpoint.save_now_and_then(epoch, i + 1)
            if self.training.max_seconds is not None and self.seconds > self.training.max_seconds:
                break
        start = time.perf_counter()
        validation = None if self.held_out is None else self._validation_loss()
        self.seconds += time.perf_counter() - start
        losses = [step["loss"] for step in self.history["steps"] if step["epoch"] == epoch + 1]
        self.history["epochs"].append(
            {
                "epoch": epoch + 1,
                "loss": float(np.mean(losses)),
                "validation_loss": validation,
                "learning_rate": self.history["steps"][-1]["learning_rate"],
                "seconds": self.seconds,
                "rows_per_second": n_rows / max(self.seconds - before, 1e-9),
            }
        )
        if validation is not None and validation < self.best[0]:
            self.best = validation, self._weights(), epoch + 1

    def _step(self, batch, epoch):
        loss = self._losses(batch).mean()
        rate = self.optimizer.param_groups[0]["lr"]
        if not torch.isfinite(loss):
            raise ValueError(
                f"The loss is not finite in epoch {epoch + 1}, at the learning rate {rate:.2g}. "
                "Set a smaller learning_rate."
            )
        self.optimizer.zero_grad()
        loss.backward()
        for group in self.optimizer.param_groups:
            torch.nn.utils.clip_grad_norm_(group["params"], 1.0)
        self.optimizer.step()
        self.schedule.step()
        record = {"epoch": epoch + 1, "loss": loss.item(), "learning_rate": rate}
        self.history["steps"].append(record)
        return record

    def _validation_loss(self):
        self.trainee.eval()
        total = 0.0
        with torch.no_grad():
            for batch in self.held_out:
                total += self._losses(batch).mean().item() * len(batch)
        return total / sum(map(len, self.held_out))

    def _weights(self):
        """Return copies of the tensors that training changes."""
        names = {name for name, p in self.trainee.named_parameters() if p.requires_grad}
        names |= {name for name, _ in self.trainee.named_buffers()}
        state = self.trainee.state_dict()
        return {name: state[name].clone() for name in state if name in names}
