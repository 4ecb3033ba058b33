"""Transformers whose graph is built without torch: what each family computes, in which order.

An encoder appends its layers to a graph with an `EncoderWriter` (see `runtime._encoder_graph`).
Names of weights and of settings are those of transformers, and so are the defaults of settings that
a config leaves out. `supports` tells whether a config asks for nothing else. Imports `base`.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from skembed.base._poolings import ints

_BUCKETS, _MAX_DISTANCE = 32, 128  # of the distances of MPNet
_ACTIVATIONS = ("gelu", "gelu_new", "gelu_pytorch_tanh", "relu")
_ONE, _ZERO = np.array(1, dtype=np.int64), np.array(0, dtype=np.int64)

# Settings of BERT and its relatives.
_DEFAULTS = {
    "vocab_size": 30522,
    "hidden_size": 768,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "intermediate_size": 3072,
    "hidden_act": "gelu",
    "max_position_embeddings": 512,
    "type_vocab_size": 2,
    "layer_norm_eps": 1e-12,
    "pad_token_id": 1,  # read only where positions start after it
}
# What other values of these settings mean is not built.
_REQUIRED = {
    "is_decoder": False,
    "is_encoder_decoder": False,
    "add_cross_attention": False,
    "position_embedding_type": "absolute",
}


@dataclass(frozen=True)
class PostNormEncoder:
    """A transformer whose norms follow the sums of states: BERT and its relatives.

    Parameters
    ----------
    layer : str
        Beginning of the names of a layer's weights, with ``{}`` for its number.
    query, key, value, combine : str
        The linear layers of attention.
    attention_norm : str
        The norm after attention.
    expand, contract : str
        The linear layers after attention; the activation is between them.
    norm : str
        The norm at the end of the layer.
    token_types : bool, default=True
        Whether there is a table of token types.
    positions_after_padding : bool, default=False
        Whether positions are counted from the id after that of the padding token, which has none
        itself.
    padding : int, default=None
        Id of the padding token. None: the setting ``pad_token_id``.
    relative_positions : str, default=None
        Table of what the distance of two tokens adds to their score.
    defaults : dict, default={}
        Defaults of settings that differ from those of BERT.
    keys : dict, default={}
        Names of settings that differ from those of BERT.
    """

    layer: str
    query: str
    key: str
    value: str
    combine: str
    attention_norm: str
    expand: str
    contract: str
    norm: str
    token_types: bool = True
    positions_after_padding: bool = False
    padding: int | None = None
    relative_positions: str | None = None
    defaults: Mapping = field(default_factory=dict)
    keys: Mapping = field(default_factory=dict)

    # The tensor by which the beginning of all names in a file is found.
    first = "embeddings.word_embeddings.weight"

    def _settings(self, config):
        known = _DEFAULTS | self.defaults
        return {
            name: config.get(self.keys.get(name, name), default) for name, default in known.items()
        }

    def supports(self, config):
        """Whether the graph of a config can be built."""
        return self._settings(config)["hidden_act"] in _ACTIVATIONS and all(
            config.get(name, value) == value for name, value in _REQUIRED.items()
        )

    def append(self, add, config, ids):
        """Append the network to a graph."""
        settings = self._settings(config)
        scores = self._relative(add, settings) if self.relative_positions else ""
        states = self._embedded(add, settings, ids)
        for number in range(settings["num_hidden_layers"]):
            add.state(number, states, settings["hidden_size"])
            states = self._layer(add, settings, states, self.layer.format(number), scores)
        add.state(settings["num_hidden_layers"], states, settings["hidden_size"])

    def _embedded(self, add, settings, ids):
        n_dims = settings["hidden_size"]
        words = add.weight(self.first, settings["vocab_size"], n_dims)
        shape = settings["max_position_embeddings"], n_dims
        positions = add.read("embeddings.position_embeddings.weight", shape)
        if self.token_types:  # all tokens are of the first type
            shape = settings["type_vocab_size"], n_dims
            positions = positions + add.read("embeddings.token_type_embeddings.weight", shape)[0]
        if self.positions_after_padding:
            padding = np.int64(settings["pad_token_id"] if self.padding is None else self.padding)
            real = add("Cast", add("Not", add("Equal", ids, padding)), to=7)
            counted = add("Mul", add("CumSum", real, _ONE), real)
            found = add("Gather", positions, add("Add", counted, padding))
        else:
            found = add("Slice", positions, ints(0), add.n_tokens, ints(0))
        states = add.flat(add("Add", add("Gather", words, ids), found), n_dims)
        return add.norm(states, "embeddings.LayerNorm", n_dims, settings["layer_norm_eps"])

    def _layer(self, add, settings, states, at, scores):
        n_dims, n_inner = settings["hidden_size"], settings["intermediate_size"]
        epsilon = settings["layer_norm_eps"]
        parts = [
            add.linear(states, at + name, n_dims, n_dims)
            for name in (self.query, self.key, self.value)
        ]
        attended = add.attention(parts, settings["num_attention_heads"], n_dims, scores=scores)
        attended = add.linear(attended, at + self.combine, n_dims, n_dims)
        states = add.norm(add("Add", attended, states), at + self.attention_norm, n_dims, epsilon)
        inner = add.linear(states, at + self.expand, n_dims, n_inner)
        inner = add.activation(inner, settings["hidden_act"])
        inner = add.linear(inner, at + self.contract, n_inner, n_dims)
        return add.norm(add("Add", inner, states), at + self.norm, n_dims, epsilon)

    def _relative(self, add, settings):
        """Append what the distances of tokens add to scores, (1, n_heads, n_tokens, n_tokens)."""
        n_heads, n_most = settings["num_attention_heads"], settings["max_position_embeddings"]
        n_buckets = settings["relative_attention_num_buckets"]
        table = add.read(self.relative_positions, (n_buckets, n_heads))
        distances = np.arange(1 - n_most, n_most)
        by_distance = np.ascontiguousarray(table[_bucket(distances)].T)
        positions = add("Range", _ZERO, add("Squeeze", add.n_tokens), _ONE)
        columns, rows = (add("Unsqueeze", positions, ints(axis)) for axis in (0, 1))
        index = add("Add", add("Sub", columns, rows), np.int64(n_most - 1))
        return add("Unsqueeze", add("Gather", by_distance, index, axis=1), ints(0))


def _bucket(distances):
    """Return MPNet's bucket of each distance of two tokens, from left to right."""
    n_of_sign, size = _BUCKETS // 2, np.abs(distances)
    n_exact = n_of_sign // 2
    with np.errstate(divide="ignore"):
        share = np.log(size.astype(np.float32) / np.float32(n_exact))
    share = share / np.float32(math.log(_MAX_DISTANCE / n_exact)) * np.float32(n_of_sign - n_exact)
    large = np.minimum(n_exact + np.maximum(share, 0).astype(np.int64), n_of_sign - 1)
    return np.where(distances > 0, n_of_sign, 0) + np.where(size < n_exact, size, large)


