"""Exports, graphs and runners of a `NetworkSpec`; networks are loaded once per process.

Names no modality and receives no estimator.
"""

import os
import shutil
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path

from skembed.base._digest import check_unchanged, digest
from skembed.base._optional import exporter_versions, import_optional, require_optional
from skembed.base._shared import Registry
from skembed.exceptions import ModelFormatError
from skembed.models._dense import dense_tensors
from skembed.models._folder import ModelFolder
from skembed.models._locate import graph_file
from skembed.models._storage import kept_folder, scratch_folder
from skembed.network._learned import Learned
from skembed.network._moved import checked_folder, found_again
from skembed.network._native import VERSION, native_graph
from skembed.network._spec import FORMAT, NetworkSpec
from skembed.runtime._backends import BACKENDS
from skembed.runtime._export import ensure_exported
from skembed.runtime._export_folder import REPORT, ensure_joined
from skembed.runtime._external_graph import ExternalGraph
from skembed.runtime._graph_dense import dense_model
from skembed.runtime._reexport import has_fresh_norms
from skembed.runtime._written_graph import ensure_written

# The second remedy if torch is missing.
_EXPORT = (
    "Or, where it is installed, write the fitted embedder's network with export(folder), and give "
    "that folder as model: it runs without torch."
)
_LOADERS = ("transformers", "torch")

_runners = Registry(max_items=4)
_backbones = Registry(max_items=2, one_build=True)  # transformers' loading is not thread-safe
_copies = {}  # folders of exports that cannot be written -> copies for this process


# -- exporting -------------------------------------------------------------------------------------


def with_export(spec):
    """Find the files on this machine, export the network if necessary, return the new spec.

    An export is named by what goes into it, so that another version of torch makes its own.
    """
    spec = found_again(spec)
    if spec.ready_made:
        return spec
    if not BACKENDS[spec.backend].needs_export:
        return spec if spec.widths else _with_widths_of_module(spec)
    export = _ensure_exported(spec, (*spec.head_pieces, *spec.precomputed))
    n_needed = len(spec.head_pieces)
    needed, others = export["verdicts"][:n_needed], export["verdicts"][n_needed:]
    pairs = zip(spec.precomputed, others, strict=True)
    spec = replace(
        spec,
        # A graph made elsewhere is identified by its own files, which are in the backbone's digest.
        report=_report(None if spec.external_graph else export["sha256"], needed),
        n_states=export["n_states"],
        precomputed=tuple(piece for piece, verdict in pairs if verdict["agrees"]),
    )
    if not spec.report["agrees"]:
        return spec
    pairs = zip(
        (*spec.head_pieces, *spec.precomputed),
        [v for v in (*needed, *others) if v["agrees"]],
        strict=True,
    )
    known = {p.pieces(spec.n_states)[0].name: v["n_dims"] for p, v in pairs}
    return _with_widths(spec, [known[piece.name] for piece in spec.pieces])


def _with_widths_of_module(spec):
    """Return the spec with its lengths, for a network that is not exported."""
    n_hidden = spec.modality.n_hidden(ModelFolder(spec.path))
    widths = [piece.n_dims(n_hidden) for piece in spec.pieces]
    if None in widths:  # known only after a run
        probe = spec.preprocessor.probes()[0]
        widths = [vectors.shape[-1] for vectors in next(iter(runner_of(spec).run([probe], 1)))]
    return _with_widths(spec, widths)


def _with_widths(spec, widths):
    """Return the spec with the lengths of its pieces' vectors, and of its own.

    Raises
    ------
    ModelFormatError
        If a learned projection is damaged, or takes vectors of another length.
    """
    known = dict(zip((piece.name for piece in spec.pieces), widths, strict=True))
    n_dims = sum(known[part.name] for part in spec.head_pieces)
    projection = spec.head.projection
    if projection is not None and len(projection.matrix) != n_dims:
        raise ModelFormatError(
            f"The learned projection takes vectors of length {projection.n_in}, and those of "
            f"{spec.model} have length {n_dims}."
        )
    return replace(spec, widths=tuple(widths), n_dims=spec.head.n_finished(n_dims))


def _report(sha256, verdicts):
    """Return how an export compares with torch: the largest deviation of its pieces."""
    failed = [verdict for verdict in verdicts if not verdict["agrees"]]
    report = {
        "agrees": not failed,
        "reason": failed[0]["reason"] if failed else "",
        "sha256": sha256,
    }
    if not failed and "max_difference" in verdicts[0]:  # graphs that torch did not export have none
        report["max_difference"] = max(verdict["max_difference"] for verdict in verdicts)
        report["min_cosine"] = min(verdict["min_cosine"] for verdict in verdicts)
    return report


def _ensure_exported(spec, pieces, *, verify=False):
    if spec.native or spec.external_graph:
        return _in_export_folder(spec, partial(_written, spec, pieces, verify=verify))

    def export(folder):
        return ensure_exported(
            folder,
            pieces,
            partial(torch_network, spec),
            spec.preprocessor.probes,
            spec.modality.input_name,
            poolings=spec.modality.all_poolings,
            precision=spec.precision,
            ranges=spec.learned.ranges,
            verify=verify,
            require=partial(_with_loaders, spec, require_optional),
            base=partial(_base_of, spec, pieces) if spec.learned.weights else None,
            title=f"exporting {spec.model} to ONNX",
        )

    return _in_export_folder(spec, export)


