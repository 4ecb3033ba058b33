"""Matrix products in 8-bit integers, with a scale of its own for each token.

A product of states and weights becomes

    scale = max |states| / 127, of each token
    (states / scale, rounded) x (weights / scales of their columns, rounded) x scales x scale

so that a token's answer depends on nothing but the token: sums of integers are exact in any
order, and no scale is shared with neighbors. Weights take 7 of the 8 bits, because the sum of two
products must fit into 16 bits on processors without dot products of 8-bit numbers (AVX2 without
VNNI); so every processor gives the same answer.

Imports onnx inside functions: a graph that is already there runs without it.
"""

import os

import numpy as np

from skembed.exceptions import ExportError

_MAX_STATE, _MAX_WEIGHT = 127, 63
_CONTRIB = "com.microsoft"
_CONSTANTS = {
    "int8/axis": np.array([-1], dtype=np.int64),
    "int8/one": np.array(1, dtype=np.float32),
    "int8/step": np.array(1 / _MAX_STATE, dtype=np.float32),
    "int8/tiny": np.array([np.finfo(np.float32).tiny * 256], dtype=np.float32),
    "int8/zero": np.array(128, dtype=np.uint8),  # states are stored from 1 to 255
}


def is_product(weights):
    """Tell whether an initializer is a layer's weights, (n_in, n_out); stems stay exact."""
    import onnx

    single = weights.data_type == onnx.TensorProto.FLOAT
    return len(weights.dims) == 2 and single and not weights.name.startswith("stem.")


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
        arrays[f"{name}/int8"], arrays[f"{name}/scales"] = _quantized(values)
    nodes, seen = [], set()
    for node in graph.node:
        if node not in products:
            nodes.append(node)
            continue
        states, name = node.input
        if states not in seen:  # queries, keys and values are made of the same states
            nodes += _quantize_states(states)
            seen.add(states)
        nodes += _product(states, name, node.output[0])
    graph.ClearField("node")
    graph.node.extend(nodes)
    used = {name for node in nodes for name in node.input}
    kept = [item for item in graph.initializer if item.name in used]
    graph.ClearField("initializer")
    graph.initializer.extend(kept)
    graph.initializer.extend(numpy_helper.from_array(a, name) for name, a in arrays.items())
    if all(item.domain != _CONTRIB for item in model.opset_import):
        model.opset_import.append(onnx.helper.make_opsetid(_CONTRIB, 1))
    data = f"{path}.data"
    os.unlink(data)  # onnx would append to it
    onnx.save(model, path, save_as_external_data=True, location=os.path.basename(data))


def _quantized(weights):
    """Return (n_in, n_out) weights as integers, and the scale of each column."""
    scales = np.maximum(np.abs(weights).max(axis=0), np.finfo(np.float32).tiny) / _MAX_WEIGHT
    return np.rint(weights / scales).astype(np.int8), scales.astype(np.float32)


def _quantize_states(name):
    """Return the operators that make of states their integers and the scale of each token."""
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


def _product(states, weights, answer):
    """Return the operators that multiply integers and scale the answer."""
    from onnx.helper import make_node

    given = [f"{states}/int8/values", f"{weights}/int8", "int8/one", f"{weights}/scales"]
    summed = f"{answer}/int8/summed"
    return [
        make_node(
            "MatMulIntegerToFloat",  # its scale of the states cannot be one for each token
            [*given, "int8/zero"],
            [summed],
            domain=_CONTRIB,
        ),
        make_node("Mul", [summed, f"{states}/int8/scale"], [answer]),
    ]