BERT = PostNormEncoder(
    layer="encoder.layer.{}.",
    query="attention.self.query",
    key="attention.self.key",
    value="attention.self.value",
    combine="attention.output.dense",
    attention_norm="attention.output.LayerNorm",
    expand="intermediate.dense",
    contract="output.dense",
    norm="output.LayerNorm",
)
XLM_ROBERTA = replace(BERT, positions_after_padding=True)
ROBERTA = replace(XLM_ROBERTA, defaults={"vocab_size": 50265})
MPNET = replace(
    XLM_ROBERTA,
    query="attention.attn.q",
    key="attention.attn.k",
    value="attention.attn.v",
    combine="attention.attn.o",
    attention_norm="attention.LayerNorm",
    token_types=False,
    padding=1,  # whatever the config says
    relative_positions="encoder.relative_attention_bias.weight",
    defaults={"vocab_size": 30527, "relative_attention_num_buckets": _BUCKETS},
)
DISTILBERT = PostNormEncoder(
    layer="transformer.layer.{}.",
    query="attention.q_lin",
    key="attention.k_lin",
    value="attention.v_lin",
    combine="attention.out_lin",
    attention_norm="sa_layer_norm",
    expand="ffn.lin1",
    contract="ffn.lin2",
    norm="output_layer_norm",
    token_types=False,
    defaults={"num_hidden_layers": 6},
    keys={
        "hidden_size": "dim",
        "num_hidden_layers": "n_layers",
        "num_attention_heads": "n_heads",
        "intermediate_size": "hidden_dim",
        "hidden_act": "activation",
        "layer_norm_eps": "",  # it has none, so the default counts
    },
)


