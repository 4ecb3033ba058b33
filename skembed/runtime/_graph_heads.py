"""The pieces of a head as ONNX operators, appended to the graph of a backbone without torch.

The poolings are in `base._poolings`, for torch and for graphs. Imports onnx inside functions: a
graph that is already exported runs without it.
"""

from skembed.base._poolings import POOLINGS, floats, ints
from skembed.runtime._graph_writer import Writer, opset_of
from skembed.runtime._initializers import graphs_inside


def join(backbone, pieces, dense, head=None):
    """Append the pieces of a head to the graph of a backbone, in place.

    Parameters
    ----------
    backbone : onnx.ModelProto
        Its outputs are ``state_0``, ``state_1``, ... Its weights need not be loaded.
    pieces : list of Head
        The pieces. Their layers are counted from 0.
    dense : callable
        Returns the ``onnx.ModelProto`` of a piece's dense layers (see `_graph_dense`).
    head : Head, default=None
        How the pieces are joined to one output, ``vectors``. None: one output for each piece,
        ``piece_0``, ``piece_1``, ...
    """
    graph, opset = backbone.graph, opset_of(backbone)
    n_axes = {item.name: len(item.type.tensor_type.shape.dim) for item in graph.output}
    tokens = {}  # of each state
    names = []
    for number, piece in enumerate(pieces):
        add = Writer(graph, f"head_{number}", opset)
        state = f"state_{piece.layers[0]}"
        if state not in tokens:
            tokens[state] = _tokens(Writer(graph, f"tokens/{state}", opset), state, n_axes[state])
        pooled = _pooled(add, tokens[state], piece)
        if piece.dense:
            pooled = _append(graph, dense(piece), pooled, f"dense_{number}/")
        names.append(add("Identity", pooled, output=f"piece_{number}"))
    if head is not None:
        names = [_finished(Writer(graph, "head", opset), names, head)]
    _set_outputs(graph, names)
    _prune(graph)
    for node in graph.node:  # these name the source files of the exporting machine
        del node.metadata_props[:]
        node.doc_string = ""
    graph.doc_string = ""


def keep_output(graph, name):
    """Leave one output in a graph, and what it needs."""
    kept = [type(item).FromString(item.SerializeToString()) for item in graph.output]
    del graph.output[:]
    graph.output.extend(item for item in kept if item.name == name)
    _prune(graph)


def _prune(graph):
    """Remove what no output needs, such as the layers above the pooled ones.

    ONNX Runtime runs all operators of a graph, whether an output needs them or not.
    """
    needed, kept = {item.name for item in graph.output}, []
    for node in reversed(graph.node):
        if needed.intersection(node.output):
            kept.append(node)
            needed.update(node.input)
            needed.update(_used_inside(node))
            needed.discard("")  # stands for an input that is left out
    weights = [item for item in graph.initializer if item.name in needed]
    for field, items in ((graph.node, reversed(kept)), (graph.initializer, weights)):
        items = [type(item).FromString(item.SerializeToString()) for item in items]
        del field[:]
        field.extend(items)


def _used_inside(node):
    """Yield the names of values that the graphs inside a node use; any outer value may be one."""
    for graph in graphs_inside(node):
        yield from (item.name for item in graph.output)
        for inner in graph.node:
            yield from inner.input


def _tokens(add, state, n_axes):
    """Turn a map, (n_rows, n_channels, height, width), into tokens; return tokens unchanged."""
    if n_axes != 4:
        return state
    return add("Transpose", add("Reshape", state, ints(0, 0, -1)), perm=[0, 2, 1])


def _pooled(add, states, piece):
    if not piece.pooling:
        return states
    if piece.skip:
        states = add("Slice", states, ints(piece.skip), ints(2**62), ints(1))
    pooled = [POOLINGS[name].graph(add, states, piece.skip) for name in piece.pooling]
    return pooled[0] if len(pooled) == 1 else add("Concat", *pooled, axis=-1)


def _append(graph, model, source, prefix):
    """Append a model with one input and one output to a graph; return the name of the output."""
    import onnx

    part = onnx.compose.add_prefix(model, prefix).graph
    graph.node.append(onnx.helper.make_node("Identity", [source], [part.input[0].name]))
    graph.node.extend(part.node)
    graph.initializer.extend(part.initializer)
    return part.output[0].name


def _finished(add, names, head):
    """Join, project, truncate and normalize vectors, as `Head.finished` does."""
    vectors = names[0] if len(names) == 1 else add("Concat", *names, axis=1)
    if head.projection is not None:
        vectors = add("MatMul", vectors, head.projection.matrix)
    cut = head.truncate_dim is not None
    if cut and not head.truncate_last:
        vectors = add("Slice", vectors, ints(0), ints(head.truncate_dim), ints(1))
    if head.normalize:
        lengths = add("ReduceL2", vectors, ints(1), keepdims=1)
        vectors = add("Div", vectors, add("Max", lengths, floats(1e-12)))
    if cut and head.truncate_last:
        vectors = add("Slice", vectors, ints(0), ints(head.truncate_dim), ints(1))
    return add("Identity", vectors, output="vectors")


def _set_outputs(graph, names):
    from onnx import TensorProto
    from onnx.helper import make_tensor_value_info

    del graph.output[:]
    graph.output.extend(make_tensor_value_info(name, TensorProto.FLOAT, None) for name in names)
