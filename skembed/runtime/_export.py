"""Export of a network to ONNX, once for all processes, checked against torch.

A backbone is exported once, with the states of all its layers as outputs (see `_export_folder`).
"""

import contextlib
import sys

from skembed.base._optional import require_optional
from skembed.base._progress import step
from skembed.runtime._child import call_in_child
from skembed.runtime._export_folder import (
    REPORT,
    dense_file,
    digest_of_backbone,
    locked,
    record_of,
    write,
)
from skembed.runtime._reexport import CannotReuse, with_other_weights
from skembed.runtime._torch_export import export

# Whether torch runs in a child process, which returns its memory and hides its warnings, logs and
# prints. Tests of small networks set it to False to save time.
in_child = True


def ensure_exported(
    folder,
    pieces,
    make_network,
    probes,
    input_name,
    *,
    poolings=(),
    precision="float32",
    ranges=None,
    verify=False,
    require=None,
    base=None,
    title="exporting a network to ONNX",
):
    """Return the record of a backbone's export and its pieces; export what is missing.

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
    ranges : tuple, default=None
        In int8, ranges of the states between convolutions (see `_quantize_convolutions`). None:
        matrix products are computed in integers.
    verify : bool, default=False
        Whether to compare the files with their digests, and export again if they are damaged.
    require : callable, default=None
        Called before an export: raises if a library is missing.
    base : callable, default=None
        Of a trained network: returns the folder of the export in float32 before training, and the
        backbone before training; None if it has no export. Its graph is used again if torch is
        loaded in this process, as it is after training.
    title : str, default="exporting a network to ONNX"
        What an export is called in the line that reports it.

    Returns
    -------
    found : dict
        ``sha256``, of graph and weights, and ``n_states``, None where the export failed;
        ``verdicts``, for each of `pieces` a dict of ``agrees``, ``reason``, ``n_dims``,
        ``max_difference`` and ``min_cosine``, the last three only where it was compared.

    Raises
    ------
    OSError
        If the folder cannot be written.
    """
    found = known(folder, pieces, verify)
    if found is None:
        job = (folder, pieces, make_network, probes, input_name, poolings, precision, ranges)
        with locked(folder):
            found = known(folder, pieces, verify)
            if found is None:
                if require is not None:
                    require()
                require_optional("onnxscript", extra="torch", purpose="Exporting a network to ONNX")
                with step(title):
                    if base is None or not _reused(base, job):
                        call_in_child(export, *job) if in_child else export(*job)
                found = known(folder, pieces, verify=False)
    return found


def _reused(base, job):
    """Export with the graph of the base, in this process; return whether that was possible."""
    folder, pieces, *_ = job
    if "torch" not in sys.modules or record_of(folder) is not None:
        return False
    found = base()
    if found is None:
        return False
    known, before = found

    def reuse(path, backbone):
        with_other_weights(known / "backbone.onnx", path, before, backbone)
        for piece in pieces:
            if piece.dense:
                write(dense_file(folder, piece), dense_file(known, piece).read_bytes())

    with contextlib.suppress(CannotReuse):
        export(*job, reuse=reuse)
        return True
    return False


def known(folder, pieces, verify):
    """Return what `ensure_exported` returns; None if an export is needed first."""
    record = record_of(folder)
    if record is None:
        return None
    if verify and not record["failed"] and digest_of_backbone(folder) != record["sha256"]:
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
