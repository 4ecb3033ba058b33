"""From an embedder's parameters to a network that is ready to run.

`find_network` decides what the parameters mean and returns it as data (`NetworkSpec`), which fits
into a pickle; `runner_of` loads it, once a process. Imports `models` and `runtime`; knows no
modality.
"""

import os
import re
import shutil
import warnings
from dataclasses import asdict, dataclass, replace
from functools import cache, partial
from importlib import metadata
from numbers import Integral
from pathlib import Path
from typing import Any

import numpy as np

from skembed.base._digest import digest, file_sha256
from skembed.base._optional import exporter_versions, import_optional, require_optional
from skembed.base._shared import Registry
from skembed.base._threads import n_threads_for
from skembed.exceptions import (
    ExportError,
    ModelFormatError,
    ModelNotFoundError,
    NetworkChangedError,
    RuntimeFallbackWarning,
)
from skembed.models._folder import ModelFolder
from skembed.models._head import Head
from skembed.models._locate import locate
from skembed.models._manifest import check_manifest
from skembed.models._storage import kept_folder, scratch_folder
from skembed.runtime._export import REPORT, ensure_exported, ensure_joined
from skembed.runtime._onnx import OnnxRunner
from skembed.runtime._quantize_convolutions import has_products, ranges_of

FORMAT = 2  # of fingerprints and exported folders; raise it when vectors change by our own doing

# The other remedy where torch is missing.
_EXPORT = (
    "Or, where it is installed, write the fitted embedder's network with export(folder), and give "
    "that folder as model: it runs without torch."
)

_LOADERS = ("transformers", "torch")

# Rows that ranges of states are found on.
_N_CALIBRATING = 64

_runners = Registry(max_items=4)
_backbones = Registry(max_items=2, one_build=True)  # transformers' loading is not thread-safe
_copies = {}  # folders of exports that cannot be written -> copies for this process


@dataclass(frozen=True)
class NetworkSpec:
    """What fit found out about a network: enough to load it anywhere, small enough to pickle."""

    model: str
    revision: str | None
    seed: int | None  # of random weights; None: pretrained
    path: str  # of the folder or .onnx file
    backbone_digest: str
    head: Head
    front: Any  # how rows become network inputs: a `Front` of `_neural`
    input_name: str  # of the network's input
    output: str | None  # of a ready-made graph; None: its first
    backend: str
    precision: str
    device: str
    ready_made: bool  # an .onnx graph, run as it stands
    precomputed: tuple = ()  # pieces of other heads, to be computed by the same run
    poolings: tuple = ()  # that an export is checked for
    calibration: tuple | None = None  # ranges of states, for convolutions in integers
    n_states: int | None = None  # that the backbone gives
    widths: tuple = ()  # of the vectors of `pieces`
    n_dims: int = 0
    report: dict | None = None  # of the export

    @property
    def parts(self):
        """The pieces that the head joins, in that order."""
        return self.head.pieces(self.n_states)

    @property
    def pieces(self):
        """All pieces that a run computes, each once, in the order of their names.

        Networks that compute the same pieces have them in the same order.
        """
        others = [piece.pieces(self.n_states)[0] for piece in self.precomputed]
        known = {piece.name: piece for piece in (*self.parts, *others)}
        return tuple(known[name] for name in sorted(known))

    def finished(self, vectors):
        """Return the head's vectors, (n, n_dims), of those of `pieces`."""
        if self.ready_made:
            return vectors[0]
        return self.head.finished(self._of_parts(vectors))

    def of_tokens(self, states):
        """Return the states of the head's layers side by side, of those of `pieces`."""
        return np.concatenate(self._of_parts(states), axis=-1)

    def _of_parts(self, arrays):
        names = [piece.name for piece in self.pieces]
        return [arrays[names.index(part.name)] for part in self.parts]

    def _run_settings(self):
        """Return all that can change the vector of a piece, but the piece itself."""
        libraries = ("onnxruntime",) if self.backend == "onnx" else ("torch", "transformers")
        return {
            "format": FORMAT,
            "backbone": self.backbone_digest,
            "graph": (self.report or {}).get("sha256"),
            "inputs": self.front.input_settings(),
            "backend": self.backend,
            "precision": self.precision,
            "calibration": self.calibration,
            "device": self.device,
            "output": self.output,
            "libraries": {name: _version(name) for name in (*libraries, *self.front.libraries)},
        }

    @property
    def fingerprint(self):
        """The name of what this network computes, with the libraries of this process."""
        head = [part.settings() for part in self.parts]
        head += [self.head.truncate_dim, self.head.normalize, self.head.truncate_last]
        return digest([self._run_settings(), head, self.front.settings()])

    @property
    def fingerprints(self):
        """The names under which the vectors of `pieces` are kept.

        They depend on nothing that is arithmetic on these vectors.
        """
        run = self._run_settings()
        return [digest([run, piece.settings()]) for piece in self.pieces]


