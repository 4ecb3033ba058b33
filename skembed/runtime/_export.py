"""Export of a network to ONNX, once for all processes, checked against torch.

A backbone is exported once, with the states of all its layers as outputs. The pieces of a head
(see `models._head`) are written into its graph without torch:

    <folder>/backbone.onnx        the backbone's graph
    <folder>/backbone.onnx.data   its weights, which all graphs of the folder refer to
    <folder>/dense-<name>.onnx    a piece's dense layers
    <folder>/export.json          how each piece compares with torch; written last
    <folder>/<name>.onnx          backbone and some pieces

Imports torch and onnx inside functions: a graph that is already there runs without them.
"""

import contextlib
import hashlib
import json
import logging
import os
import tempfile
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
from filelock import FileLock

from skembed.base._digest import digest, file_sha256
from skembed.base._failures import reason_of
from skembed.base._optional import import_optional, require_optional
from skembed.exceptions import ExportError
from skembed.runtime._child import call_in_child
from skembed.runtime._graph_heads import join
from skembed.runtime._onnx import OnnxRunner
from skembed.runtime._quantize_convolutions import quantize_convolutions
from skembed.runtime._quantize_products import quantize

_OPSET = 20
# What an export may differ by from torch in float32: largest difference and smallest cosine. In
# float32 it is rounding in another order of additions; in int8 the cosine alone judges.
_LIMITS = {"float32": (1e-4, 0.99999), "int8": (np.inf, 0.95)}

# Whether torch runs in a process of its own, so that its memory is given back, and its warnings,
# logs and prints reach nobody. (Tests of small networks save the time that this takes.)
in_child = True

REPORT = "export.json"


def ensure_exported(
    folder,
    pieces,
    make_network,
    probes,
    input_name,
    *,
    poolings=(),
    precision="float32",
    calibration=None,
    verify=False,
    require=None,
):
    """Return what is known of a backbone's export and of pieces; export what nobody has.

    Parameters
    ----------
    folder : pathlib.Path
        Where the backbone's graphs are kept.
    pieces : list of Head
        Those that are asked for.
    make_network : callable
        Takes pieces and returns the torch module: ``backbone`` and ``pieces``.
    probes : callable
        Returns inputs, a list of arrays, on which ONNX Runtime and torch are compared; axes whose
        sizes differ between them may vary in the graph, others are fixed.
    input_name : str
        Of the graph's input.
    poolings : tuple of str, default=()
        Poolings that are checked for all layers when the backbone is exported, so that a later head
        needs no torch.
    precision : {"float32", "int8"}, default="float32"
        What the backbone's products are computed in; a folder holds one.
    calibration : tuple, default=None
        In int8, ranges of the states between convolutions (see `_convolutions`); None where matrix
        products are what is computed in integers.
    verify : bool, default=False
        Whether to compare the files with their digests, and export again if they are damaged.
    require : callable, default=None
        Called before an export: raises if a library is missing.

    Returns
    -------
    export : dict
        ``sha256``, of graph and weights, and ``n_states``, None where the export failed;
        ``verdicts``, for each of `pieces` a dict of ``agrees``, ``reason``, ``n_dims``,
        ``max_difference`` and ``min_cosine``, the last three only where it was compared.

    Raises
    ------
    OSError
        If the folder cannot be written.
    """
    export = _known(folder, pieces, verify)
    if export is None:
        job = (folder, pieces, make_network, probes, input_name, poolings, precision, calibration)
        with _locked(folder):
            export = _known(folder, pieces, verify)
            if export is None:
                if require is not None:
                    require()
                require_optional("onnxscript", extra="torch", purpose="Exporting a network to ONNX")
                call_in_child(_export, *job) if in_child else _export(*job)
                export = _known(folder, pieces, verify=False)
    return export


def _locked(folder):
    """Hold a folder: one process at a time; the system lets it go when its holder dies."""
    folder.mkdir(parents=True, exist_ok=True)
    return FileLock(folder / "export.lock")


def _record(folder):
    """Return what ``export.json`` says; None unless it and the backbone's files are there."""
    try:
        record = json.loads((folder / REPORT).read_text())
        whole = record["failed"] or _all_there(folder, "backbone.onnx", "backbone.onnx.data")
        return record if whole and isinstance(record["pieces"], dict) else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _known(folder, pieces, verify):
    """Return `ensure_exported`'s answer; None if there is something to do first."""
    record = _record(folder)
    if record is None:
        return None
    if verify and not record["failed"] and _digest_of_backbone(folder) != record["sha256"]:
        (folder / REPORT).unlink(missing_ok=True)
        (folder / "backbone.onnx").unlink()  # to be exported again, with its weights
        return None
    if record["failed"]:
        failed = {"agrees": False, "reason": record["failed"]}
        return {"sha256": None, "n_states": None, "verdicts": [failed] * len(pieces)}
    n_states = record["n_states"]
    names = [piece.pieces(n_states)[0].name for piece in pieces]
    if not all(name in record["pieces"] for name in names):
        return None
    verdicts = [record["pieces"][name] for name in names]
    return {"sha256": record["sha256"], "n_states": n_states, "verdicts": verdicts}


