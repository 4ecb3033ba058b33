"""The torch side of a network: backbone -> layers -> pool -> dense -> truncate -> normalise.

The one module of this package that imports torch, and so imported only when a network is loaded.
One graph is what torch runs, what is exported and what ONNX Runtime runs.

Rows of a batch all have the same number of tokens (see `runtime._schedule`), so that there is no
padding and no mask anywhere, and a row's vector cannot depend on its neighbours.
"""

import torch
from safetensors.torch import load_file
from torch import nn

# Hidden states (n_rows, n_tokens, n_dims) -> (n_rows, n_dims).
POOLINGS = {
    "mean": lambda states: states.mean(dim=1),
    "cls": lambda states: states[:, 0],
    "max": lambda states: states.amax(dim=1),
    "mean_sqrt_len": lambda states: states.sum(dim=1) / _n_tokens(states).sqrt(),
    "weighted_mean": lambda states: _weighted_mean(states),
    "last": lambda states: states[:, -1],
}


def _n_tokens(states):
    # Counted from the tensor, not from its shape: an exported graph must count anew each time.
    return torch.ones_like(states[:1, :, :1]).sum(dim=1)


def _weighted_mean(states):
    """Average tokens with weights 1, 2, 3, ... (Muennighoff, SGPT, 2022)."""
    weights = torch.arange(1, states.shape[1] + 1, dtype=states.dtype, device=states.device)
    return (states * weights[:, None]).sum(dim=1) / weights.sum()


class DenseLayer(nn.Module):
    """A linear layer and its activation, as Sentence Transformers saves them."""

    def __init__(self, dense):
        super().__init__()
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
        """Turn chosen states, (n_rows, n_tokens, n_hidden) each, into (n_rows, n_dims)."""
        head = self.head
        joined = torch.cat(states, dim=-1)
        if not head.pooling:
            return joined.float()
        joined = joined.float()[:, head.skip :]
        vectors = torch.cat([POOLINGS[name](joined) for name in head.pooling], dim=-1)
        vectors = self.dense(vectors)
        if head.truncate_dim is not None:
            vectors = vectors[:, : head.truncate_dim]
        if head.normalize:
            vectors = nn.functional.normalize(vectors, dim=-1)
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