_version = cache(metadata.version)


# -- finding ---------------------------------------------------------------------------------------


def find_network(embedder, rows):
    """Return the `NetworkSpec` of an embedder's parameters.

    Convolutions in integers are calibrated on some of `rows`; nothing else is learned from them.

    Raises
    ------
    ModelNotFoundError, ModelFormatError, ExportError, MissingDependencyError, ValueError
        If there is no such network, or it cannot be run as asked for.
    """
    seed = embedder._seed()
    try:
        folder = _folder_of(embedder.model, embedder.revision, seed, embedder._input_name)
    except ModelNotFoundError as error:
        if "pretrained" not in embedder.get_params(deep=False) or "pretrained=" in str(error):
            raise
        raise ModelNotFoundError(f"{error}\n  - {embedder._untrained_remedy}") from None
    check_manifest(folder, type(embedder), FORMAT)
    front = embedder._front(folder)
    backend, device, precision = _runtime(embedder, folder)
    spec = NetworkSpec(
        model=os.fspath(embedder.model),
        revision=embedder.revision,
        seed=seed,
        path=str(folder.onnx or folder.path),
        backbone_digest=folder.digest,
        head=_head(embedder, folder, front, embedder.pooling, embedder.layers),
        precomputed=_precomputed(embedder, folder, front),
        poolings=tuple(dict.fromkeys(p for names in embedder._poolings.values() for p in names)),
        front=front,
        input_name=embedder._input_name,
        output=embedder.layers if isinstance(embedder.layers, str) else None,
        backend=backend,
        precision=precision,
        device=device,
        ready_made=folder.onnx is not None,
    )
    if spec.ready_made:
        n_dims = _n_dims_of_graph(spec)
        return replace(spec, n_dims=n_dims, widths=(n_dims,))
    if backend == "onnx":
        if precision == "int8" and embedder._may_convolve:
            spec = replace(spec, calibration=_calibrated(spec, embedder, rows))
        exported = with_export(spec)
        if exported.report["agrees"]:
            return exported
        message = (
            f"{type(embedder).__name__}: {spec.model} does not run on ONNX Runtime "
            f"({exported.report['reason']})."
        )
        if precision != "float32":
            raise ExportError(f"{message} Set precision='float32'.")
        if embedder.backend == "onnx":
            raise ExportError(f"{message} Set backend='torch'.")
        warnings.warn(f"{message} Using torch.", RuntimeFallbackWarning, stacklevel=2)
        spec = replace(spec, backend="torch")
    return _with_widths(spec, _widths_in_torch(spec, embedder._n_hidden(folder)))


def front_of(embedder):
    """Return how an embedder's parameters say that rows become network inputs.

    Raises
    ------
    ModelNotFoundError, ModelFormatError, ValueError
        If there is no such network, or the parameters do not fit it.
    """
    seed = embedder._seed()
    return embedder._front(
        _folder_of(embedder.model, embedder.revision, seed, embedder._input_name)
    )


def _folder_of(model, revision, seed, input_name):
    if seed is None:
        organization = "sentence-transformers" if input_name == "input_ids" else None
        return ModelFolder(locate(model, revision, organization))
    from skembed.models._seeded import seeded_folder

    return ModelFolder(seeded_folder(model, seed, input_name))


# Who computes in what.
_PRECISIONS = {"onnx": ("float32", "int8"), "torch": ("float32", "bfloat16", "float16")}


