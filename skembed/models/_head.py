"""What comes after the backbone, as plain data: layers, pooling, dense layers, normalizing.

A head is made of pieces, one for each layer and pooling (see `Head.pieces`). The network computes
pieces, and these are what caches keep. Joining, truncating and normalizing pieces is arithmetic on
kept vectors (`Head.finished`), the same for all backends.

The torch module made of a piece is in `_modules`; nothing here imports torch.
"""

from dataclasses import asdict, dataclass, replace
from functools import lru_cache

import numpy as np

from skembed.base._digest import digest

# Names of poolings of tokens, and of maps besides; what they compute stands in `_modules.POOLINGS`.
POOLING_NAMES = ("mean", "cls", "max", "mean_sqrt_len", "weighted_mean", "last")
MAP_POOLING_NAMES = ("gem", "flat")


@dataclass(frozen=True)
class Dense:
    """A linear layer after pooling: its weights' file and its activation, a class of torch.nn."""

    weights: str
    sha256: str
    activation: str
    residual: bool
    out_features: int


@dataclass(frozen=True)
class Head:
    """From hidden states to a row's vector.

    Parameters
    ----------
    layers : tuple of int
        Hidden states to concatenate; 0 is the embedding layer, -1 the last.
    pooling : tuple of str
        Poolings to concatenate; empty: one vector a token.
    skip : int
        Tokens at the start that pooling leaves out (a prompt's).
    dense : tuple of Dense
        Linear layers after pooling.
    truncate_dim : int or None
        Keep only the first dimensions.
    normalize : bool
        Scale to unit length.
    truncate_last : bool
        Whether `truncate_dim` comes after normalizing: a folder's own does, as in Sentence
        Transformers.
    """

    layers: tuple = (-1,)
    pooling: tuple = ("mean",)
    skip: int = 0
    dense: tuple = ()
    truncate_dim: int | None = None
    normalize: bool = False
    truncate_last: bool = False

    @property
    def unit_length(self):
        """Whether vectors have length 1; those truncated after normalizing do not."""
        return self.normalize and not self.truncate_last

    def settings(self):
        """Return what can change a vector, for fingerprints: contents, not paths."""
        settings = asdict(self)
        for dense in settings["dense"]:
            del dense["weights"]
        return settings

    @property
    def name(self):
        """The name of what this head computes, among the heads of one backbone."""
        return _name(self)

    def pieces(self, n_states=None):
        """Return the heads whose vectors this head joins, in that order.

        A piece is the pooling of one layer, neither truncated nor normalized. Dense layers take
        all poolings at once, so a head with dense layers is one piece.

        Parameters
        ----------
        n_states : int, default=None
            How many states the backbone gives; layers are then counted from 0, so that one piece
            has one name. None: not known.

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
        """Join the vectors of this head's pieces, truncate and normalize them.

        Sums of squares are in float64 and each row is summed by itself, so that a vector does not
        depend on other rows.

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
        if not self.truncate_last:
            vectors = vectors[:, : self.truncate_dim]
        if self.normalize:
            lengths = np.sqrt(np.square(vectors, dtype=np.float64).sum(axis=1, keepdims=True))
            vectors = vectors / np.maximum(lengths, 1e-12).astype(np.float32)
        return vectors[:, : self.truncate_dim]

    def pooled(self):
        """Return this head without what `finished` does."""
        return replace(self, truncate_dim=None, normalize=False, truncate_last=False)

    def n_dims(self, n_hidden):
        """Return the length of a row's vector; None where `n_hidden`, a layer's, is None."""
        if n_hidden is None:
            return None
        width = n_hidden * len(self.layers) * max(1, len(self.pooling))
        width = self.dense[-1].out_features if self.dense else width
        return min(width, self.truncate_dim or width)

    def moved(self, new_path):
        """Return the same, with its files at ``new_path(path)``."""
        dense = tuple(replace(item, weights=new_path(item.weights)) for item in self.dense)
        return replace(self, dense=dense)

    def for_tokens(self):
        """Return the head that gives one vector a token: the same layers, nothing after them."""
        return replace(self.pooled(), pooling=(), skip=0, dense=())


@lru_cache(maxsize=4096)
def _name(head):
    return digest(head.settings())[:16]
