"""The head of a network as plain data: layers, pooling, dense layers, projection, normalization.

A head consists of pieces, one for each layer and pooling (see `Head.pieces`). The network computes
pieces, and caches store their vectors. `Head.finished` concatenates, projects, truncates and
normalizes these vectors, for all backends in the same way.

`_modules` contains the torch module of a piece. This module does not import torch.
"""

from dataclasses import asdict, dataclass, replace
from functools import lru_cache

import numpy as np

from skembed.base._digest import digest
from skembed.models._projection import Projection


@dataclass(frozen=True)
class Dense:
    """A linear layer after pooling: file of its weights, activation (a class of torch.nn)."""

    weights: str
    sha256: str
    activation: str
    residual: bool
    out_features: int


@dataclass(frozen=True)
class Head:
    """Compute the vector of a row from the hidden states.

    Parameters
    ----------
    layers : tuple of int
        Layers whose states are concatenated; 0 is the embedding layer, -1 the last layer.
    pooling : tuple of str
        Poolings that are concatenated. Empty: one vector per token.
    skip : int
        Number of tokens at the start that are not pooled (those of a prompt).
    dense : tuple of Dense
        Linear layers after pooling.
    truncate_dim : int or None
        Number of dimensions to keep. None: all.
    normalize : bool
        Whether to scale vectors to unit length.
    truncate_last : bool
        Whether to truncate after normalization. This holds for a `truncate_dim` that Sentence
        Transformers saved in the model's folder.
    projection : Projection, default=None
        What `fit` learned to multiply the concatenated vectors by. None: nothing.
    """

    layers: tuple = (-1,)
    pooling: tuple = ("mean",)
    skip: int = 0
    dense: tuple = ()
    truncate_dim: int | None = None
    normalize: bool = False
    truncate_last: bool = False
    projection: Projection | None = None

    @property
    def unit_length(self):
        """Whether vectors have length 1; those truncated after normalization do not."""
        return self.normalize and not self.truncate_last

    def settings(self):
        """Return all settings that can change a vector, without paths, for fingerprints."""
        settings = asdict(replace(self, projection=None))
        del settings["projection"]
        for dense in settings["dense"]:
            del dense["weights"]
        if self.projection is not None:  # heads without one keep their names
            settings["projection"] = self.projection.digest
        return settings

    @property
    def name(self):
        """A name that identifies this head among the heads of one backbone."""
        return _name(self)

    def pieces(self, n_states=None):
        """Return the heads whose vectors this head concatenates, in this order.

        A piece is one pooling of one layer, neither projected nor truncated nor normalized. Dense
        layers take all poolings as their input, so a head with dense layers is one piece.

        Parameters
        ----------
        n_states : int, default=None
            Number of states of the backbone. Negative layers are then replaced, so that each piece
            has only one name. None: unknown.

        Examples
        --------
        >>> [(piece.layers, piece.pooling) for piece in Head((0, -1), ("max",)).pieces(7)]
        [((0,), ('max',)), ((6,), ('max',))]
        """
        layers = tuple(range(n_states)[i] for i in self.layers) if n_states else self.layers
        if self.dense:
            return (replace(self.pooled(), layers=layers),)
        if not self.pooling:
            return tuple(Head(layers=(layer,), pooling=()) for layer in layers)
        return tuple(
            Head(layers=(layer,), pooling=(name,), skip=self.skip)
            for name in self.pooling
            for layer in layers
        )

    def finished(self, pieces):
        """Concatenate, project, truncate and normalize the vectors of this head's pieces.

        Projections and sums of squares are computed in float64 for each row separately, so that a
        vector does not depend on other rows.

        Parameters
        ----------
        pieces : list of ndarray of shape (n_rows, n_dims of the piece), float32
            In the order of `pieces`.

        Returns
        -------
        vectors : ndarray of shape (n_rows, n_dims), float32

        Examples
        --------
        >>> piece = np.array([[3.0, 4.0, 12.0]], dtype=np.float32)
        >>> Head(truncate_dim=2, normalize=True).finished([piece])
        array([[0.6, 0.8]], dtype=float32)
        """
        vectors = pieces[0] if len(pieces) == 1 else np.concatenate(pieces, axis=1)
        if self.projection is not None:
            vectors = self.projection.of_rows(vectors)
        if not self.truncate_last:
            vectors = vectors[:, : self.truncate_dim]
        if self.normalize:
            lengths = np.sqrt(np.square(vectors, dtype=np.float64).sum(axis=1, keepdims=True))
            vectors = vectors / np.maximum(lengths, 1e-12).astype(np.float32)
        return vectors[:, : self.truncate_dim]

    def pooled(self):
        """Return this head without what follows pooling and dense layers."""
        return replace(
            self, truncate_dim=None, normalize=False, truncate_last=False, projection=None
        )

    def n_dims(self, n_hidden):
        """Return the length of a row's vector; None if `n_hidden`, that of a layer, is None."""
        if n_hidden is None:
            return None
        width = n_hidden * len(self.layers) * max(1, len(self.pooling))
        return self.n_finished(self.dense[-1].out_features if self.dense else width)

    def n_finished(self, n_dims):
        """Return the length of finished vectors; `n_dims` is that of the concatenated ones."""
        n_dims = n_dims if self.projection is None else self.projection.n_out
        return min(n_dims, self.truncate_dim or n_dims)

    def moved(self, new_path):
        """Return a copy whose files are at ``new_path(path)``."""
        dense = tuple(replace(item, weights=new_path(item.weights)) for item in self.dense)
        return replace(self, dense=dense)

    def for_tokens(self):
        """Return a head with the same layers that computes one vector per token."""
        return replace(self.pooled(), pooling=(), skip=0, dense=())


@lru_cache(maxsize=4096)
def _name(head):
    return digest(head.settings())[:16]