def _runtime(embedder, folder):
    """Decide backend, device and precision, or say why they cannot be had together."""
    backend, device, precision = embedder.backend, embedder.device, embedder.precision
    if device not in ("auto", "cpu", "cuda") and not re.fullmatch(r"cuda:\d+|mps", device):
        raise ValueError(
            f"The 'device' parameter must be 'auto', 'cpu', 'cuda', 'cuda:<number>' or 'mps'. Got "
            f"{device!r} instead."
        )
    if folder.onnx is not None:
        own = (folder.manifest or {}).get("precision", "float32")
        if backend == "torch" or precision not in ("float32", own):
            raise ValueError(
                f"{folder.onnx} is an ONNX graph in {own} and run as it stands: "
                f"backend={backend!r} with precision={precision!r} cannot be had."
            )
        return "onnx", _onnx_device(device, own), own
    if backend == "auto":
        able = [name for name, known in _PRECISIONS.items() if precision in known]
        on_cpu = device == "cpu" or (device == "auto" and not _has_cuda())
        backend = able[0] if on_cpu else able[-1]
    if precision not in _PRECISIONS[backend]:
        other = {"onnx": "torch", "torch": "onnx"}[backend]
        raise ValueError(
            f"backend={backend!r} computes in {' or '.join(_PRECISIONS[backend])}; for "
            f"precision={precision!r} set backend={other!r}."
        )
    if backend == "onnx":
        return backend, _onnx_device(device, precision), precision
    device = _torch_device(device, backend)
    if precision == "float16" and device == "cpu":
        raise ValueError(
            "precision='float16' is for CUDA; on a CPU 'int8' and 'bfloat16' are the fast ones."
        )
    return backend, device, precision


def _onnx_device(device, precision):
    import onnxruntime

    if device in ("auto", "cpu"):
        return "cpu"
    if device == "mps" or precision == "int8":
        raise ValueError(f"ONNX Runtime runs {precision} on the CPU; got device={device!r}.")
    providers = onnxruntime.get_available_providers()
    if "CUDAExecutionProvider" not in providers:
        raise ValueError(
            f"device={device!r} with backend='onnx' needs onnxruntime-gpu; the onnxruntime "
            f"installed has only {providers}."
        )
    return device


def _torch_device(device, backend):
    torch = import_optional("torch", extra="torch", purpose=f"backend={backend!r}")
    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if device.startswith("cuda") and not torch.cuda.is_available():
        raise ValueError(f"device={device!r} was asked for, but torch finds no CUDA device.")
    if device == "mps" and not torch.backends.mps.is_available():
        raise ValueError("device='mps' was asked for, but torch finds no such device.")
    return device


@cache
def _has_cuda():
    """Tell whether torch would find a CUDA device, without loading torch where there is none."""
    if not any(os.path.exists(path) for path in ("/dev/nvidiactl", "/dev/dxg")) and os.name != "nt":
        return False
    try:
        import torch
    except ImportError:
        return False
    return torch.cuda.is_available()


def _head(embedder, folder, front, pooling, layers):
    """Return the head that the parameters and the model's own modules ask for."""
    name = type(embedder).__name__
    if folder.onnx is not None:
        return _head_of_graph(embedder, folder)
    modules = folder.modules
    poolings, dense = modules.pooling or embedder._auto_pooling, modules.dense
    if pooling != "auto":
        chosen = tuple(pooling) if isinstance(pooling, (list, tuple)) else (pooling,)
        known = all(isinstance(name, str) and name in embedder._poolings for name in chosen)
        if not chosen or not known:
            raise ValueError(
                f"The 'pooling' parameter of {name} must be 'auto', one of "
                f"{list(embedder._poolings)} or a list of them. Got {pooling!r} instead."
            )
        poolings = tuple(part for name in chosen for part in embedder._poolings[name])
        dense = ()  # it was learned on the model's own pooling
    given, layers = layers, tuple(layers) if isinstance(layers, (list, tuple)) else (layers,)
    n_layers = embedder._n_layers(folder)
    known = n_layers is not None
    numbers = all(isinstance(i, Integral) and not isinstance(i, bool) for i in layers)
    inside = numbers and (not known or all(-n_layers - 1 <= i <= n_layers for i in layers))
    if not layers or not inside:
        indices = f"an index from {-n_layers - 1} to {n_layers}" if known else "an index"
        raise ValueError(
            f"The 'layers' parameter of {name} must be {indices} (0 is the embedding layer) or a "
            f"list of them. Got {given!r} instead."
        )
    if dense and len(layers) > 1:
        raise ValueError(
            f"{folder.path} has dense layers after its pooling, which take one layer's states. "
            f"Got layers={given!r}; set pooling to leave the dense layers out."
        )
    head = Head(
        layers=_state_indices(embedder, pooling, tuple(map(int, layers)), n_layers),
        pooling=poolings,
        skip=0 if modules.include_prompt else front.n_prompt_tokens,
        dense=dense,
        normalize=modules.normalize if embedder.normalize == "auto" else embedder.normalize,
    )
    width = head.n_dims(embedder._n_hidden(folder))
    if width and embedder.truncate_dim and embedder.truncate_dim > width:
        raise ValueError(
            f"The 'truncate_dim' parameter of {name} must be at most {width}, the length of the "
            f"model's vectors. Got {embedder.truncate_dim} instead."
        )
    if embedder.truncate_dim is None and modules.truncate_dim is not None:
        # Sentence Transformers cuts vectors after its modules; unit length asked for comes later.
        last = embedder.normalize == "auto"
        return replace(head, truncate_dim=modules.truncate_dim, truncate_last=last)
    return replace(head, truncate_dim=embedder.truncate_dim)


