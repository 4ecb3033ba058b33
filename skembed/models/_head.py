"""What comes after the backbone, as plain data: layers, pooling, dense layers, normalising.

The torch module made of it is in `_modules`; nothing here imports torch.
"""

from dataclasses import asdict, dataclass, replace

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
        """Whether vectors have length 1: what is cut after normalizing does not."""
        return self.normalize and not self.truncate_last

    def settings(self):
        """Return what can change a vector, for fingerprints: contents, not paths."""
        settings = asdict(self)
        for dense in settings["dense"]:
            del dense["weights"]
        return settings

    def n_dims(self, n_hidden):
        """Return the length of a row's vector; None where `n_hidden`, a layer's, is None."""
        if n_hidden is None:
            return None
        width = n_hidden * len(self.layers) * max(1, len(self.pooling))
        width = self.dense[-1].out_features if self.dense else width
        return min(width, self.truncate_dim or width)

    def for_tokens(self):
        """Return the head that gives one vector a token: the same layers, nothing after them."""
        return replace(self, pooling=(), skip=0, dense=(), truncate_dim=None, normalize=False)
