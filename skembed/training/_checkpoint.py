"""The state of a training in a file, from which a killed `fit` goes on.

Imports torch, and so imported only when a network is trained.
"""

import hashlib
import json
import time
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from skembed.base._folders import written_whole

_SECONDS = 30  # between two states that are written


class Checkpoint:
    """Write and read the state of a course.

    The file is named by the examples, the parameters and the weights before training, so that folds
    and candidates of a search that share a folder have files of their own. It holds tensors in the
    format of safetensors and the rest as JSON in the metadata.

    Parameters
    ----------
    course : _Course
        Whose state is written; nothing is if the training has no `checkpoint_folder`.
    """

    def __init__(self, course):
        self._course, self._path = course, None
        self._written = time.monotonic()
        self._random = None
        if course.training.checkpoint_folder is not None:
            folder = Path(course.training.checkpoint_folder).expanduser().absolute()
            if folder.exists() and not folder.is_dir():
                raise NotADirectoryError(f"checkpoint_folder={str(folder)!r} is not a folder.")
            folder.mkdir(parents=True, exist_ok=True)
            self._path = folder / f"{self._name()}.safetensors"

    def _name(self):
        course, examples = self._course, self._course.examples
        given = course.training.get_params()
        del given["checkpoint_folder"]
        name = hashlib.sha256(repr([sorted(given.items()), course.rate]).encode())
        arrays = [*examples.inputs, examples.targets.values, examples.views]
        arrays += [] if examples.weights is None else [examples.weights]
        arrays += [tensor.cpu().numpy() for tensor in course._weights().values()]
        for array in arrays:
            name.update(f"{array.shape} {array.dtype}".encode())
            name.update(np.ascontiguousarray(array))
        state = course.random.bit_generator.state
        name.update(json.dumps(state, sort_keys=True).encode())
        return name.hexdigest()[:32]

    def begin_epoch(self, first):
        """Remember the state that the epoch's batches are drawn from."""
        if first == 0 or self._random is None:
            self._random = self._course.random.bit_generator.state

    def save_now_and_then(self, epoch, step):
        """Write the state after a step, if the last one is old."""
        if self._path is not None and time.monotonic() - self._written >= _SECONDS:
            self.save(epoch, step)

    def save(self, epoch, step):
        """Write the state after the first `step` steps of an epoch."""
        if self._path is None:
            return
        course = self._course
        if step == 0:
            self._random = course.random.bit_generator.state
        facts = {
            "epoch": epoch,
            "step": step,
            "random": self._random,
            "history": course.history,
            "best": [course.best[0], course.best[2]],
            "seconds": course.seconds,
        }
        with written_whole(self._path) as file:
            file.write(save(_tensors(course), {"facts": json.dumps(facts)}))
        self._written = time.monotonic()

    def resume(self):
        """Put the state of the file into the course; return the epoch and the step to go on from.

        A file that is missing or damaged is ignored.
        """
        if self._path is None or not self._path.exists():
            return 0, 0
        try:
            with safe_open(self._path, "pt") as file:
                tensors = {name: file.get_tensor(name) for name in file.keys()}
                facts = json.loads(file.metadata()["facts"])
        except (SafetensorError, OSError, KeyError, ValueError, TypeError):
            return 0, 0
        course = self._course
        _restore(course, tensors)
        course.history, course.seconds = facts["history"], facts["seconds"]
        best = {n.removeprefix("best."): t for n, t in tensors.items() if n.startswith("best.")}
        course.best = (facts["best"][0], best or None, facts["best"][1])
        course.random.bit_generator.state = self._random = facts["random"]
        for _ in course.history["steps"]:
            course.schedule.last_epoch += 1
        for group, base in zip(
            course.optimizer.param_groups, course.schedule.base_lrs, strict=True
        ):
            group["lr"] = base * course.schedule.lr_lambdas[0](course.schedule.last_epoch)
        return facts["epoch"], facts["step"]

    def remove(self):
        """Remove the file: the training is finished."""
        if self._path is not None:
            self._path.unlink(missing_ok=True)


def _tensors(course):
    """Return all tensors of a course's state by name."""
    tensors = {f"trainee.{name}": t for name, t in course._weights().items()}
    tensors |= {f"loss.{name}": t for name, t in course.loss.state_dict().items()}
    tensors |= {f"best.{name}": t for name, t in (course.best[1] or {}).items()}
    for number, state in course.optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{number}.{name}": t for name, t in state.items()}
    tensors["random.cpu"] = torch.get_rng_state()
    if course.device.type == "cuda":
        tensors["random.cuda"] = torch.cuda.get_rng_state(course.device)
    return {name: tensor.detach().contiguous().clone() for name, tensor in tensors.items()}


def _restore(course, tensors):
    """Put tensors, as `_tensors` named them, into a course."""

    def part(prefix):
        return {n.removeprefix(prefix): t for n, t in tensors.items() if n.startswith(prefix)}

    course.trainee.load_state_dict(part("trainee."), strict=False)
    course.loss.load_state_dict(part("loss."))
    states = {}
    for name, tensor in part("optimizer.").items():
        number, _, name = name.partition(".")
        states.setdefault(int(number), {})[name] = tensor
    whole = course.optimizer.state_dict()
    course.optimizer.load_state_dict({**whole, "state": states})
    torch.set_rng_state(tensors["random.cpu"])
    if "random.cuda" in tensors:
        torch.cuda.set_rng_state(tensors["random.cuda"], course.device)