def _precomputed(embedder, folder, front):
    """Return the pieces of all heads that the parameter `precompute` names."""
    given = embedder.precompute
    if given is None:
        return ()
    values = {"pooling": [embedder.pooling], "layers": [embedder.layers]} | given
    wrong = set(given) - {"pooling", "layers"} or not given
    if wrong or not all(isinstance(value, (list, tuple)) and value for value in values.values()):
        raise ValueError(
            f"The 'precompute' parameter of {type(embedder).__name__} must be None or a dict of "
            'lists, {"pooling": [...], "layers": [...]}, with values of these two parameters. Got '
            f"{given!r} instead."
        )
    try:
        heads = [
            _head(embedder, folder, front, pooling, layers)
            for pooling in values["pooling"]
            for layers in values["layers"]
        ]
    except ValueError as error:
        raise ValueError(f"precompute={given!r}: {error}") from None
    return tuple(dict.fromkeys(piece for head in heads for piece in head.pieces()))


def _state_indices(embedder, pooling, layers, n_layers):
    """Return which of the backbone's states are pooled, for the layers asked for."""
    if not embedder._pools_itself:
        return layers
    if pooling == "auto" and layers in ((-1,), (n_layers,)):
        return (-1,)
    return tuple(layer if layer >= 0 else layer - 1 for layer in layers)


def _head_of_graph(embedder, folder):
    """Return the head that is already in a graph; refuse parameters that would change it."""
    defaults = {
        **{"pooling": "auto", "layers": -1, "normalize": "auto", "truncate_dim": None},
        "precompute": None,
    }
    if isinstance(embedder.layers, str):  # the name of an output
        del defaults["layers"]
    given = [name for name, value in defaults.items() if getattr(embedder, name) != value]
    if given:
        raise ValueError(
            f"{folder.onnx} is run as it stands, so {' and '.join(given)} cannot be set: give "
            "the folder of the model that it was made from."
        )
    settings = (folder.manifest or {}).get("head", {})
    return Head(pooling=("mean",), normalize=bool(settings.get("normalize", False)))


def _n_dims_of_graph(spec):
    probes = spec.front.probes()
    n_dims = None
    for probe, answer in zip(probes, runner_of(spec).run(probes, 1), strict=True):
        n_dims = n_dims or answer.shape[-1]
        if answer.ndim != 2 or answer.shape[1] != n_dims:
            raise ModelFormatError(
                f"{spec.path} answers to inputs of shape {probe.shape} with shape {answer.shape}, "
                "not with one vector a row: its graph must end in a pooling. Give the folder of "
                "the model that it was made from, or a graph that skembed exported."
            )
    return int(n_dims)


def _widths_in_torch(spec, n_hidden):
    """Return the lengths of the vectors of the spec's pieces."""
    widths = [piece.n_dims(n_hidden) for piece in spec.pieces]
    if None in widths:
        probe = spec.front.probes()[0]
        widths = [vectors.shape[-1] for vectors in next(iter(runner_of(spec).run([probe], 1)))]
    return widths


def _with_widths(spec, widths):
    """Return the spec with the lengths of its pieces' vectors, and of its own."""
    known = dict(zip((piece.name for piece in spec.pieces), widths, strict=True))
    n_dims = sum(known[part.name] for part in spec.parts)
    return replace(spec, widths=tuple(widths), n_dims=min(n_dims, spec.head.truncate_dim or n_dims))


