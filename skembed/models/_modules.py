"""Torch modules of a network: the backbone and the pieces of a head (layer, pooling, dense layers).

`_head` concatenates the vectors of pieces, for all backends. `runtime._graph_heads` writes the same
poolings into ONNX graphs; an export compares the results of both.

All rows of a batch have the same number of tokens (see `base._threads`). So there is no padding and
no mask, and the vector of a row does not depend on other rows.

This module imports torch; it is imported only when a network is loaded.
"""

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from skembed.exceptions import ModelFormatError


def _counted(states):
    """Return 1, 2, 3, ..., n_tokens.

    They are computed from a tensor, not from its shape: an exported graph then computes them for
    each input instead of storing a constant.
    """
    return torch.ones_like(states[0, :, 0]).cumsum(dim=0)


def _weighted(weights, states):
    """Return the sum of the tokens with weights (n_tokens,).

    This is a matrix product for each row instead of a reduction. In ONNX Runtime, the order of
    additions then does not depend on the number of rows, so results agree to the bit.
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
    """Return the generalized mean with exponent 3 (Radenović et al., 2018).

    It lies between mean and maximum. States are clipped to positive values before the cube root.
    """
    return _mean(states.clamp(min=1e-6) ** 3, skip) ** (1 / 3)


# Functions of the states (n_rows, n_tokens, n_dims) after `skip` skipped tokens; they return
# (n_rows, n_dims).
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
    """Convert maps (n_rows, n_channels, height, width) to tokens; return tokens unchanged."""
    return state.flatten(2).transpose(1, 2) if state.ndim == 4 else state


class DenseLayer(nn.Module):
    """A linear layer and its activation, as Sentence Transformers saves them."""

    def __init__(self, dense):
        super().__init__()
        try:
            self._load(dense)
        except (SafetensorError, KeyError, ValueError, RuntimeError, TypeError) as error:
            raise ModelFormatError(f"{dense.weights} contains no dense layer: {error}") from error

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
        """Map vectors (n_rows, in_features) to (n_rows, out_features)."""
        output = self.activation(self.linear(vectors))
        return output if self.residual is None else output + self.residual(vectors)


class PieceModule(nn.Module):
    """A piece of a head: computes one vector per row or per token from the hidden states."""

    def __init__(self, piece):
        super().__init__()
        self.piece = piece
        self.dense = nn.Sequential(*(DenseLayer(dense) for dense in piece.dense))

    def pooled(self, states):
        """Pool the states of the backbone, before dense layers.

        States are tokens (n_rows, n_tokens, n_hidden) or maps (n_rows, n_channels, height, width).
        """
        piece = self.piece
        state = _tokens(states[piece.layers[0]].float())
        if not piece.pooling:
            return state
        pooled = [POOLINGS[name](state[:, piece.skip :], piece.skip) for name in piece.pooling]
        return torch.cat(pooled, dim=-1)

    def forward(self, states):
        """Map the states of the backbone to vectors (n_rows, n_dims)."""
        return self.dense(self.pooled(states))


class Network(nn.Module):
    """Backbone and pieces: computes vectors from network inputs."""

    def __init__(self, backbone, pieces):
        super().__init__()
        self.backbone = backbone
        self.pieces = nn.ModuleList(PieceModule(piece) for piece in pieces)
        self.eval()

    def forward(self, inputs):
        """Map network inputs of one shape to vectors (n_rows, n_dims) float32 of each piece."""
        states = self.backbone(inputs)
        return tuple(piece(states) for piece in self.pieces)
