"""Take over an ONNX graph that was made elsewhere, so that heads can be joined to it.

The folder is that of an exported backbone (see `_export_folder`); the states are the outputs of the
graph, in float32. So heads are joined as to other backbones. There is no network of torch to
compare with: the record holds only the lengths of vectors. Imports onnx inside functions: a graph
that has been taken over runs without it.
"""

import json
import os
import tempfile
from pathlib import Path

from skembed.base._optional import import_optional
from skembed.exceptions import ModelFormatError
from skembed.runtime._export import known
from skembed.runtime._export_folder import (
    REPORT,
    dense_file,
    digest_of_backbone,
    joined,
    locked,
    record_of,
    write,
)
from skembed.runtime._graph_writer import Writer, opset_of
from skembed.runtime._initializers import load_whole, save_with_weights, subgraphs
from skembed.runtime._onnx import OnnxRunner

# Names in joined graphs begin with these; values of the graph that do so are renamed.
_RESERVED = ("state_", "piece_", "head", "tokens/", "dense_", "vectors")
_MIN_IR = 8  # before version 4, constants had to be inputs


def ensure_external(folder, pieces, graph, dense, probes, inputs, *, verify=False):
    """Return the record of a graph and its pieces; take the graph over if it is missing.

    Parameters
    ----------
    folder : pathlib.Path
        Where it is kept.
    pieces : list of Head
        Those that are asked for. Their layers are the outputs of the graph, counted from 0.
    graph : path
        The ``.onnx`` file. The files with its weights have been checked.
    dense : callable
        Returns the ``onnx.ModelProto`` of a piece's dense layers.
    probes : callable
        Returns network inputs, a list of arrays.
    inputs : dict
        Arguments of `OnnxRunner` that describe the inputs.
    verify : bool, default=False
        Whether to compare the files with their digests, and write them again if they are damaged.

    Returns
    -------
    found : dict
        As that of `ensure_exported`.

    Raises
    ------
    ModelFormatError
        If the graph cannot be read or run.
    MissingDependencyError
        If onnx is not installed.
    """
    found = known(folder, pieces, verify)
    if found is None:
        import_optional(
            "onnx",
            extra="torch",
            purpose=f"Pooling the output of {graph}",
            hint="Or: pip install onnx",
        )
        with locked(folder):
            found = known(folder, pieces, verify)
            if found is None:
                _take_over(folder, pieces, graph, dense, probes(), inputs)
                found = known(folder, pieces, verify=False)
    return found


def _take_over(folder, pieces, graph, dense, probes, inputs):
    """Write what is missing in the folder, and last its record."""
    record = record_of(folder)
    if record is None:
        n_states = _write_backbone(folder, graph)
        sha256 = digest_of_backbone(folder)
        record = {"failed": "", "sha256": sha256, "n_states": n_states, "pieces": {}}
    pieces = [piece.pieces(record["n_states"])[0] for piece in pieces]
    for piece in pieces:
        if piece.dense:
            content = dense(piece).SerializeToString(deterministic=True)
            write(dense_file(folder, piece), content)
    for piece, n_dims in zip(pieces, _lengths(folder, pieces, graph, probes, inputs), strict=True):
        record["pieces"][piece.name] = {"agrees": True, "reason": "", "n_dims": n_dims}
    write(folder / REPORT, json.dumps(record, indent=1).encode())


def _write_backbone(folder, graph):
    """Write the graph with its outputs as states, and its weights; return the number of states."""
    import onnx

    model = load_whole(graph)
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
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        path = Path(scratch, "backbone.onnx")
        save_with_weights(model, path)
        data = path.with_name("backbone.onnx.data")
        data.touch()  # there is none if all weights are small
        for file in (data, path):
            os.replace(file, folder / file.name)
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


def _lengths(folder, pieces, graph, probes, inputs):
    """Run the graph with pieces on probes; return the lengths of their vectors."""
    handle, path = tempfile.mkstemp(dir=folder, suffix=".onnx")
    os.close(handle)
    try:
        Path(path).write_bytes(joined(folder, pieces))
        outputs = tuple(f"piece_{i}" for i in range(len(pieces)))
        runner = OnnxRunner(path, outputs=outputs, **inputs)
        shapes = [[array.shape for array in found] for found in runner.run(probes, 1)]
    finally:
        os.unlink(path)
    for piece, found in zip(pieces, zip(*shapes, strict=True), strict=True):
        n_axes = 2 if piece.pooling else 3
        if any(len(shape) != n_axes for shape in found) or len({s[-1] for s in found}) > 1:
            raise ModelFormatError(
                f"{graph}: after pooling, its output has the shapes {list(found)} for inputs of "
                f"the shapes {[probe.shape for probe in probes]}; one vector per row, of one "
                "length, is needed."
            )
    return [int(shape[-1]) for shape in shapes[0]]