def _written(spec, pieces, folder, *, verify):
    """Write a graph that is not exported from torch to the export's folder."""

    def dense(piece):
        check_dense(spec)
        return dense_model([(dense_tensors(item), item.activation) for item in piece.dense])

    source = native_graph(spec) if spec.native else ExternalGraph(checked_folder(spec).onnx)
    return ensure_written(
        folder,
        pieces,
        source,
        dense,
        spec.preprocessor.probes,
        _Source(spec).inputs,
        precision=spec.precision,
        title=f"building the graph of {spec.model}",
        verify=verify,
    )


def _base_of(spec, pieces):
    """Return the export's folder and the backbone of a network before training.

    None if it cannot be exported, or its graph cannot hold other weights.
    """
    base = replace(spec, learned=Learned(), precision="float32")
    backbone = torch_network(base, ()).backbone
    if has_fresh_norms(backbone):
        return None
    export = _ensure_exported(base, pieces, verify=True)
    if export["sha256"] is None or not all(found["agrees"] for found in export["verdicts"]):
        return None
    return export_folder(base), backbone


def _joined(spec, pieces, head=None):
    return _in_export_folder(spec, lambda folder: ensure_joined(folder, pieces, head))


def _in_export_folder(spec, function):
    """Call a function with the export's folder, or with a copy if it is read-only."""
    folder = export_folder(spec)
    try:
        return function(folder)
    except OSError:
        if not (folder / REPORT).exists() or os.access(folder, os.W_OK):
            raise
    copy = _copies[folder] = scratch_folder() / folder.name
    shutil.copytree(folder, copy, dirs_exist_ok=True)
    return function(copy)


def export_folder(spec):
    """Return the folder of a network's export; it need not exist."""
    parts = [FORMAT, spec.backbone_digest, _stem(spec), spec.modality.input_name, spec.precision]
    parts += [spec.preprocessor.fixed_shape, spec.learned.ranges]
    if spec.learned.digest is not None:
        parts.append(spec.learned.digest)
    # Graphs that are built, or made elsewhere, depend on no exporter.
    if spec.native:
        parts.append(["built", VERSION])
    else:
        parts.append("external graph" if spec.external_graph else exporter_versions())
    folder = kept_folder(digest(parts)[:32], REPORT, weights=spec.path)
    return _copies.get(folder, folder)


def _stem(spec):
    """Return what defines the part of the graph before the backbone."""
    stem = spec.preprocessor.stem
    return stem and [type(stem).__name__, asdict(stem)]


# -- loading ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Source:
    """What a backend loads a network from, see `Backend`."""

    spec: NetworkSpec

    @property
    def inputs(self):
        spec, modality = self.spec, self.spec.modality
        inputs = {
            "input_name": modality.input_name,
            "any_name": modality.any_input_name,
            "implied": modality.implied_inputs,
        }
        if spec.ready_made or spec.external_graph:
            operators = ModelFolder(spec.path).graph.operators
            inputs["one_by_one"] = any(name.startswith("DynamicQuantize") for name in operators)
            inputs["name"] = spec.path
        return inputs

    def network(self):
        return torch_network(self.spec, self.spec.pieces)

    def graph(self):
        spec = self.spec
        if spec.ready_made:
            return checked_folder(spec).onnx, None if spec.output is None else (spec.output,)
        _ensure_exported(spec, spec.pieces, verify=True)
        outputs = tuple(f"piece_{i}" for i in range(len(spec.pieces)))
        return _joined(spec, spec.pieces), outputs


def runner_of(spec):
    """Return the runner of a network, which is loaded once per process and shared."""
    return _runners.get(digest(spec.fingerprints), lambda: _load(spec))


def _load(spec):
    return BACKENDS[spec.backend].load(_Source(spec), spec.device)


def graph_of(spec):
    """Return the path of a graph that gives the head's vectors."""
    if spec.ready_made:
        return checked_folder(spec).onnx
    return _joined(spec, spec.head_pieces, spec.head)


def torch_network(spec, pieces):
    """Return the torch module of a backbone and pieces, in evaluation mode."""
    _with_loaders(spec, import_optional)
    import torch

    from skembed.models._backbone import WithStem, load_backbone
    from skembed.models._modules import Network

    # A graph is exported from, and compared with, float32.
    precision = "float32" if BACKENDS[spec.backend].needs_export else spec.precision

    def load():
        folder = checked_folder(spec).backbone_path
        backbone = load_backbone(folder, spec.modality)
        spec.learned.apply(backbone)
        backbone = backbone.to(spec.device, getattr(torch, precision))
        stem = spec.preprocessor.stem
        return backbone if stem is None else WithStem(stem.module().to(spec.device), backbone)

    check_dense(spec)
    parts = [spec.modality.reference, spec.backbone_digest, spec.learned.digest]
    key = digest([*parts, _stem(spec), precision, spec.device])
    return Network(_backbones.get(key, load), pieces)


def load_alone(spec, name, load):
    """Call a function that loads the network with transformers; return what it returns.

    Parameters
    ----------
    spec : NetworkSpec
        The network, for the message about a missing library.
    name : str
        Another one for each call.
    load : callable
        Takes the backbone's folder. No other network is loaded meanwhile.
    """
    _with_loaders(spec, import_optional)
    return _backbones.get(name, lambda: load(checked_folder(spec).backbone_path))


def check_dense(spec):
    """Raise a NetworkChangedError if a dense layer has changed."""
    for dense in spec.head.dense:
        check_unchanged(dense.weights, dense.sha256)


def _with_loaders(spec, function):
    """Call `import_optional` or `require_optional` with each library that loads a network."""
    graph = graph_file(Path(spec.path))
    hint = _EXPORT if graph is None else f"{_EXPORT} Or give its ONNX file as model: {graph}"
    for module in _LOADERS:
        function(module, extra="torch", purpose=f"Loading {spec.model}", hint=hint)
