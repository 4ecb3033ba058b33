"""An ONNX graph that was made elsewhere as a backbone, so that heads can be joined to it.

Its states are the outputs of the graph, in float32. Imports onnx inside functions.
"""

from dataclasses import dataclass
from os import PathLike

from skembed.exceptions import ModelFormatError
from skembed.runtime._graph_writer import Writer, opset_of
from skembed.runtime._initializers import load_whole, save_with_weights, subgraphs

# Names in joined graphs begin with these; values of the graph that do so are renamed.
_RESERVED = ("state_", "piece_", "head", "tokens/", "dense_", "vectors")
_MIN_IR = 8  # before version 4, constants had to be inputs


@dataclass(frozen=True)
class ExternalGraph:
    """A graph in a file; see `ensure_written`."""

    path: str | PathLike

    reference = None  # there is nothing to compare with

    def __str__(self):
        return str(self.path)

    def write(self, path):
        """Write the graph with its outputs as states, and its weights; return their number.

        Raises
        ------
        ModelFormatError
            If the graph cannot be read, or nothing can be appended to it.
        """
        import onnx

        model = load_whole(self.path)
        opset = opset_of(model)
        _rename_reserved(model.graph)
        weights = {item.name for item in model.graph.initializer}
        inputs = [item for item in model.graph.input if item.name not in weights]
        del model.graph.input[:]
        model.graph.input.extend(inputs)
        n_states = len(model.graph.output)
        _add_states(model.graph, opset)
        model = onnx.helper.make_model(
            model.graph,
            opset_imports=model.opset_import,
            functions=model.functions,
            ir_version=max(_MIN_IR, model.ir_version),
        )
        save_with_weights(model, path)
        return n_states


def _add_states(graph, opset):
    """Replace the outputs of a graph with states in float32."""
    from onnx import TensorProto
    from onnx.helper import make_tensor_value_info

    add = Writer(graph, "state", opset)
    outputs = list(graph.output)
    del graph.output[:]
    for number, item in enumerate(outputs):
        kind = item.type.tensor_type
        if not kind.HasField("shape"):  # no head takes it
            continue
        name = f"state_{number}"
        if kind.elem_type == TensorProto.FLOAT:
            add("Identity", item.name, output=name)
        else:
            add("Cast", item.name, output=name, to=TensorProto.FLOAT)
        shape = [None] * len(kind.shape.dim)
        graph.output.append(make_tensor_value_info(name, TensorProto.FLOAT, shape))


def _rename_reserved(graph):
    """Rename the values of a graph whose names the head will use."""
    weights = {item.name for item in graph.initializer}
    given = {item.name for item in graph.input} - weights
    reserved = [name for name in given if name.startswith(_RESERVED)]
    if reserved:
        raise ModelFormatError(
            f"The graph has the input {reserved[0]!r}, a name that skembed uses itself: rename it."
        )
    for part in subgraphs(graph):
        for node in part.node:
            for names in (node.input, node.output):
                names[:] = [_free(name) for name in names]
        for item in (*part.initializer, *part.value_info, *part.input, *part.output):
            item.name = _free(item.name)
        for item in part.sparse_initializer:
            item.values.name = _free(item.values.name)


def _free(name):
    """Return a name that no head uses."""
    return f"graph/{name}" if name.startswith(_RESERVED) else name
