"""The folder of an exported backbone: its files, the record of its export, graphs with heads.

    <folder>/backbone.onnx        the backbone's graph
    <folder>/backbone.onnx.data   its weights, which all graphs of the folder refer to
    <folder>/dense-<name>.onnx    a piece's dense layers
    <folder>/export.json          how each piece compares with torch; written last
    <folder>/<name>.onnx          backbone and some pieces

The pieces of a head (see `models._head`) are written into the backbone's graph without torch.
Imports onnx inside functions: a graph that is already there runs without it.
"""

import hashlib
import json
from pathlib import Path

from filelock import FileLock

from skembed.base._digest import digest, file_sha256
from skembed.base._folders import written_whole
from skembed.exceptions import ExportError
from skembed.runtime._graph_heads import join, keep_output
from skembed.runtime._initializers import load_whole

REPORT = "export.json"


def locked(folder):
    """Return a lock on a folder, which the system releases when the process ends."""
    folder.mkdir(parents=True, exist_ok=True)
    return FileLock(folder / "export.lock")


def record_of(folder):
    """Return what ``export.json`` says; None unless it and the backbone's files are there."""
    try:
        record = json.loads((folder / REPORT).read_text())
        whole = record["failed"] or _all_there(folder, "backbone.onnx", "backbone.onnx.data")
        return record if whole and isinstance(record["pieces"], dict) else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def digest_of_backbone(folder):
    return digest([file_sha256(folder / f"backbone.onnx{end}") for end in ("", ".data")])


def _all_there(folder, *files):
    return all((folder / file).exists() for file in files)


def dense_file(folder, piece):
    return folder / f"dense-{digest(piece.settings()['dense'])[:16]}.onnx"


def joined(folder, pieces, head=None, backbone=None):
    """Return the graph of backbone and pieces, serialized.

    `backbone` is another folder that the backbone is in.
    """
    import onnx

    # Not merge_models: it would look for the weights' file in the working folder.
    backbone = onnx.load((backbone or folder) / "backbone.onnx", load_external_data=False)
    join(backbone, pieces, lambda piece: onnx.load(dense_file(folder, piece)), head)
    model = onnx.helper.make_model(
        backbone.graph,
        opset_imports=backbone.opset_import,
        functions=backbone.functions,
        ir_version=backbone.ir_version,
    )
    return model.SerializeToString(deterministic=True)


def ensure_joined(folder, pieces, head=None):
    """Return the path of a graph of backbone and pieces; write it if necessary.

    Parameters
    ----------
    folder : pathlib.Path
        Where the backbone was exported to.
    pieces : list of Head
        Their layers are counted from 0. The graph's outputs are ``piece_0``, ``piece_1``, ...
    head : Head, default=None
        Joins them to the one output ``vectors``.

    Returns
    -------
    path : pathlib.Path
        Compared with its digest; made again if it is damaged.
    """
    name = digest([[piece.settings() for piece in pieces], head and head.settings()])[:16]
    graph = folder / f"{name}.onnx"
    mark = graph.with_suffix(".sha256")

    def is_whole():
        try:
            return file_sha256(graph) == mark.read_text()
        except (OSError, UnicodeDecodeError):
            return False

    if not is_whole():
        with locked(folder):
            if not is_whole():
                content = joined(folder, pieces, head)
                write(graph, content)
                write(mark, hashlib.sha256(content).hexdigest().encode())
    return graph


def write(path, content):
    """Write a file whole: see `written_whole`."""
    with written_whole(path) as file:
        file.write(content)


def write_standalone(graph, target, output=None):
    """Write a copy of a graph that contains its weights.

    Parameters
    ----------
    graph : path
        The graph; weights may lie beside it.
    target : path
        The new file. Weights over 1.5 GiB go to ``<target>.data``.
    output : str, default=None
        The output that the copy has. None: all.

    Raises
    ------
    ExportError
        If onnx cannot read the graph.
    """
    import onnx

    try:
        model = load_whole(graph)
    except Exception as error:
        raise ExportError(f"{graph} cannot be read: {error}") from error
    if output is not None:
        keep_output(model.graph, output)
    size = sum(len(tensor.raw_data) for tensor in model.graph.initializer)
    if size < 1.5 * 2**30:
        write(Path(target), model.SerializeToString())
    else:
        onnx.save(model, target, save_as_external_data=True, location=f"{Path(target).name}.data")