def _calibrated(spec, embedder, rows):
    """Return the ranges of a network's states on rows of fit; None for one of matrix products."""
    plain = with_export(replace(spec, precision="float32"))
    graph = _export_folder(plain) / "backbone.onnx"
    if not plain.report["agrees"] or has_products(graph):
        return None
    rows = rows[:: max(1, len(rows) // _N_CALIBRATING)][:_N_CALIBRATING]
    keys, _ = embedder._check_rows(rows)
    prepared, _ = spec.front.prepare(rows, keys, n_threads_for(embedder.n_threads))
    inputs = [window for row in prepared for window in row.inputs[:1]]
    if not inputs:
        raise ValueError(
            f"precision='int8' is calibrated on the rows of fit, and none of {len(rows)} can be "
            "read. Set precision='float32'."
        )
    return ranges_of(graph, inputs)


# -- exporting -------------------------------------------------------------------------------------


def with_export(spec):
    """Return the spec as it stands here and now: its files found, its export made if need be.

    An export is named by what goes into it, so that another version of torch makes its own.
    """
    spec = found_again(spec)
    if spec.backend != "onnx" or spec.ready_made:
        return spec
    export = _ensure_exported(spec, (*spec.parts, *spec.precomputed))
    n_parts = len(spec.parts)
    needed, others = export["verdicts"][:n_parts], export["verdicts"][n_parts:]
    pairs = zip(spec.precomputed, others, strict=True)
    spec = replace(
        spec,
        report=_report(export["sha256"], needed),
        n_states=export["n_states"],
        precomputed=tuple(piece for piece, verdict in pairs if verdict["agrees"]),
    )
    if not spec.report["agrees"]:
        return spec
    pairs = zip(
        (*spec.parts, *spec.precomputed),
        [v for v in (*needed, *others) if v["agrees"]],
        strict=True,
    )
    known = {p.pieces(spec.n_states)[0].name: v["n_dims"] for p, v in pairs}
    return _with_widths(spec, [known[piece.name] for piece in spec.pieces])


def _report(sha256, verdicts):
    """Return how an export compares with torch: the worst of its pieces."""
    failed = [verdict for verdict in verdicts if not verdict["agrees"]]
    report = {
        "agrees": not failed,
        "reason": failed[0]["reason"] if failed else "",
        "sha256": sha256,
    }
    if not failed:
        report["max_difference"] = max(verdict["max_difference"] for verdict in verdicts)
        report["min_cosine"] = min(verdict["min_cosine"] for verdict in verdicts)
    return report


def _ensure_exported(spec, pieces, *, verify=False):
    def require():
        for module in _LOADERS:
            require_optional(module, extra="torch", purpose=f"Loading {spec.model}", hint=_EXPORT)

    def export(folder):
        return ensure_exported(
            folder,
            pieces,
            partial(_torch_network, spec),
            spec.front.probes,
            spec.input_name,
            poolings=spec.poolings,
            precision=spec.precision,
            calibration=spec.calibration,
            verify=verify,
            require=require,
        )

    return _in_export_folder(spec, export)


def _joined(spec, pieces, head=None):
    return _in_export_folder(spec, lambda folder: ensure_joined(folder, pieces, head))


def _in_export_folder(spec, function):
    """Call a function of the export's folder, or of a copy if it cannot be written but must be."""
    folder = _export_folder(spec)
    try:
        return function(folder)
    except OSError:
        if not (folder / REPORT).exists() or os.access(folder, os.W_OK):
            raise
    copy = _copies[folder] = scratch_folder() / folder.name
    shutil.copytree(folder, copy, dirs_exist_ok=True)
    return function(copy)


def found_again(spec, model=None):
    """Return the spec with the paths of this machine: a pickle may have come from another.

    Parameters
    ----------
    spec : NetworkSpec
        What `fit` found.
    model : str or path, default=None
        Where the network may be now, beside the place where it was.

    Raises
    ------
    ModelNotFoundError
        If it is nowhere; the message gives the recorded path and the remedy.
    NetworkChangedError
        If there is another network in that place.
    """
    if Path(spec.path).exists():
        return spec
    models = dict.fromkeys(map(os.fspath, (spec.model if model is None else model, spec.model)))
    reasons = []
    for name in models:
        try:
            folder = _folder_of(name, spec.revision, spec.seed, spec.input_name)
        except (ModelNotFoundError, ModelFormatError) as error:
            reasons.append(str(error))
            continue
        return _moved_to(spec, folder)
    raise ModelNotFoundError(
        f"The network that the estimator was fitted with is no longer in {spec.path}. If its "
        "folder was moved, call relocate(folder) on the fitted embedder (of a pipeline: "
        "pipeline.named_steps[name].relocate(folder)), or set_params(model=folder). The files are "
        "compared with those of fit.\n" + "\n".join(reasons)
    )


def relocated(spec, model):
    """Return the spec of the same network in another folder.

    Raises
    ------
    NetworkChangedError
        If there is another network, tokenizer or dense layer in the folder.
    """
    folder = _folder_of(model, spec.revision, spec.seed, spec.input_name)
    spec = replace(_moved_to(spec, folder), model=os.fspath(model))
    if folder.digest != spec.backbone_digest:
        raise _changed(folder.path)
    files = [(dense.weights, dense.sha256) for dense in spec.head.dense]
    for path, sha256 in (*files, *spec.front.files):
        if not os.path.isfile(path) or file_sha256(path) != sha256:
            raise _changed(path)
    return spec


def _moved_to(spec, folder):
    """Return the spec with its files in another folder."""
    found = str(folder.onnx or folder.path)
    before = os.path.dirname(spec.path) if spec.ready_made else spec.path

    def here(path):
        return str(folder.path / os.path.relpath(path, before))

    return replace(
        spec,
        path=found,
        front=spec.front.moved(here),
        head=spec.head.moved(here),
        precomputed=tuple(piece.moved(here) for piece in spec.precomputed),
    )


def _export_folder(spec):
    parts = [FORMAT, spec.backbone_digest, _stem(spec), spec.input_name, spec.precision]
    parts += [spec.front.fixed_shape, spec.calibration]
    folder = kept_folder(digest([*parts, exporter_versions()])[:32], REPORT, weights=spec.path)
    return _copies.get(folder, folder)


def _stem(spec):
    """Return what defines the part of the graph before the backbone."""
    stem = spec.front.stem
    return stem and [type(stem).__name__, asdict(stem)]


# -- loading ---------------------------------------------------------------------------------------


def runner_of(spec):
    """Return what computes the pieces of a network, loaded once a process and shared."""
    return _runners.get(digest(spec.fingerprints), lambda: _load(spec))


def _load(spec):
    if spec.backend == "torch":
        from skembed.runtime._torch import TorchRunner

        return TorchRunner(_torch_network(spec, spec.pieces), spec.device)
    if spec.ready_made:
        graph, outputs = _unchanged(spec).onnx, spec.output
    else:
        _ensure_exported(spec, spec.pieces, verify=True)
        graph = _joined(spec, spec.pieces)
        outputs = tuple(f"piece_{i}" for i in range(len(spec.pieces)))
    return OnnxRunner(graph, spec.input_name, outputs, device=spec.device)


def graph_of(spec):
    """Return the path of a graph that gives the head's vectors."""
    if spec.ready_made:
        return _unchanged(spec).onnx
    return _joined(spec, spec.parts, spec.head)


def _torch_network(spec, pieces):
    for module in _LOADERS:
        import_optional(module, extra="torch", purpose=f"Loading {spec.model}", hint=_EXPORT)
    import torch

    from skembed.models._backbone import Stemmed, load_backbone
    from skembed.models._modules import Network

    # What ONNX Runtime runs is exported from, and compared with, float32.
    precision = spec.precision if spec.backend == "torch" else "float32"

    def load():
        folder = _unchanged(spec).backbone_path
        backbone = load_backbone(folder, spec.input_name)
        backbone = backbone.to(spec.device, getattr(torch, precision))
        stem = spec.front.stem
        return backbone if stem is None else Stemmed(stem.module().to(spec.device), backbone)

    for dense in spec.head.dense:
        if file_sha256(dense.weights) != dense.sha256:
            raise _changed(dense.weights)
    key = digest([spec.backbone_digest, _stem(spec), precision, spec.device])
    return Network(_backbones.get(key, load), pieces)


def _unchanged(spec):
    """Return the model's folder, or say that it is another one now."""
    folder = ModelFolder(spec.path)
    if folder.digest != spec.backbone_digest:
        raise _changed(folder.path)
    return folder


def _changed(path):
    return NetworkChangedError(
        f"{path} holds another network now than when the estimator was fitted. Fit it again, or "
        "put the old files back."
    )
