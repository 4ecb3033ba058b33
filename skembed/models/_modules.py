"""The torch side of a network: backbone -> the pieces of a head (layer -> pool -> dense).

Imports torch, and so imported only when a network is loaded. What joins pieces to vectors is in
`_head`, for all backends. The poolings are in `_poolings`, for torch and for ONNX graphs.

Rows of a batch all have the same number of tokens (see `runtime._schedule`), so that there is no
padding and no mask anywhere, and a row's vector cannot depend on its neighbors.
"""

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from skembed.exceptions import ModelFormatError
from skembed.models._poolings import POOLINGS


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
        answer = self.activation(self.linear(vectors))
        return answer if self.residual is None else answer + self.residual(vectors)


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
        pooled = [
            POOLINGS[name].torch(state[:, piece.skip :], piece.skip) for name in piece.pooling
        ]
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