class ModernEncoder:
    """ModernBERT: norms before the sums, rotated positions, gated layers, local attention."""

    first = "embeddings.tok_embeddings.weight"
    _defaults = {
        "vocab_size": 50368,
        "hidden_size": 768,
        "intermediate_size": 1152,
        "num_hidden_layers": 22,
        "num_attention_heads": 12,
        "hidden_activation": "gelu",
        "max_position_embeddings": 8192,
        "norm_eps": 1e-5,
        "norm_bias": False,
        "attention_bias": False,
        "mlp_bias": False,
        "local_attention": 128,
        "layer_types": None,
        "global_attn_every_n_layers": 3,
        "rope_parameters": None,
        "global_rope_theta": 160_000.0,
        "local_rope_theta": 10_000.0,
    }

    def _settings(self, config):
        settings = {name: config.get(name, value) for name, value in self._defaults.items()}
        if settings["layer_types"] is None:
            every = settings["global_attn_every_n_layers"]
            settings["layer_types"] = [
                "sliding_attention" if number % every else "full_attention"
                for number in range(settings["num_hidden_layers"])
            ]
        rotations = settings["rope_parameters"] or {}
        for name, theta in (("full", "global"), ("sliding", "local")):
            known = {"rope_theta": settings[f"{theta}_rope_theta"], "rope_type": "default"}
            settings[name] = known | (rotations.get(f"{name}_attention") or {})
        return settings

    def supports(self, config):
        """Whether the graph of a config can be built."""
        settings = self._settings(config)
        rotations = (settings["full"], settings["sliding"])
        return (
            settings["hidden_activation"] in _ACTIVATIONS
            and config.get("rope_scaling") is None
            and all(found["rope_type"] == "default" for found in rotations)
        )

    def append(self, add, config, ids):
        """Append the network to a graph."""
        settings = self._settings(config)
        n_dims, n_layers = settings["hidden_size"], settings["num_hidden_layers"]
        local = _outside(add, settings["local_attention"] // 2)
        kinds = {
            "full_attention": ("", self._angles(add, settings, settings["full"])),
            "sliding_attention": (local, self._angles(add, settings, settings["sliding"])),
        }
        words = add.weight(self.first, settings["vocab_size"], n_dims)
        states = add.flat(add("Gather", words, ids), n_dims)
        states = self._norm(add, settings, states, "embeddings.norm")
        for number in range(n_layers):
            add.state(number, states, n_dims)
            kind = kinds[settings["layer_types"][number]]
            states = self._layer(add, settings, states, number, kind)
        add.state(n_layers, self._norm(add, settings, states, "final_norm"), n_dims)

    def _norm(self, add, settings, states, name):
        return add.norm(
            states, name, settings["hidden_size"], settings["norm_eps"], settings["norm_bias"]
        )

    def _layer(self, add, settings, states, number, kind):
        scores, angles = kind
        n_dims, n_heads = settings["hidden_size"], settings["num_attention_heads"]
        at, bias = f"layers.{number}.", settings["attention_bias"]
        normed = self._norm(add, settings, states, f"{at}attn_norm") if number else states
        parts = add.split(add.linear(normed, f"{at}attn.Wqkv", n_dims, 3 * n_dims, bias), 3)
        attended = add.attention(parts, n_heads, n_dims, scores=scores, angles=angles)
        attended = add.linear(attended, f"{at}attn.Wo", n_dims, n_dims, bias)
        states = add("Add", states, attended)
        normed = self._norm(add, settings, states, f"{at}mlp_norm")
        n_inner, bias = settings["intermediate_size"], settings["mlp_bias"]
        inner, gate = add.split(add.linear(normed, f"{at}mlp.Wi", n_dims, 2 * n_inner, bias), 2)
        inner = add("Mul", add.activation(inner, settings["hidden_activation"]), gate)
        return add("Add", states, add.linear(inner, f"{at}mlp.Wo", n_inner, n_dims, bias))

    def _angles(self, add, settings, rotation):
        """Append cosines and sines of the angles of all positions, (n_positions, n_dims / 2)."""
        size = settings["hidden_size"] // settings["num_attention_heads"]
        exponents = np.arange(0, size, 2, dtype=np.float32) / np.float32(size)
        speeds = np.float32(1) / np.float32(rotation["rope_theta"]) ** exponents
        positions = np.arange(settings["max_position_embeddings"], dtype=np.float32)
        angles = positions[:, None] * speeds
        return [add.constant(function(angles)) for function in (np.cos, np.sin)]


def _outside(add, reach):
    """Append -inf for tokens farther apart than `reach`, (1, 1, n_tokens, n_tokens)."""
    positions = add("Range", _ZERO, add("Squeeze", add.n_tokens), _ONE)
    columns, rows = (add("Unsqueeze", positions, ints(*axes)) for axes in ((0, 1, 2), (0, 1, 3)))
    far = add("Greater", add("Abs", add("Sub", columns, rows)), np.int64(reach))
    lowest = np.float32(np.finfo(np.float32).min)
    return add("Where", far, lowest, np.float32(0))


MODERNBERT = ModernEncoder()
