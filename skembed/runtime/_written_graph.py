"""Backbones that are written without torch: built from weights, or taken over from elsewhere.

The folder is that of an exported backbone (see `_export_folder`), so heads are joined as to other
backbones. No network of torch is compared with it: the record says how long the vectors are, and
for a graph in a lower precision how they compare with those of the graph in float32.
"""

import json
import os
import tempfile
from pathlib import Path

import numpy as np

from skembed.base._progress import step
from skembed.exceptions import ModelFormatError
from skembed.runtime._compare import add_difference, judge, new_verdict
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
from skembed.runtime._onnx import OnnxRunner


def ensure_written(
    folder, pieces, source, dense, probes, inputs, *, precision, title="building", verify=False
):
    """Return the record of a backbone and its pieces; write what is missing.

    Parameters
    ----------
    folder : pathlib.Path
        Where it is kept.
    pieces : list of Head
        Those that are asked for.
    source : object
        Its method ``write`` takes a path, and writes a graph with the outputs ``state_0``,
        ``state_1``, ... there, and its weights beside it; it returns the number of states.
        ``reference`` is the source of the graph
        that vectors are compared with, or None. Its str is for messages.
    dense : callable
        Returns the ``onnx.ModelProto`` of a piece's dense layers.
    probes : callable
        Returns network inputs, a list of arrays.
    inputs : dict
        Arguments of `OnnxRunner` that describe the inputs.
    precision : str
        What the products of the graph are computed in.
    title : str, default="building"
        What writing is called in the line that reports it.
    verify : bool, default=False
        Whether to compare the files with their digests, and write them again if they are damaged.

    Returns
    -------
    found : dict
        As that of `ensure_exported`.

    Raises
    ------
    ModelFormatError
        If the graph cannot be made or run.
    """
    found = known(folder, pieces, verify)
    if found is None:
        with locked(folder):
            found = known(folder, pieces, verify)
            if found is None:
                with step(title):
                    _write(folder, pieces, source, dense, probes(), inputs, precision)
                found = known(folder, pieces, verify=False)
    return found


def _write(folder, pieces, source, dense, probes, inputs, precision):
    """Write what is missing in the folder, and last its record."""
    record = record_of(folder)
    if record is None:
        n_states = _write_backbone(folder, source)
        sha256 = digest_of_backbone(folder)
        record = {"failed": "", "sha256": sha256, "n_states": n_states, "pieces": {}}
    pieces = [piece.pieces(record["n_states"])[0] for piece in pieces]
    for piece in pieces:
        if piece.dense:
            content = dense(piece).SerializeToString(deterministic=True)
            write(dense_file(folder, piece), content)
    verdicts = _verdicts(folder, pieces, source, probes, inputs, precision)
    for piece, verdict in zip(pieces, verdicts, strict=True):
        record["pieces"][piece.name] = verdict
    write(folder / REPORT, json.dumps(record, indent=1).encode())


def _write_backbone(folder, source):
    """Write the graph and its weights; return the number of states."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        path = Path(scratch, "backbone.onnx")
        n_states = source.write(path)
        data = path.with_name("backbone.onnx.data")
        data.touch()  # there is none if all weights are small
        for file in (data, path):
            os.replace(file, folder / file.name)
    return n_states


def _verdicts(folder, pieces, source, probes, inputs, precision):
    """Run the graph with pieces on probes; return a verdict on each piece."""
    vectors = _vectors(folder, folder, pieces, probes, inputs)
    _check_shapes(vectors, pieces, source, probes)
    if source.reference is None:
        return [_finite(found) for found in zip(*vectors, strict=True)]
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        source.reference.write(Path(scratch, "backbone.onnx"))
        references = _vectors(Path(scratch), folder, pieces, probes, inputs)
    verdicts = [new_verdict() for _ in pieces]
    for of_probe, expected in zip(vectors, references, strict=True):
        for verdict, ours, theirs in zip(verdicts, of_probe, expected, strict=True):
            add_difference(verdict, ours, theirs)
    for verdict in verdicts:
        judge(verdict, precision, reference="float32")
    return verdicts


def _finite(vectors):
    """Return a verdict on the vectors of a piece that are compared with nothing."""
    finite = all(np.isfinite(array).all() for array in vectors)
    reason = "" if finite else "its vectors are not finite"
    return {"agrees": finite, "reason": reason, "n_dims": int(vectors[0].shape[-1])}


def _vectors(backbone, folder, pieces, probes, inputs):
    """Return the vectors of the probes, for each probe those of all pieces."""
    handle, path = tempfile.mkstemp(dir=backbone, suffix=".onnx")
    os.close(handle)
    try:
        Path(path).write_bytes(joined(folder, pieces, backbone=backbone))
        outputs = tuple(f"piece_{i}" for i in range(len(pieces)))
        return list(OnnxRunner(path, outputs=outputs, **inputs).run(probes, 1))
    finally:
        os.unlink(path)


def _check_shapes(vectors, pieces, source, probes):
    """Raise a ModelFormatError unless each row has one vector, all of one length."""
    for piece, found in zip(pieces, zip(*vectors, strict=True), strict=True):
        n_axes, shapes = 2 if piece.pooling else 3, [array.shape for array in found]
        if any(len(shape) != n_axes for shape in shapes) or len({s[-1] for s in shapes}) > 1:
            raise ModelFormatError(
                f"{source}: after pooling, its output has the shapes {shapes} for inputs of "
                f"the shapes {[probe.shape for probe in probes]}; one vector per row, of one "
                "length, is needed."
            )
