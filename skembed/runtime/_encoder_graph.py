"""Build the ONNX graph of a transformer from its config and weights, without torch.

`EncoderWriter` has the layers that families of transformers have in common; a family describes in
which order it computes them, and how its weights are named. Imports onnx inside functions: a graph
that is already exported runs without it.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from skembed.base._poolings import ints
from skembed.runtime._graph_writer import Writer
from skembed.runtime._initializers import save_with_weights

_OPSET, _CONTRIB, _IR_VERSION = 20, "com.microsoft", 9
# Activations by their names in a config: an operator and its attributes.
ACTIVATIONS: dict[str, tuple[str, dict[str, Any]]] = {
    "gelu": ("Gelu", {}),
    "gelu_new": ("Gelu", {"approximate": "tanh"}),
    "gelu_pytorch_tanh": ("Gelu", {"approximate": "tanh"}),
    "relu": ("Relu", {}),
    "tanh": ("Tanh", {}),
}


@dataclass(frozen=True)
class NativeGraph:
    """A network whose graph is built from its weights.

    Parameters
    ----------
    encoder : object
        Its method ``append`` takes an `EncoderWriter`, the config and the name of the input, and
        appends the layers. Their states are ``state_0``, ``state_1``, ...; it returns how many
        there are.
    config : dict
        Content of ``config.json``.
    read : callable
        Takes the name of a tensor and its shape, returns it as float32 array.
    """

    encoder: Any
    config: Any
    read: Any

    def write(self, path, input_name):
        """Write the graph to a file, its weights to ``<path>.data``; return the number of states.

        The same config and weights give the same bytes, whatever libraries are installed.
        """
        from onnx import TensorProto, helper

        ids = helper.make_tensor_value_info(input_name, TensorProto.INT64, ["rows", "tokens"])
        graph = helper.make_graph([], "network", [ids], [])
        n_states = self.encoder.append(EncoderWriter(graph, self.read), self.config, input_name)
        graph.output.extend(
            helper.make_tensor_value_info(
                f"state_{i}", TensorProto.FLOAT, ["rows", "tokens", "dims"]
            )
            for i in range(n_states)
        )
        opsets = [helper.make_opsetid("", _OPSET), helper.make_opsetid(_CONTRIB, 1)]
        model = helper.make_model(graph, opset_imports=opsets, ir_version=_IR_VERSION)
        model.producer_name = "skembed"
        save_with_weights(model, path)
        return n_states


class EncoderWriter(Writer):
    """Append the layers of a transformer to a graph.

    Parameters
    ----------
    graph : onnx.GraphProto
        Changed in place.
    read : callable
        Takes the name of a tensor and its shape, returns it as float32 array.
    """

    def __init__(self, graph, read):
        super().__init__(graph, "encoder", _OPSET)
        self.read = read

    def weight(self, name, *shape):
        """Append a tensor of the network as a constant of the same name."""
        return self.constant(self.read(name, shape), name)

    def linear(self, states, name, n_in, n_out, bias=True):
        """Append a linear layer."""
        matrix = np.ascontiguousarray(self.read(f"{name}.weight", (n_out, n_in)).T)
        product = self("MatMul", states, self.constant(matrix, f"{name}.weight"))
        return self("Add", product, self.weight(f"{name}.bias", n_out)) if bias else product

    def norm(self, states, name, n_dims, epsilon, bias=True, output=None):
        """Append a layer norm."""
        parts = [self.weight(f"{name}.weight", n_dims)]
        if bias:
            parts.append(self.weight(f"{name}.bias", n_dims))
        return self("LayerNormalization", states, *parts, epsilon=epsilon, output=output)

    def activation(self, states, name):
        """Append an activation by its name in a config."""
        operator, attributes = ACTIVATIONS[name]
        return self(operator, states, **attributes)

    def attention(self, query, key, value, n_heads, n_dims, bias=""):
        """Append attention among all tokens of a row; `bias` is added to its scores."""
        return self(
            "MultiHeadAttention",
            *(query, key, value, "", "", bias),
            domain=_CONTRIB,
            num_heads=n_heads,
            scale=(n_dims // n_heads) ** -0.5,
        )

    def rotated(self, states, angles, n_heads):
        """Append the rotation of the states of each head by their positions."""
        return self(
            "RotaryEmbedding", states, ints(0), *angles, domain=_CONTRIB, num_heads=n_heads
        )

    def split(self, states, n_parts):
        """Append the parts of states, of equal length."""
        return self("Split", states, n_outputs=n_parts, num_outputs=n_parts, axis=-1)

    def n_tokens(self, ids):
        """Append the number of tokens of a row, of shape (1,)."""
        return self("Shape", ids, start=1, end=2)
