"""Export of a network to ONNX, once for all processes, checked against torch.

A backbone is exported once, with the states of all its layers as outputs; each head that is asked
for (pooling, layers, ...) is a small graph joined to it, which shares the backbone's weights file:

    <folder>/backbone.onnx        the backbone's graph
    <folder>/backbone.onnx.data   its weights, which all graphs of the folder refer to
    <folder>/<name>.onnx          backbone and one head
    <folder>/<name>.json          how that graph compares with torch; written last

Imports torch and onnx inside functions: a graph that is already there runs without them.
"""

import contextlib
import hashlib
import json
import logging
import os
import tempfile
import warnings
from pathlib import Path

import numpy as np
from filelock import FileLock

from skembed._digest import file_sha256
from skembed._failures import reason_of
from skembed._optional import import_optional
from skembed.exceptions import ExportError
from skembed.runtime._convolutions import quantize_convolutions
from skembed.runtime._onnx import OnnxRunner
from skembed.runtime._quantize import quantize

_OPSET = 20
# What an export may differ by from torch in float32: largest difference and smallest cosine. In
# float32 it is rounding in another order of additions; in int8 the cosine alone judges.
_LIMITS = {"float32": (1e-4, 0.99999), "int8": (np.inf, 0.95)}


def ensure_exported(
    folder,
    name,
    make_network,
    probes,
    input_name,
    *,
    precision="float32",
    calibration=None,
    verify=False,
):
    """Return the report of a network's export, exporting it if nobody has.

    Parameters
    ----------
    folder : pathlib.Path
        Where the backbone's graphs are kept.
    name : str
        Of this network's graph.
    make_network : callable
        Returns the torch module: ``backbone`` and ``head``.
    probes : callable
        Returns inputs, a list of arrays, on which ONNX Runtime and torch are compared; axes whose
        sizes differ between them may vary in the graph, others are fixed.
    input_name : str
        Of the graph's input.
    precision : {"float32", "int8"}, default="float32"
        What the backbone's products are computed in; a folder holds one.
    calibration : tuple, default=None
        In int8, ranges of the states between convolutions (see `_convolutions`); None where matrix
        products are what is computed in integers.
    verify : bool, default=False
        Whether to compare the files with their digests, and export again if they are damaged.

    Returns
    -------
    report : dict
        ``agrees``, ``reason``, ``n_dims``, ``max_difference``, ``min_cosine``, and the digests of
        graph and weights, ``sha256`` and ``data_sha256``.

    Raises
    ------
    OSError
        If the folder cannot be written.
    """
    report = _report(folder, name, verify)
    if report is None:
        folder.mkdir(parents=True, exist_ok=True)
        # Held by one process at a time, let go by the system when its holder dies.
        with FileLock(folder / "export.lock"):
            report = _report(folder, name, verify)
            if report is None:
                report = _export(
                    folder, name, make_network(), probes(), input_name, precision, calibration
                )
                _write(folder / f"{name}.json", json.dumps(report, indent=1).encode())
    return report


def _report(folder, name, verify):
    """Return the report of an export; None unless the files that it speaks of are there."""
    graph, data = folder / f"{name}.onnx", folder / "backbone.onnx.data"
    try:
        report = json.loads((folder / f"{name}.json").read_text())
        if not report["agrees"]:
            return report
        if verify and file_sha256(data) != report["data_sha256"]:
            (folder / "backbone.onnx").unlink()  # to be exported again, with its weights
            return None
        whole = not verify or file_sha256(graph) == report["sha256"]
        return report if whole and _all_there(folder, graph.name, data.name) else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _all_there(folder, *files):
    return all((folder / file).exists() for file in files)


