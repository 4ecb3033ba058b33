"""Rewrite an ONNX graph whose weights are in a file beside it: operators, initializers, files.

The modules that quantize graphs or take over graphs made elsewhere use this one. Imports onnx
inside functions: a graph that is already exported runs without it.
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


def load_whole(path):
    """Return a model with its weights, also those in files beside it.

    onnx's own function refuses links, which the files in the hub's local cache are.

    Parameters
    ----------
    path : path
        The file of the graph. The paths of the files that it names have been checked, see
        `models._folder`.
    """
    import onnx

    model = onnx.load(path, load_external_data=False)
    for tensor in _tensors_of(model):
        if tensor.data_location == onnx.TensorProto.EXTERNAL:
            entries = {item.key: item.value for item in tensor.external_data}
            with open(Path(path).parent / entries["location"], "rb") as file:
                file.seek(int(entries.get("offset", 0)))
                tensor.raw_data = file.read(int(entries.get("length", -1)))
            del tensor.external_data[:]
            tensor.ClearField("data_location")
    return model


def subgraphs(graph):
    """Yield a graph, and the graphs inside its operators at any depth."""
    yield graph
    for node in graph.node:
        yield from graphs_inside(node)


def graphs_inside(node):
    """Yield the graphs inside an operator at any depth."""
    for attribute in node.attribute:
        if attribute.HasField("g"):
            yield from subgraphs(attribute.g)
        for graph in attribute.graphs:
            yield from subgraphs(graph)


def _tensors_of(model):
    """Yield all tensors of a model: initializers, and values of attributes."""
    nodes = [node for function in model.functions for node in function.node]
    graphs = list(subgraphs(model.graph)) + [part for node in nodes for part in graphs_inside(node)]
    for graph in graphs:
        yield from graph.initializer
        for sparse in graph.sparse_initializer:
            yield from (sparse.values, sparse.indices)
    for node in (*nodes, *(node for graph in graphs for node in graph.node)):
        for attribute in node.attribute:
            if attribute.HasField("t"):
                yield attribute.t
            yield from attribute.tensors
            for sparse in (attribute.sparse_tensor, *attribute.sparse_tensors):
                yield from (sparse.values, sparse.indices)
