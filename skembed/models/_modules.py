"""The torch side of a network: backbone -> layers -> pool -> dense -> truncate -> normalise.

The one module of this package that imports torch, and so imported only when a network is loaded.
One graph is what torch runs, what is exported and what ONNX Runtime runs.

Rows of a batch all have the same number of tokens (see `runtime._schedule`), so that there is no
padding and no mask anywhere, and a row's vector cannot depend on its neighbours.
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

    What follows a skipped prompt keeps the weights of its places, as in Sentence Transformers.
    """
    counted = _counted(states) + skip
    return _weighted(counted / counted.sum(), states)


def _gem(states, skip):
    """Take the generalised mean with exponent 3, between mean and maximum (Radenović et al., 2018).

    Of what is above zero: the others have no cube root that means anything.
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
        answer = self.activation(self.linear(vectors))
        return answer if self.residual is None else answer + self.residual(vectors)


class HeadModule(nn.Module):
    """What follows the backbone: its hidden states -> a row's vector, or a vector a token."""

    def __init__(self, head):
        super().__init__()
        self.head = head
        self.dense = nn.Sequential(*(DenseLayer(dense) for dense in head.dense))

    def forward(self, *states):
        """Turn chosen states into (n_rows, n_dims).

        They are tokens, (n_rows, n_tokens, n_hidden), or maps, (n_rows, n_channels, height, width).
        """
        head = self.head
        states = [_tokens(state.float()) for state in states]
        if not head.pooling:
            return torch.cat(states, dim=-1)
        # Layers of a convolutional network have sizes of their own: each is pooled by itself.
        vectors = torch.cat(
            [
                POOLINGS[name](state[:, head.skip :], head.skip)
                for name in head.pooling
                for state in states
            ],
            dim=-1,
        )
        vectors = self.dense(vectors)
        if head.truncate_dim is not None and not head.truncate_last:
            vectors = vectors[:, : head.truncate_dim]
        if head.normalize:
            vectors = nn.functional.normalize(vectors, dim=-1)
        if head.truncate_dim is not None and head.truncate_last:
            vectors = vectors[:, : head.truncate_dim]
        return vectors


class Network(nn.Module):
    """Backbone and head, the whole way from network inputs to vectors."""

    def __init__(self, backbone, head):
        super().__init__()
        self.backbone = backbone
        self.head = HeadModule(head)
        self.eval()

    def forward(self, inputs):
        """Network inputs of rows of one shape -> (n_rows, n_dims) float32."""
        states = self.backbone(inputs)
        return self.head(*(states[layer] for layer in self.head.head.layers))
