"""The torch side of a network: backbone -> the pieces of a head (layer -> pool -> dense).

Imports torch, and so imported only when a network is loaded. What joins pieces to vectors is in
`_head`, for all backends. `runtime._graph_heads` writes the same poolings into ONNX graphs. They
are compared with those here when a network is exported.

Rows of a batch all have the same number of tokens (see `base._threads`), so that there is no
padding and no mask anywhere, and a row's vector cannot depend on its neighbors.
"""

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from skembed.exceptions import ModelFormatError


def _counted(states):
    """Return 1, 2, 3, ..., n_tokens; counted from the tensor, anew in each run of a graph."""
    return torch.ones_like(states[0, :, 0]).cumsum(dim=0)


def _weighted(weights, states):
    """Sum tokens by their weights, (n_tokens,).

    A matrix product for each row, not a reduction over the batch: ONNX Runtime adds the same
    numbers in the same order however many rows there are, so that vectors agree to the bit.
    """
    return torch.matmul(weights[None, None], states)[:, 0]


def _mean(states, skip):
    counted = _counted(states)
    return _weighted(torch.ones_like(counted) / counted[-1], states)


def _mean_sqrt_len(states, skip):
    counted = _counted(states)
    return _weighted(torch.ones_like(counted) / counted[-1].sqrt(), states)


def _weighted_mean(states, skip):
    """Average tokens with weights 1, 2, 3, ... (Muennighoff, SGPT, 2022).

    Tokens after a skipped prompt keep the weights of their positions, as in Sentence Transformers.
    """
    counted = _counted(states) + skip
    return _weighted(counted / counted.sum(), states)


def _gem(states, skip):
    """Take the generalized mean with exponent 3, between mean and maximum (Radenović et al., 2018).

    Values below 1e-6 are raised to it, because the root of a negative number is not real.
    """
    return _mean(states.clamp(min=1e-6) ** 3, skip) ** (1 / 3)


# Hidden states (n_rows, n_tokens, n_dims), which `skip` tokens came before -> (n_rows, n_dims).
POOLINGS = {
    "mean": _mean,
    "cls": lambda states, skip: states[:, 0],
    "max": lambda states, skip: states.amax(dim=1),
    "mean_sqrt_len": _mean_sqrt_len,
    "weighted_mean": _weighted_mean,
    "last": lambda states, skip: states[:, -1],
    "gem": _gem,
    "flat": lambda states, skip: states.transpose(1, 2).flatten(1),
}


def _tokens(state):
    """Turn a map, (n_rows, n_channels, height, width), into tokens; leave tokens alone."""
    return state.flatten(2).transpose(1, 2) if state.ndim == 4 else state


class DenseLayer(nn.Module):
    """A linear layer and its activation, as Sentence Transformers saves them."""

    def __init__(self, dense):
        super().__init__()
        try:
            self._load(dense)
        except (SafetensorError, KeyError, ValueError, RuntimeError, TypeError) as error:
            raise ModelFormatError(f"{dense.weights} holds no dense layer: {error}") from error

    def _load(self, dense):
        weights = load_file(dense.weights)
        out_features, in_features = weights["linear.weight"].shape
        self.linear = nn.Linear(in_features, out_features, bias="linear.bias" in weights)
        self.residual = None
        if dense.residual:
            self.residual = nn.Identity()
            if in_features != out_features:
                self.residual = nn.Linear(in_features, out_features, bias=False)
        self.load_state_dict(weights)
        self.activation = getattr(nn, dense.activation)()

    def forward(self, vectors):
        """(n_rows, in_features) -> (n_rows, out_features)."""
        output = self.activation(self.linear(vectors))
        return output if self.residual is None else output + self.residual(vectors)


class PieceModule(nn.Module):
    """A piece of a head: hidden states -> a row's vector, or a vector a token."""

    def __init__(self, piece):
        super().__init__()
        self.piece = piece
        self.dense = nn.Sequential(*(DenseLayer(dense) for dense in piece.dense))

    def pooled(self, states):
        """Pool the backbone's states, before any dense layer.

        They are tokens, (n_rows, n_tokens, n_hidden), or maps, (n_rows, n_channels, height, width).
        """
        piece = self.piece
        state = _tokens(states[piece.layers[0]].float())
        if not piece.pooling:
            return state
        pooled = [POOLINGS[name](state[:, piece.skip :], piece.skip) for name in piece.pooling]
        return torch.cat(pooled, dim=-1)

    def forward(self, states):
        """Turn the backbone's states into (n_rows, n_dims)."""
        return self.dense(self.pooled(states))


class Network(nn.Module):
    """Backbone and pieces, the whole way from network inputs to vectors."""

    def __init__(self, backbone, pieces):
        super().__init__()
        self.backbone = backbone
        self.pieces = nn.ModuleList(PieceModule(piece) for piece in pieces)
        self.eval()

    def forward(self, inputs):
        """Network inputs of rows of one shape -> (n_rows, n_dims) float32 for each piece."""
        states = self.backbone(inputs)
        return tuple(piece(states) for piece in self.pieces)
