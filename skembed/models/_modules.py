"""Torch modules of a network: the backbone and the pieces of a head (layer, pooling, dense layers).

`_head` concatenates the vectors of pieces, for all backends. `base._poolings` contains the
poolings, for torch and for ONNX graphs.

All rows of a batch have the same number of tokens (see `base._threads`). So there is no padding and
no mask, and the vector of a row does not depend on other rows.

This module imports torch; it is imported only when a network is loaded.
"""

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from skembed.base._poolings import POOLINGS
from skembed.exceptions import ModelFormatError


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
        pooled = [
            POOLINGS[name].torch(state[:, piece.skip :], piece.skip) for name in piece.pooling
        ]
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
