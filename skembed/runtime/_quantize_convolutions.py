"""Convolutions in 8-bit integers, with scales found by calibration.

The states between layers are rounded to 256 levels. `fit` finds their ranges: it runs rows through
the network in float32. As the scales are fixed and sums of integers are exact, the vector of a row
does not depend on the other rows of its batch. Weights have one scale for each channel and use 7 of
the 8 bits, for the reason given in `_quantize_products`.

The graph is written with a rounding (QuantizeLinear, DequantizeLinear) after each state. ONNX
Runtime computes the operators between two roundings in integers.

Imports onnx inside functions: a graph that is already exported runs without it.
"""

import uuid
from pathlib import Path

import numpy as np
import onnxruntime

from skembed.exceptions import ExportError
from skembed.runtime._initializers import replace_nodes, save_with_weights
from skembed.runtime._quantize_products import is_product

_MAX_STATE, _MAX_WEIGHT = 255, 63
# Operators computed in integers, and those that ONNX Runtime merges into a rounding.
_COMPUTED = {"Conv", "Add", "MaxPool"}
_ACTIVATIONS = {"Relu", "Clip"}


def has_products(path):
    """Tell whether a graph has products with weights, which `_quantize_products` rewrites."""
    import onnx

    graph = onnx.load(path, load_external_data=False).graph
    weights = {item.name for item in graph.initializer if is_product(item)}
    return any(node.op_type == "MatMul" and node.input[1] in weights for node in graph.node)


def ranges_of(path, inputs):
    """Return the smallest and largest value of each state that is rounded.

    Parameters
    ----------
    path : path
        The backbone's graph, in float32.
    inputs : list of ndarray
        Prepared rows, one array each, without the axis of the batch.

    Returns
    -------
    ranges : tuple of (str, float, float)
        Name of the state, smallest and largest value.
    """
    import onnx
    from onnx.helper import make_node, make_tensor_value_info

    model = _simplified(path)
    names = _rounded(model.graph)
    del model.graph.output[:]
    for kind in ("ReduceMin", "ReduceMax"):
        for name in names:
            model.graph.node.append(make_node(kind, [name], [f"{name}/{kind}"], keepdims=0))
            model.graph.output.append(
                make_tensor_value_info(f"{name}/{kind}", onnx.TensorProto.FLOAT, [])
            )
    session = onnxruntime.InferenceSession(model.SerializeToString(), _options())
    source = session.get_inputs()[0].name
    found = np.array([session.run(None, {source: item[None]}) for item in inputs])
    low, high = found[:, : len(names)].min(axis=0), found[:, len(names) :].max(axis=0)
    return tuple(zip(names, low.tolist(), high.tolist(), strict=True))


def quantize_convolutions(path, ranges):
    """Rewrite a graph so that its convolutions are computed in integers.

    Parameters
    ----------
    path : path
        The graph; its weights are in ``<path>.data``. Both files are replaced.
    ranges : tuple of (str, float, float)
        As `ranges_of` found them.

    Raises
    ------
    ExportError
        If the graph is not the one that the ranges were found in.
    """
    model = _simplified(path)
    graph = model.graph
    names = _rounded(graph)
    if names != [name for name, *_ in ranges]:
        raise ExportError("the ranges found in fit are those of another graph: fit again")
    arrays, scales = {}, {}
    for name, low, high in ranges:
        scales[name], arrays[f"{name}/zero"] = _scale_and_zero(low, high)
        arrays[f"{name}/scale"] = scales[name]
    replace_nodes(graph, _with_roundings(graph, scales, arrays), arrays)
    graph.ClearField("value_info")
    save_with_weights(model, path)


def _with_roundings(graph, scales, arrays):
    """Return the operators of a graph with roundings after its states.

    Parameters
    ----------
    graph : onnx.GraphProto
        The graph; its operators are changed.
    scales : dict of str to float32
        The scale of each state that is rounded.
    arrays : dict of str to ndarray
        Receives the integers of weights and biases.
    """
    from onnx import numpy_helper

    weights = {item.name: numpy_helper.to_array(item) for item in graph.initializer}
    source = graph.input[0].name
    nodes = _round_trip(source, f"{source}/rounded", source) if source in scales else []
    for node in graph.node:
        node.input[:] = [f"{source}/rounded" if i == source in scales else i for i in node.input]
        if node.op_type == "Conv":
            state = node.input[0].removesuffix("/rounded")
            nodes += _round_weights(node, weights, scales.get(state), arrays)
        rounded = [name for name in node.output if name in scales]
        # The rounded state takes over the name, so that the operators after it need no change.
        node.output[:] = [f"{name}/exact" if name in rounded else name for name in node.output]
        nodes.append(node)
        for name in rounded:
            nodes += _round_trip(f"{name}/exact", name, name)
    return nodes