def _digest_of_backbone(folder):
    return digest([file_sha256(folder / f"backbone.onnx{end}") for end in ("", ".data")])


def _all_there(folder, *files):
    return all((folder / file).exists() for file in files)


def _export(folder, pieces, make_network, probes, input_name, poolings, precision, calibration):
    """Export the backbone if it is not there; compare pieces with torch; write what was found."""
    record = _record(folder)
    network, probes = make_network(pieces), probes()
    with _quiet():
        if record is None:
            record = {"failed": "", "sha256": None, "n_states": None, "pieces": {}}
            with _verdict(record, "failed"):
                _export_backbone(
                    folder, network.backbone, probes, input_name, precision, calibration
                )
                record["n_states"] = len(_states(network.backbone, probes[0]))
                record["sha256"] = _digest_of_backbone(folder)
        n_states = record["n_states"]
        if not record["failed"]:
            pieces = [piece.pieces(n_states)[0] for piece in pieces]
            compared = _compared(folder, network, pieces, probes, input_name, precision)
            others = [
                replace(pieces[0], layers=(i,), pooling=(name,), skip=0, dense=())
                for i in range(n_states)
                for name in poolings
                if not record["pieces"]
            ]
            if others:
                compared |= _compared(folder, network, others, probes, input_name, precision)
            record["pieces"] |= compared
    _write(folder / REPORT, json.dumps(record, indent=1).encode())


@contextlib.contextmanager
def _verdict(found, name):
    """Enter why a block failed as ``found[name]``, unless that says nothing of the network."""
    try:
        yield
    except (OSError, MemoryError):  # of this moment
        raise
    except Exception as error:  # the exporter raises whatever an operator raises
        found[name] = f"the export failed: {reason_of(error)}"


def _compared(folder, network, pieces, probes, input_name, precision):
    """Return the verdict on each piece, by its name."""
    network = type(network)(network.backbone, pieces)
    failed = {}
    with _verdict(failed, "reason"):
        for piece, module in zip(pieces, network.pieces, strict=True):
            if piece.dense:
                _export_dense(folder, piece, module, _states(network.backbone, probes[0]))
        handle, graph = tempfile.mkstemp(dir=folder, suffix=".onnx")
        os.close(handle)
        try:
            Path(graph).write_bytes(_joined(folder, pieces))
            outputs = tuple(f"piece_{i}" for i in range(len(pieces)))
            found = _compare(graph, network, probes, input_name, outputs, precision)
        finally:
            os.unlink(graph)
        return {piece.name: verdict for piece, verdict in zip(pieces, found, strict=True)}
    return {piece.name: {"agrees": False, **failed} for piece in pieces}


@contextlib.contextmanager
def _quiet():
    """Silence the exporter's warnings and logs for a block, and put them back."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "torch.fx")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def _to_onnx(module, arguments, input_names, output_names, dynamic_shapes):
    import torch

    with torch.inference_mode(False), torch.no_grad():
        return torch.onnx.export(
            module.eval(),
            arguments,
            dynamo=True,
            opset_version=_OPSET,
            input_names=input_names,
            output_names=output_names,
            dynamic_shapes=dynamic_shapes,
            verbose=False,
        )


def _export_backbone(folder, backbone, probes, input_name, precision, calibration):
    """Export the backbone in the fastest way that agrees with torch."""
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        path = Path(scratch, "backbone.onnx")
        *fused, plain = backbone.attentions
        for attention in fused:
            with contextlib.suppress(Exception):  # whatever the exporter or the runtime raises
                last = _save_backbone(path, backbone, attention, probes, input_name)
                (found,) = _compare(path, _last_state(backbone), probes, input_name, (last,))
                if found["agrees"]:
                    break
        else:
            _save_backbone(path, backbone, plain, probes, input_name)
        if calibration is not None:
            quantize_convolutions(path, calibration)
        elif precision == "int8":
            quantize(path)
        for file in ("backbone.onnx.data", "backbone.onnx"):
            os.replace(path.parent / file, folder / file)


def _varying(arrays):
    """Return the axes whose sizes differ between arrays, as the exporter wants to be told."""
    import torch

    sizes = zip(*(array.shape for array in arrays), strict=True)
    return {i: torch.export.Dim.DYNAMIC for i, found in enumerate(sizes) if len(set(found)) > 1}


def _save_backbone(path, backbone, attention, probes, input_name):
    """Write the backbone's graph and weights; return the name of its last output."""
    import torch

    tensor = torch.from_numpy(probes[0])
    states = [f"state_{i}" for i in range(len(_states(backbone, probes[0])))]
    with backbone.attention(attention):
        program = _to_onnx(backbone, (tensor,), [input_name], states, (_varying(probes),))
    program.save(str(path), external_data=True)
    return states[-1]


