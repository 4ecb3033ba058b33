"""Export a network from torch to ONNX and compare the two: the job of `export`.

Imports torch inside functions. Runs in a process of its own, see `_child`.
"""

import contextlib
import json
import logging
import os
import tempfile
import warnings
from dataclasses import replace
from pathlib import Path

from skembed.base._failures import reason_of
from skembed.runtime._compare import add_difference, judge, new_verdict
from skembed.runtime._export_folder import (
    REPORT,
    dense_file,
    digest_of_backbone,
    joined,
    record_of,
    write,
)
from skembed.runtime._onnx import OnnxRunner
from skembed.runtime._precisions import PRECISIONS
from skembed.runtime._reexport import CannotReuse

_OPSET = 20


def export(
    folder, pieces, make_network, probes, input_name, poolings, precision, ranges, reuse=None
):
    """Export the backbone if it is missing, compare pieces with torch, write the record.

    With `reuse`, which writes the graph of a backbone to a path, torch's exporter is not called,
    and nothing is recorded unless all agrees; otherwise CannotReuse is raised.
    """
    record = record_of(folder)
    network, probes = make_network(pieces), probes()
    with _quiet() if reuse is None else contextlib.nullcontext():
        if record is None:
            record = {"failed": "", "sha256": None, "n_states": None, "pieces": {}}
            with _verdict(record, "failed"):
                given = (network.backbone, probes, input_name, precision, ranges, reuse)
                _export_backbone(folder, *given)
                record["n_states"] = len(_states(network.backbone, probes[0]))
                record["sha256"] = digest_of_backbone(folder)
        n_states = record["n_states"]
        if not record["failed"]:
            pieces = [piece.pieces(n_states)[0] for piece in pieces]
            given = (probes, input_name, precision, reuse is not None)
            compared = _compared(folder, network, pieces, *given)
            others = [
                replace(pieces[0], layers=(i,), pooling=(name,), skip=0, dense=())
                for i in range(n_states)
                for name in poolings
                if not record["pieces"]
            ]
            if others:
                compared |= _compared(folder, network, others, *given)
            record["pieces"] |= compared
    if reuse is not None:
        _check_reused(record, pieces)
    write(folder / REPORT, json.dumps(record, indent=1).encode())


def _check_reused(record, pieces):
    """Raise CannotReuse if an export failed, or one of these pieces does not agree."""
    failed = [record["failed"]]
    if not failed[0]:
        failed = [record["pieces"][piece.name]["reason"] for piece in pieces]
    if any(failed):
        raise CannotReuse(next(filter(None, failed)))


@contextlib.contextmanager
def _verdict(found, name):
    """Store the reason of a failure in ``found[name]``; pass on errors of disk and memory."""
    try:
        yield
    except (OSError, MemoryError):  # not caused by the network
        raise
    except Exception as error:  # the exporter passes on any error of an operator
        found[name] = f"the export failed: {reason_of(error)}"


def _compared(folder, network, pieces, probes, input_name, precision, reused):
    """Compare pieces with torch; return the verdicts by name."""
    network = type(network)(network.backbone, pieces)
    failed = {}
    with _verdict(failed, "reason"):
        for piece, module in zip(pieces, network.pieces, strict=True):
            if piece.dense and not reused:
                _export_dense(folder, piece, module, _states(network.backbone, probes[0]))
        handle, graph = tempfile.mkstemp(dir=folder, suffix=".onnx")
        os.close(handle)
        try:
            Path(graph).write_bytes(joined(folder, pieces))
            outputs = tuple(f"piece_{i}" for i in range(len(pieces)))
            found = _compare(graph, network, probes, input_name, outputs, precision)
        finally:
            os.unlink(graph)
        return {piece.name: verdict for piece, verdict in zip(pieces, found, strict=True)}
    return {piece.name: {"agrees": False, **failed} for piece in pieces}


@contextlib.contextmanager
def _quiet():
    """Silence the warnings and logs of the exporter inside a ``with`` block."""
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


def _export_backbone(folder, backbone, probes, input_name, precision, ranges, reuse):
    """Write the backbone's graph and weights: those of `reuse`, or exported from torch."""
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        path = Path(scratch, "backbone.onnx")
        if reuse is None:
            _save_fastest(path, backbone, probes, input_name)
        else:
            reuse(path, backbone)
            states = tuple(f"state_{i}" for i in range(len(_states(backbone, probes[0]))))
            for found in _compare(path, backbone, probes, input_name, states):
                if not found["agrees"]:
                    raise CannotReuse(found["reason"])
        if PRECISIONS[precision].rewrite is not None:
            PRECISIONS[precision].rewrite(path, ranges)
        # There is no second file if all weights are small enough to stay in the graph.
        path.with_name("backbone.onnx.data").touch()
        for file in ("backbone.onnx.data", "backbone.onnx"):
            os.replace(path.parent / file, folder / file)


def _save_fastest(path, backbone, probes, input_name):
    """Export the backbone with the fastest attention that agrees with torch."""
    *fused, plain = backbone.attentions
    for attention in fused:
        with contextlib.suppress(Exception):  # whatever the exporter or the runtime raises
            last = _save_backbone(path, backbone, attention, probes, input_name)
            (found,) = _compare(path, _last_state(backbone), probes, input_name, (last,))
            if found["agrees"]:
                return
    _save_backbone(path, backbone, plain, probes, input_name)


def _varying(arrays):
    """Return the axes whose sizes differ between arrays, in the format of the exporter."""
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


def _export_dense(folder, piece, module, states):
    """Write the dense layers of a piece as a graph of their own."""
    import torch

    with torch.no_grad():
        pooled = module.pooled(states)
    sizes = ({0: torch.export.Dim.DYNAMIC},)
    given = torch.cat([pooled, pooled])
    program = _to_onnx(module.dense, (given,), ["pooled"], ["answer"], sizes)
    content = program.model_proto.SerializeToString(deterministic=True)
    write(dense_file(folder, piece), content)


def _last_state(backbone):
    return lambda inputs: (backbone(inputs)[-1],)


def _compare(path, network, probes, input_name, outputs, precision="float32"):
    """Run the probes on both runtimes; return a verdict on each output."""
    import torch

    found = [new_verdict() for _ in outputs]
    ours = OnnxRunner(path, input_name, outputs).run(probes, 1)
    for probe, results in zip(probes, ours, strict=True):
        with torch.inference_mode():
            references = network(torch.from_numpy(probe))
        for verdict, vectors, reference in zip(found, results, references, strict=True):
            add_difference(verdict, vectors, reference.numpy())
    for verdict in found:
        judge(verdict, precision)
    return found