def _options():
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    return options


def _simplified(path):
    """Return the graph with batch norms and paddings folded into its convolutions."""
    import onnx

    # Written beside the original, because the result refers to the original's file of weights.
    path, options = Path(path), _options()
    target = path.with_name(f".{uuid.uuid4().hex}.onnx")
    options.optimized_model_filepath = str(target)
    try:
        onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        return onnx.load(target)
    finally:
        target.unlink(missing_ok=True)


def _rounded(graph):
    """Return the names of the states that are inputs or outputs of operators in integers.

    The activation after such an operator belongs to it: its output is rounded instead.
    """
    consumers = {}
    for node in graph.node:
        for name in node.input:
            consumers.setdefault(name, []).append(node)
    names, maps = {}, set()  # names in order; outputs of convolutions and of what follows them
    for node in graph.node:
        output = node.output[0]
        states = node.input[:1] if node.op_type in ("Conv", *_ACTIVATIONS) else node.input
        if node.op_type != "Conv" and not maps.issuperset(states):
            continue  # not a map: arithmetic of shapes
        if node.op_type in _ACTIVATIONS:
            maps.add(output)
        elif node.op_type in _COMPUTED:
            after = consumers.get(output, [])
            maps.add(output)
            if len(after) == 1 and after[0].op_type in _ACTIVATIONS:
                output = after[0].output[0]
            names |= dict.fromkeys((*states, output))
    return list(names)


def _scale_and_zero(low, high):
    """Return the scale of 256 levels from `low` to `high`, and the level of 0.

    The range is extended to include 0, which paddings and activations need exactly.
    """
    low, high = min(low, 0.0), max(high, 0.0)
    scale = np.float32(max(high - low, 1e-6) / _MAX_STATE)
    return scale, np.array(np.clip(np.rint(-low / scale), 0, _MAX_STATE), dtype=np.uint8)


def _round_trip(source, target, name):
    """Return the operators that round a state to levels and scale these back."""
    from onnx.helper import make_node

    scale = [f"{name}/scale", f"{name}/zero"]
    return [
        make_node("QuantizeLinear", [source, *scale], [f"{name}/levels"]),
        make_node("DequantizeLinear", [f"{name}/levels", *scale], [target]),
    ]


def _round_weights(node, weights, scale, arrays):
    """Replace the weights and bias of a convolution by integers; return operators for its scales.

    Nothing is done if its input is not rounded or its weights are computed.
    """
    from onnx.helper import make_node

    if scale is None or node.input[1] not in weights:
        return []
    name = node.output[0]
    values = weights[node.input[1]]
    largest = np.abs(values).max(axis=tuple(range(1, values.ndim)))
    steps = (np.maximum(largest, 1e-12) / _MAX_WEIGHT).astype(np.float32)
    levels = np.rint(values / steps.reshape(-1, *[1] * (values.ndim - 1))).astype(np.int8)
    arrays |= {f"{name}/weights": levels, f"{name}/steps": steps}
    arrays[f"{name}/zeros"] = np.zeros(len(steps), dtype=np.int8)
    inputs = [f"{name}/weights", f"{name}/steps", f"{name}/zeros"]
    nodes = [make_node("DequantizeLinear", inputs, [f"{name}/kernel"], axis=0)]
    node.input[1] = f"{name}/kernel"
    if len(node.input) > 2 and node.input[2] in weights:
        bias_steps = (steps * scale).astype(np.float32)
        bias = np.clip(np.rint(weights[node.input[2]] / bias_steps), -(2**31) + 1, 2**31 - 1)
        arrays |= {f"{name}/bias": bias.astype(np.int32), f"{name}/bias_steps": bias_steps}
        inputs = [f"{name}/bias", f"{name}/bias_steps"]
        nodes.append(make_node("DequantizeLinear", inputs, [f"{name}/shift"], axis=0))
        node.input[2] = f"{name}/shift"
    return nodes