def _states(backbone, probe):
    import torch

    with torch.no_grad():
        return backbone(torch.from_numpy(probe))


def _dense_file(folder, piece):
    return folder / f"dense-{digest(piece.settings()['dense'])[:16]}.onnx"


def _export_dense(folder, piece, module, states):
    """Write the dense layers of a piece as a graph of their own."""
    import torch

    with torch.no_grad():
        pooled = module.pooled(states)
    sizes = ({0: torch.export.Dim.DYNAMIC},)
    given = torch.cat([pooled, pooled])
    program = _to_onnx(module.dense, (given,), ["pooled"], ["answer"], sizes)
    content = program.model_proto.SerializeToString(deterministic=True)
    _write(_dense_file(folder, piece), content)


def _joined(folder, pieces, head=None):
    """Return the graph of backbone and pieces, serialized."""
    onnx = import_optional("onnx", extra="torch", purpose="Another head of an exported network")
    # Not merge_models: it would look for the weights' file in the working folder.
    backbone = onnx.load(folder / "backbone.onnx", load_external_data=False)
    join(backbone, pieces, lambda piece: onnx.load(_dense_file(folder, piece)), head)
    model = onnx.helper.make_model(
        backbone.graph, opset_imports=backbone.opset_import, ir_version=backbone.ir_version
    )
    return model.SerializeToString(deterministic=True)


def ensure_joined(folder, pieces, head=None):
    """Return the path of the graph of an exported backbone and some pieces; write it if need be.

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
        with _locked(folder):
            if not is_whole():
                content = _joined(folder, pieces, head)
                _write(graph, content)
                _write(mark, hashlib.sha256(content).hexdigest().encode())
    return graph


def _last_state(backbone):
    return lambda inputs: (backbone(inputs)[-1],)


def _compare(path, network, probes, input_name, outputs, precision="float32"):
    """Run the probes on both runtimes; return a verdict on each output."""
    import torch

    found = [{"agrees": True, "max_difference": 0.0, "min_cosine": 1.0} for _ in outputs]
    ours = OnnxRunner(path, input_name, outputs).run(probes, 1)
    for probe, answers in zip(probes, ours, strict=True):
        with torch.inference_mode():
            references = network(torch.from_numpy(probe))
        for verdict, vectors, reference in zip(found, answers, references, strict=True):
            difference, cosine = _difference(vectors, reference.numpy())
            # numpy's maximum and minimum, not Python's, to which a NaN is nothing.
            verdict["max_difference"] = float(np.maximum(verdict["max_difference"], difference))
            verdict["min_cosine"] = float(np.minimum(verdict["min_cosine"], cosine))
            verdict["n_dims"] = int(vectors.shape[-1])
    max_difference, min_cosine = _LIMITS[precision]
    for verdict in found:
        difference, cosine = verdict["max_difference"], verdict["min_cosine"]
        verdict["agrees"] = bool(difference <= max_difference and cosine >= min_cosine)
        verdict["reason"] = (
            ""
            if verdict["agrees"]
            else (
                f"ONNX Runtime in {precision} differs from torch by {difference:.2g} (limit "
                f"{max_difference:.0e}), cosine {cosine:.6f} (limit {min_cosine})"
            )
        )
    return found


def _difference(vectors, reference):
    """Return the largest difference and the smallest cosine of two arrays of vectors."""
    scale = max(1.0, float(np.abs(reference).max()))
    with np.errstate(invalid="ignore"):
        difference = np.abs(vectors - reference).max() / scale
        product = (vectors * reference).sum(-1, dtype=np.float64)
        lengths = np.linalg.norm(vectors.astype(np.float64), axis=-1)
        lengths = lengths * np.linalg.norm(reference.astype(np.float64), axis=-1)
        # Vectors of zeros have no direction; the difference alone judges them.
        cosines = np.divide(product, lengths, out=np.ones_like(product), where=lengths != 0)
    return difference, cosines.min()


def _write(path, content):
    """Write a file whole: aside first, then renamed."""
    handle, aside = tempfile.mkstemp(dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(aside, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(aside)
        raise


def write_standalone(graph, target):
    """Write a copy of a graph that carries its weights within it.

    Parameters
    ----------
    graph : path
        The graph; weights may lie beside it.
    target : path
        The new file. Weights over 1.5 GiB go to ``<target>.data``.

    Raises
    ------
    ExportError
        If onnx cannot read the graph.
    """
    onnx = import_optional("onnx", extra="torch", purpose="export()")
    try:
        model = onnx.load(graph)
    except Exception as error:
        raise ExportError(f"{graph} cannot be read: {error}") from error
    size = sum(len(tensor.raw_data) for tensor in model.graph.initializer)
    if size < 1.5 * 2**30:
        _write(Path(target), model.SerializeToString())
    else:
        onnx.save(model, target, save_as_external_data=True, location=f"{Path(target).name}.data")
