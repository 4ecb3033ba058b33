"""Matrix products in 8-bit integers, with one scale for each token.

A product of states and weights becomes

    scale = max |states| / 127, for each token
    (states / scale, rounded) x (weights / scales of their columns, rounded) x scales x scale

So the result of a token depends on that token alone. Sums of integers are exact in any order, and
tokens share no scale. Weights use 7 of the 8 bits: processors without dot products of 8-bit numbers
(AVX2 without VNNI) add two products in 16 bits, which 8-bit weights could overflow. So all
processors compute the same result.

Imports onnx inside functions: a graph that is already exported runs without it.
"""

import numpy as np

from skembed.base._graph_names import STEM
from skembed.exceptions import ExportError
from skembed.runtime._initializers import replace_nodes, save_with_weights

MAX_STATE, _MAX_WEIGHT = 127, 63
TINY = np.finfo(np.float32).tiny * 256  # the smallest range of a token
ZERO = np.array(128, dtype=np.uint8)  # states are stored from 1 to 255
_CONTRIB = "com.microsoft"
_CONSTANTS = {
    "int8/axis": np.array([-1], dtype=np.int64),
    "int8/one": np.array(1, dtype=np.float32),
    "int8/step": np.array(1 / MAX_STATE, dtype=np.float32),
    "int8/tiny": np.array([TINY], dtype=np.float32),
    "int8/zero": ZERO,
}


def is_product(weights):
    """Tell whether an initializer is the weights of a layer, (n_in, n_out), to be quantized.

    The weights of preprocessing, such as the cosines of a spectrogram, stay in float32.
    """
    import onnx

    single = weights.data_type == onnx.TensorProto.FLOAT
    return len(weights.dims) == 2 and single and not weights.name.startswith(f"{STEM}.")


def quantize(path):
    """Rewrite a graph so that its products with weights are computed in integers.

    Parameters
    ----------
    path : path
        The graph; its weights are in ``<path>.data``. Both files are replaced.

    Raises
    ------
    ExportError
        If the graph has no product with weights.
    """
    import onnx
    from onnx import numpy_helper

    model = onnx.load(path)
    graph = model.graph
    weights = {item.name: item for item in graph.initializer if is_product(item)}
    products = [n for n in graph.node if n.op_type == "MatMul" and n.input[1] in weights]
    if not products:
        raise ExportError("there is no matrix product to compute in integers")
    arrays = dict(_CONSTANTS)
    for name in {node.input[1] for node in products}:
        values = numpy_helper.to_array(weights[name])
        arrays[f"{name}/int8"], arrays[f"{name}/scales"] = quantized(values)
    nodes, seen = [], set()
    for node in graph.node:
        if node not in products:
            nodes.append(node)
            continue
        states, name = node.input
        if states not in seen:  # queries, keys and values are computed from the same states
            nodes += _quantize_states(states)
            seen.add(states)
        nodes += _product(states, name, node.output[0])
    replace_nodes(graph, nodes, arrays)
    if all(item.domain != _CONTRIB for item in model.opset_import):
        model.opset_import.append(onnx.helper.make_opsetid(_CONTRIB, 1))
    save_with_weights(model, path)


def quantized(weights):
    """Return (n_in, n_out) weights as integers, and the scale of each column."""
    scales = np.maximum(np.abs(weights).max(axis=0), np.finfo(np.float32).tiny) / _MAX_WEIGHT
    return np.rint(weights / scales).astype(np.int8), scales.astype(np.float32)


def _quantize_states(name):
    """Return the operators that compute the integers of states and the scale of each token."""
    from onnx.helper import make_node

    def at(part):
        return f"{name}/int8/{part}"

    return [
        make_node("ReduceMax", [name, "int8/axis"], [at("max")], keepdims=1),
        make_node("ReduceMin", [name, "int8/axis"], [at("min")], keepdims=1),
        make_node("Neg", [at("min")], [at("negated")]),
        make_node("Max", [at("max"), at("negated"), "int8/tiny"], [at("range")]),
        make_node("Mul", [at("range"), "int8/step"], [at("scale")]),
        make_node("Div", [name, at("scale")], [at("divided")]),
        make_node("QuantizeLinear", [at("divided"), "int8/one", "int8/zero"], [at("values")]),
    ]


def _product(states, weights, output):
    """Return the operators that multiply integers and scale the result."""
    from onnx.helper import make_node

    inputs = [f"{states}/int8/values", f"{weights}/int8", "int8/one", f"{weights}/scales"]
    summed = f"{output}/int8/summed"
    return [
        make_node(
            "MatMulIntegerToFloat",  # takes one scale for all states; those of tokens follow
            [*inputs, "int8/zero"],
            [summed],
            domain=_CONTRIB,
        ),
        make_node("Mul", [summed, f"{states}/int8/scale"], [output]),
    ]