def _export(folder, name, network, probes, input_name, precision, calibration):
    import_optional("onnxscript", extra="torch", purpose="Exporting a network to ONNX")
    try:
        with _quiet():
            if not _all_there(folder, "backbone.onnx", "backbone.onnx.data"):
                _export_backbone(
                    folder, network.backbone, probes, input_name, precision, calibration
                )
            digest = _join_head(folder, name, network, probes)
        comparison = _compare(folder / f"{name}.onnx", network, probes, input_name, precision)
    except (OSError, MemoryError):  # of this moment, not of this network
        raise
    except Exception as error:  # the exporter raises whatever an operator raises
        return {"agrees": False, "reason": f"the export failed: {reason_of(error)}"}
    data_digest = file_sha256(folder / "backbone.onnx.data")
    return {"sha256": digest, "data_sha256": data_digest, **comparison}


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
                if _compare(path, _last_state(backbone), probes, input_name, output=last)["agrees"]:
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
    with torch.no_grad():
        n_states = len(backbone(tensor))
    states = [f"state_{i}" for i in range(n_states)]
    with backbone.attention(attention):
        program = _to_onnx(backbone, (tensor,), [input_name], states, (_varying(probes),))
    program.save(str(path), external_data=True)
    return states[-1]


def _join_head(folder, name, network, probes):
    """Export the head, join it to the backbone's graph, and return the digest of the result."""
    import onnx
    import torch

    with torch.no_grad():
        answers = [network.backbone(torch.from_numpy(probe)) for probe in probes]
    states = answers[0]
    chosen = [range(len(states))[layer] for layer in network.head.head.layers]
    inputs = [f"head_state_{i}" for i in range(len(chosen))]
    sizes = tuple(_varying([answer[i] for answer in answers]) for i in chosen)
    program = _to_onnx(
        network.head, tuple(states[i].contiguous() for i in chosen), inputs, ["vectors"], (sizes,)
    )
    # Not merge_models: it would look for the weights' file in the working folder.
    backbone = onnx.load(folder / "backbone.onnx", load_external_data=False)
    head = onnx.compose.add_prefix(program.model_proto, "head/")
    joints = [(f"state_{i}", f"head/{given}") for i, given in zip(chosen, inputs, strict=True)]
    graph = onnx.compose.merge_graphs(
        backbone.graph, head.graph, io_map=joints, outputs=["head/vectors"]
    )
    for node in graph.node:  # where in which file each operator came from
        del node.metadata_props[:]
        node.doc_string = ""
    graph.doc_string = ""
    model = onnx.helper.make_model(
        graph, opset_imports=backbone.opset_import, ir_version=backbone.ir_version
    )
    content = model.SerializeToString(deterministic=True)
    _write(folder / f"{name}.onnx", content)
    return hashlib.sha256(content).hexdigest()


def _last_state(backbone):
    return lambda inputs: backbone(inputs)[-1]


def _compare(path, network, probes, input_name, precision="float32", output=None):
    """Run the probes on both runtimes; say how far apart their vectors are."""
    import torch

    difference, cosine = 0.0, 1.0
    ours = list(OnnxRunner(path, input_name, output).run(probes, 1))
    for probe, vectors in zip(probes, ours, strict=True):
        with torch.inference_mode():
            reference = network(torch.from_numpy(probe)).numpy()
        scale = max(1.0, float(np.abs(reference).max()))
        # numpy's maximum and minimum, not Python's, to which a NaN is nothing.
        with np.errstate(invalid="ignore"):
            difference = float(np.maximum(difference, np.abs(vectors - reference).max() / scale))
            product = (vectors * reference).sum(-1, dtype=np.float64)
            lengths = np.linalg.norm(vectors.astype(np.float64), axis=-1)
            lengths = lengths * np.linalg.norm(reference.astype(np.float64), axis=-1)
            # Vectors of zeros have no direction; the difference alone judges them.
            cosines = np.divide(product, lengths, out=np.ones_like(product), where=lengths != 0)
            cosine = float(np.minimum(cosine, cosines.min()))
    max_difference, min_cosine = _LIMITS[precision]
    agrees = difference <= max_difference and cosine >= min_cosine
    reason = (
        ""
        if agrees
        else (
            f"ONNX Runtime in {precision} differs from torch by {difference:.2g} (limit "
            f"{max_difference:.0e}), cosine {cosine:.6f} (limit {min_cosine})"
        )
    )
    return {
        "agrees": agrees,
        "reason": reason,
        "n_dims": int(ours[0].shape[-1]),
        "max_difference": difference,
        "min_cosine": cosine,
    }


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
