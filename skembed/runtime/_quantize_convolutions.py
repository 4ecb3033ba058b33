"""Convolutions in 8-bit integers, with scales learned from rows.

The states between layers are rounded to 256 levels, over ranges that were found in `fit` by running
rows through the network in float32. A scale that is fixed is no neighbor's matter: sums of
integers are exact, so a row's vector does not depend on its batch by a bit. Weights have a scale
for each channel and take 7 of the 8 bits, for the reason given in `_quantize`.

ONNX Runtime finds the operators between two roundings and computes them in integers.

Imports onnx inside functions: a graph that is already there runs without it.
"""

import os
import tempfile
from pathlib import Path

import numpy as np
import onnxruntime

from skembed.exceptions import ExportError
from skembed.runtime._quantize_products import is_product

_MAX_STATE, _MAX_WEIGHT = 255, 63
# Operators that are computed in integers, and those that a rounding takes in.
_COMPUTED = {"Conv", "Add", "MaxPool"}
_ACTIVATIONS = {"Relu", "Clip"}


def has_products(path):
    """Tell whether a graph has products with weights, which `_quantize.quantize` is for."""
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
        Prepared rows.

    Returns
    -------
    ranges : tuple of (str, float, float)
        Name of the state, smallest and largest value.
    """
    import onnx
    from onnx.helper import make_node, make_tensor_value_info

    with tempfile.TemporaryDirectory() as scratch:
        model = _simplified(path, scratch)
        names = _rounded(model.graph)
        del model.graph.output[:]
        for kind in ("ReduceMin", "ReduceMax"):
            for name in names:
                model.graph.node.append(make_node(kind, [name], [f"{name}/{kind}"], keepdims=0))
                model.graph.output.append(
                    make_tensor_value_info(f"{name}/{kind}", onnx.TensorProto.FLOAT, [])
                )
        session = onnxruntime.InferenceSession(model.SerializeToString(), _options())
    given = session.get_inputs()[0].name
    found = np.array([session.run(None, {given: item[None]}) for item in inputs])
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
    import onnx
    from onnx import numpy_helper

    with tempfile.TemporaryDirectory() as scratch:
        model = _simplified(path, scratch)
    graph = model.graph
    names = _rounded(graph)
    if names != [name for name, *_ in ranges]:
        raise ExportError("the ranges found in fit are those of another graph: fit again")
    arrays = {}
    scales = {}
    for name, low, high in ranges:
        scales[name], arrays[f"{name}/zero"] = _scale_and_zero(low, high)
        arrays[f"{name}/scale"] = scales[name]
    weights = {item.name: numpy_helper.to_array(item) for item in graph.initializer}
    given = graph.input[0].name
    nodes = _round_trip(given, f"{given}/rounded", given) if given in scales else []
    for node in graph.node:
        node.input[:] = [f"{given}/rounded" if i == given in scales else i for i in node.input]
        if node.op_type == "Conv":
            source = node.input[0].removesuffix("/rounded")
            nodes += _round_weights(node, weights, scales.get(source), arrays)
        rounded = [name for name in node.output if name in scales]
        node.output[:] = [f"{name}/exact" if name in rounded else name for name in node.output]
        nodes.append(node)
        for name in rounded:
            nodes += _round_trip(f"{name}/exact", name, name)
    copies = [onnx.NodeProto.FromString(node.SerializeToString()) for node in nodes]
    graph.ClearField("node")
    graph.node.extend(copies)
    used = {name for node in copies for name in node.input}
    kept = [item for item in graph.initializer if item.name in used]
    graph.ClearField("initializer")
    graph.initializer.extend(kept)
    graph.initializer.extend(numpy_helper.from_array(a, name) for name, a in arrays.items())
    graph.ClearField("value_info")
    data = f"{path}.data"
    os.unlink(data)  # onnx would append to it
    onnx.save(model, path, save_as_external_data=True, location=os.path.basename(data))


def _options():
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    return options


def _simplified(path, scratch):
    """Return the graph with batch norms and paddings folded into its convolutions."""
    import onnx

    # Beside the original, since the answer goes on using its file of weights.
    path, options = Path(path), _options()
    target = path.with_name(f".{Path(scratch).name}.onnx")
    options.optimized_model_filepath = str(target)
    try:
        onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        return onnx.load(target)
    finally:
        target.unlink(missing_ok=True)


def _rounded(graph):
    """Return the names of the states that go into and come out of what is computed in integers."""
    consumers = {}
    for node in graph.node:
        for name in node.input:
            consumers.setdefault(name, []).append(node)
    names, maps = {}, set()
    for node in graph.node:
        answer = node.output[0]
        states = node.input[:1] if node.op_type in ("Conv", *_ACTIVATIONS) else node.input
        if node.op_type != "Conv" and not maps.issuperset(states):
            continue  # not of maps: the arithmetic of shapes
        if node.op_type in _ACTIVATIONS:
            maps.add(answer)
        elif node.op_type in _COMPUTED:
            after = consumers.get(answer, [])
            maps.add(answer)
            if len(after) == 1 and after[0].op_type in _ACTIVATIONS:
                answer = after[0].output[0]
            names |= dict.fromkeys((*states, answer))
    return list(names)


def _scale_and_zero(low, high):
    """Return the step between 256 levels that hold low, zero and high, and the level of zero."""
    low, high = min(low, 0.0), max(high, 0.0)
    scale = np.float32(max(high - low, 1e-6) / _MAX_STATE)
    return scale, np.array(np.clip(np.rint(-low / scale), 0, _MAX_STATE), dtype=np.uint8)


def _round_trip(source, target, name):
    """Return the operators that round a state and scale it back."""
    from onnx.helper import make_node

    scale = [f"{name}/scale", f"{name}/zero"]
    return [
        make_node("QuantizeLinear", [source, *scale], [f"{name}/levels"]),
        make_node("DequantizeLinear", [f"{name}/levels", *scale], [target]),
    ]


def _round_weights(node, weights, scale, arrays):
    """Replace a convolution's weights and bias by integers; return what scales them back."""
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
    given = [f"{name}/weights", f"{name}/steps", f"{name}/zeros"]
    nodes = [make_node("DequantizeLinear", given, [f"{name}/kernel"], axis=0)]
    node.input[1] = f"{name}/kernel"
    if len(node.input) > 2 and node.input[2] in weights:
        bias_steps = (steps * scale).astype(np.float32)
        bias = np.clip(np.rint(weights[node.input[2]] / bias_steps), -(2**31) + 1, 2**31 - 1)
        arrays |= {f"{name}/bias": bias.astype(np.int32), f"{name}/bias_steps": bias_steps}
        given = [f"{name}/bias", f"{name}/bias_steps"]
        nodes.append(make_node("DequantizeLinear", given, [f"{name}/shift"], axis=0))
        node.input[2] = f"{name}/shift"
    return nodes
