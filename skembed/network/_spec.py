"""NetworkSpec: the identity of a network and what `fit` learned, as data for a pickle."""

import os
from dataclasses import MISSING, dataclass, field, fields
from functools import cache
from importlib import metadata
from typing import Any

import numpy as np

from skembed.base._digest import digest
from skembed.models._checkpoints import checkpoint_folder, is_checkpoint
from skembed.models._folder import ModelFolder
from skembed.models._head import Head
from skembed.models._locate import locate
from skembed.models._modality import Modality
from skembed.network._learned import Learned
from skembed.runtime._backends import BACKENDS

FORMAT = 2  # of fingerprints and exported folders; raised when skembed itself changes vectors

_version = cache(metadata.version)


@dataclass(frozen=True)
class NetworkSpec:
    """All that is needed to load the network of a fitted embedder, and little to pickle."""

    modality: Modality
    model: str
    revision: str | None
    seed: int | None  # of random weights; None: pretrained
    path: str  # of the folder or .onnx file
    backbone_digest: str
    head: Head
    preprocessor: Any  # a `Preprocessor`: how rows become network inputs
    output: str | None  # of a ready-made graph; None: its first
    backend: str
    precision: str
    device: str
    ready_made: bool  # an .onnx graph that is run unchanged
    precomputed: tuple = ()  # pieces of other heads, to be computed by the same run
    learned: Learned = field(default_factory=Learned)
    n_states: int | None = None  # number of states that the backbone returns
    widths: tuple = ()  # of the vectors of `pieces`
    n_dims: int = 0
    native: bool = False  # its graph is built from the weights, without torch
    external_graph: bool = False  # an .onnx graph made elsewhere, whose outputs the head pools
    report: dict | None = None  # of the export

    # A pickle contains only fields that differ from their defaults, so it is small.

    def __getstate__(self):
        unset = object()
        return {n: value for n, value in vars(self).items() if value != _DEFAULTS.get(n, unset)}

    def __setstate__(self, state):
        vars(self).update(_DEFAULTS | state)

    @property
    def head_pieces(self):
        """The pieces that the head concatenates, in that order."""
        return self.head.pieces(self.n_states)

    @property
    def pieces(self):
        """All pieces that a run computes, each once, in the order of their names.

        Networks that compute the same pieces have them in the same order.
        """
        others = [piece.pieces(self.n_states)[0] for piece in self.precomputed]
        known = {piece.name: piece for piece in (*self.head_pieces, *others)}
        return tuple(known[name] for name in sorted(known))

    def finished(self, vectors):
        """Return the head's vectors, (n, n_dims), from the vectors of `pieces`."""
        if self.ready_made:
            return vectors[0]
        return self.head.finished(self._of_head(vectors))

    def of_tokens(self, states):
        """Return the states of the head's layers, concatenated, from those of `pieces`."""
        return np.concatenate(self._of_head(states), axis=-1)

    def _of_head(self, arrays):
        names = [piece.name for piece in self.pieces]
        return [arrays[names.index(part.name)] for part in self.head_pieces]

    def _run_settings(self):
        """Return all that can change the vector of a piece, except the piece itself."""
        libraries = (*BACKENDS[self.backend].libraries, *self.preprocessor.libraries)
        settings = {
            "format": FORMAT,
            "backbone": self.backbone_digest,
            "graph": (self.report or {}).get("sha256"),
            "inputs": self.preprocessor.input_settings(),
            "backend": self.backend,
            "precision": self.precision,
            "calibration": self.learned.ranges,
            "device": self.device,
            "output": self.output,
            "libraries": {name: _version(name) for name in libraries},
        }
        if self.learned.digest is not None:
            settings["learned"] = self.learned.digest
        return settings

    @property
    def fingerprint(self):
        """Digest of everything that can change a vector, with the libraries of this process."""
        head = [part.settings() for part in self.head_pieces]
        head += [self.head.truncate_dim, self.head.normalize, self.head.truncate_last]
        if self.head.projection is not None:
            head.append(self.head.projection.digest)
        return digest([self._run_settings(), head, self.preprocessor.settings()])

    @property
    def fingerprints(self):
        """Fingerprints under which the vectors of `pieces` are cached.

        What is arithmetic on these vectors does not change them: a learned projection,
        `truncate_dim`.
        """
        run = self._run_settings()
        return [digest([run, piece.settings()]) for piece in self.pieces]


_DEFAULTS = {
    item.name: item.default if item.default_factory is MISSING else item.default_factory()
    for item in fields(NetworkSpec)
    if item.default is not MISSING or item.default_factory is not MISSING
}


def folder_of(modality, model, revision, seed):
    """Return the `ModelFolder` of a model, with random weights if there is a seed.

    Raises
    ------
    ModelNotFoundError, ModelFormatError, MissingDependencyError, ValueError
        If there is no such model.
    """
    architecture = modality.architectures.get(os.fspath(model))
    if architecture is not None and architecture.fixed and not os.path.exists(model):
        seed = 0
    if seed is None and is_checkpoint(model, modality):
        return ModelFolder(checkpoint_folder(model, revision, modality))
    if seed is None:
        return ModelFolder(
            locate(
                model,
                revision,
                organization=modality.organization,
                architectures=modality.architectures,
                popular=modality.popular,
            )
        )
    from skembed.models._seeded import seeded_folder

    return ModelFolder(seeded_folder(model, seed, modality))
