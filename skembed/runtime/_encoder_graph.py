"""Build the ONNX graph of a transformer from its config and weights, without torch.

`EncoderWriter` has the layers that families of transformers have in common; a family describes in
which order it computes them, and how its weights are named. Imports onnx inside functions: a graph
that is already exported runs without it.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from skembed.base._poolings import floats, ints
from skembed.runtime._graph_writer import Writer
from skembed.runtime._initializers import save_with_weights
from skembed.runtime._quantize_products import MAX_STATE, TINY, ZERO, quantized

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
    """A graph that is built from a network's weights; see `ensure_written`.

    Parameters
    ----------
    encoder : object
        Its method ``append`` takes an `EncoderWriter`, the config and the name of the input, and
        appends the layers.
    config : dict
        Content of ``config.json``.
    read : callable
        Takes the name of a tensor and its shape, returns it as float32 array.
    input_name : str
        Name of the token ids.
    precision : {"float32", "int8"}, default="float32"
        What matrix products are computed in.
    """

    encoder: Any
    config: Any
    read: Any
    input_name: str
    precision: str = "float32"

    def __str__(self):
        return f"the network {self.config.get('model_type')!r}"

    @property
    def reference(self):
        """The graph in float32, for one in another precision."""
        return None if self.precision == "float32" else replace(self, precision="float32")

    def write(self, path):
        """Write the graph to a file, its weights to ``<path>.data``; return the number of states.

        The same config and weights give the same bytes, whatever libraries are installed.
        """
        from onnx import TensorProto, helper

        ids = helper.make_tensor_value_info(self.input_name, TensorProto.INT64, [None, None])
        graph = helper.make_graph([], "network", [ids], [])
        writer = _WRITERS[self.precision](graph, self.read, self.input_name)
        self.encoder.append(writer, self.config, self.input_name)
        opsets = [helper.make_opsetid("", _OPSET), helper.make_opsetid(_CONTRIB, 1)]
        model = helper.make_model(graph, opset_imports=opsets, ir_version=_IR_VERSION)
        model.producer_name = "skembed"
        save_with_weights(model, path)
        return len(graph.output)


class EncoderWriter(Writer):
    """Append the layers of a transformer to a graph.

    Inside the network, the tokens of all rows are one axis: states have the shape (n_rows *
    n_tokens, n_dims). Only attention needs the axis of the rows.

    Parameters
    ----------
    graph : onnx.GraphProto
        Changed in place.
    read : callable
        Takes the name of a tensor and its shape, returns it as float32 array.
    ids : str
        Name of the token ids, (n_rows, n_tokens).
    """

    def __init__(self, graph, read, ids):
        super().__init__(graph, "encoder", _OPSET)
        self.read, self.ids = read, ids
        self._shape = self("Shape", ids)
        # The number of tokens of a row, of shape (1,).
        self.n_tokens = self("Shape", ids, start=1, end=2)

    def weight(self, name, *shape):
        """Append a tensor of the network as a constant of the same name."""
        return self.constant(self.read(name, shape), name)

    def flat(self, states, n_dims):
        """Append the states of all tokens in one axis."""
        return self("Reshape", states, ints(-1, n_dims))

    def by_row(self, states, n_dims, output=None):
        """Append states of the shape (n_rows, n_tokens, n_dims)."""
        shape = self("Concat", self._shape, ints(n_dims), axis=0)
        return self("Reshape", states, shape, output=output)

    def state(self, number, states, n_dims):
        """Append an output of the graph, ``state_<number>``."""
        from onnx import TensorProto
        from onnx.helper import make_tensor_value_info

        output = self.by_row(states, n_dims, output=f"state_{number}")
        shape = [None, None, n_dims]
        self._graph.output.append(make_tensor_value_info(output, TensorProto.FLOAT, shape))

    def product(self, states, name, n_in, n_out):
        """Append the product of states and the matrix of a linear layer."""
        matrix = np.ascontiguousarray(self.read(f"{name}.weight", (n_out, n_in)).T)
        return self("MatMul", states, self.constant(matrix, f"{name}.weight"))

    def linear(self, states, name, n_in, n_out, bias=True):
        """Append a linear layer."""
        product = self.product(states, name, n_in, n_out)
        return self("Add", product, self.weight(f"{name}.bias", n_out)) if bias else product

    def norm(self, states, name, n_dims, epsilon, bias=True):
        """Append a layer norm."""
        parts = [self.weight(f"{name}.weight", n_dims)]
        if bias:
            parts.append(self.weight(f"{name}.bias", n_dims))
        return self("LayerNormalization", states, *parts, epsilon=epsilon)

    def activation(self, states, name):
        """Append an activation by its name in a config."""
        operator, attributes = ACTIVATIONS[name]
        return self(operator, states, **attributes)

    def attention(self, parts, n_heads, n_dims, *, scores="", angles=None):
        """Append attention among all tokens of a row.

        Parameters
        ----------
        parts : list of str
            Queries, keys and values.
        n_heads, n_dims : int
            The number of heads, and the length of all of them.
        scores : str, default=""
            Is added to the scores, (1, 1 or n_heads, n_tokens, n_tokens).
        angles : list of str, default=None
            Cosines and sines by which queries and keys are rotated, (n_positions, n_dims / 2).
        """
        parts = [self.by_row(part, n_dims) for part in parts]
        if angles is not None:
            rotate = {"domain": _CONTRIB, "num_heads": n_heads}
            parts[:2] = [
                self("RotaryEmbedding", part, ints(0), *angles, **rotate) for part in parts[:2]
            ]
        attended = self(
            "MultiHeadAttention",
            *(*parts, "", "", scores),
            domain=_CONTRIB,
            num_heads=n_heads,
            scale=(n_dims // n_heads) ** -0.5,
        )
        return self.flat(attended, n_dims)

    def split(self, states, n_parts):
        """Append the parts of states, of equal length."""
        return self("Split", states, n_outputs=n_parts, num_outputs=n_parts, axis=-1)


class IntegerWriter(EncoderWriter):
    """Append a transformer whose matrix products are computed in integers.

    What is computed is described in `_quantize_products`. As the tokens of all rows are one axis,
    one operator quantizes them, each with its own scale.
    """

    def __init__(self, graph, read, ids):
        super().__init__(graph, read, ids)
        self._quantized = {}  # states -> their integers, and the scale of each token
        self._one = self.constant(np.float32(1))
        self._zero = self.constant(ZERO)
        self._zeros = self("Expand", ZERO, self("Unsqueeze", self("Size", ids), ints(0)))

    def product(self, states, name, n_in, n_out):
        """Append the product of states and the matrix of a linear layer."""
        if states not in self._quantized:  # queries, keys and values have the same states
            self._quantized[states] = self._integers(states)
        integers, scales = self._quantized[states]
        matrix, of_columns = quantized(self.read(f"{name}.weight", (n_out, n_in)).T)
        weights = self.constant(matrix, f"{name}.weight")
        given = integers, weights, self._one, of_columns, self._zero
        return self("Mul", self("MatMulIntegerToFloat", *given, domain=_CONTRIB), scales)

    def _integers(self, states):
        """Append the integers of states, and the scale of each token, (n_rows * n_tokens, 1)."""
        largest = self("ReduceMax", states, ints(1), keepdims=0)
        smallest = self("ReduceMin", states, ints(1), keepdims=0)
        ranges = self("Max", largest, self("Neg", smallest), floats(TINY))
        scales = self("Mul", ranges, floats(1 / MAX_STATE))
        integers = self("QuantizeLinear", states, scales, self._zeros, axis=0)
        return integers, self("Unsqueeze", scales, ints(1))


_WRITERS = {"float32": EncoderWriter, "int8": IntegerWriter}
