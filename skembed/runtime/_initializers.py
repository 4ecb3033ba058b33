"""Rewrite an ONNX graph whose weights are in a file beside it: operators, initializers, saving.

The modules that quantize graphs use this one. Imports onnx inside functions: a graph that is
already exported runs without it.
"""

from pathlib import Path


def replace_nodes(graph, nodes, arrays):
    """Replace the operators of a graph, and with them its initializers.

    Initializers that no operator takes any more are dropped.

    Parameters
    ----------
    graph : onnx.GraphProto
        Changed in place.
    nodes : list of onnx.NodeProto
        The new operators, in the order of computation. Some may be operators of `graph`.
    arrays : dict of str to ndarray
        New initializers, by name.
    """
    import onnx
    from onnx import numpy_helper

    # Copied, because clearing the field may invalidate the graph's own operators among them.
    copies = [onnx.NodeProto.FromString(node.SerializeToString()) for node in nodes]
    graph.ClearField("node")
    graph.node.extend(copies)
    used = {name for node in copies for name in node.input}
    kept = [item for item in graph.initializer if item.name in used]
    graph.ClearField("initializer")
    graph.initializer.extend(kept)
    graph.initializer.extend(numpy_helper.from_array(a, name) for name, a in arrays.items())


def save_with_weights(model, path):
    """Save a model with its weights in ``<path>.data``; both files are replaced.

    Small weights stay in the graph. If all of them are small, there is no ``<path>.data``.

    Parameters
    ----------
    model : onnx.ModelProto
        The model; its weights are loaded.
    path : path
        The file of the graph.
    """
    import onnx

    data = Path(f"{path}.data")
    data.unlink(missing_ok=True)  # onnx would append to it
    onnx.save(model, path, save_as_external_data=True, location=data.name)
