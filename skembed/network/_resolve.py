"""Find the `NetworkSpec` of a request: a model's files, its head, backend and precision.

Names no modality and receives no estimator.
"""

import os
import warnings
from dataclasses import replace

from skembed.base._checks import check_truncate_dim
from skembed.base._warnings import callers_level
from skembed.exceptions import (
    ExportError,
    ModelFormatError,
    ModelNotFoundError,
    RuntimeFallbackWarning,
)
from skembed.models._manifest import check_manifest
from skembed.network._external import pooled_outputs
from skembed.network._head import head_of, precomputed_of
from skembed.network._learned import Learned
from skembed.network._load import export_folder, runner_of, with_export
from skembed.network._native import is_native
from skembed.network._spec import FORMAT, NetworkSpec, folder_of
from skembed.runtime._backends import (
    BACKENDS,
    backends_of_graphs,
    check_device,
    choose,
    precisions_of_graphs,
)
from skembed.runtime._precisions import PRECISIONS
from skembed.runtime._quantize_convolutions import has_products, ranges_of

# Number of rows that convolutions are calibrated on.
_N_CALIBRATING = 64


def resolve(request, modality, sample, learned=None):
    """Return the `NetworkSpec` of a request.

    Parameters
    ----------
    request : Request
        The parameters.
    modality : Modality
        What the network embeds.
    sample : callable
        Takes a preprocessor and a number of rows, returns network inputs of about as many rows of
        `fit`. Convolutions in integers are calibrated on them; nothing else is learned from them.
    learned : Learned, default=None
        What `fit` learned before. None: nothing.

    Raises
    ------
    ModelNotFoundError, ModelFormatError, ExportError, MissingDependencyError, ValueError
        If there is no such network, or it cannot be run as asked for.
    """
    folder = _folder_or_remedy(request, modality)
    check_manifest(folder, request.estimator, modality, FORMAT, precisions_of_graphs())
    preprocessor = request.make_preprocessor(folder)
    backend, device, precision = _runtime(request, folder)
    learned = learned or Learned()
    unchanged = folder.onnx is not None and pooled_outputs(request, folder) is None
    of_head = (request, modality, folder, preprocessor, learned.projection)
    spec = NetworkSpec(
        modality=modality,
        model=os.fspath(request.model),
        revision=request.revision,
        seed=request.seed,
        path=str(folder.onnx or folder.path),
        backbone_digest=folder.digest,
        head=head_of(*of_head),
        precomputed=precomputed_of(*of_head),
        preprocessor=preprocessor,
        output=request.layers if unchanged and isinstance(request.layers, str) else None,
        backend=backend,
        precision=precision,
        device=device,
        ready_made=unchanged,
        native=is_native(modality, folder),
        external_graph=folder.onnx is not None and not unchanged,
        learned=replace(learned, projection=None),  # it is in the head
    )
    if spec.ready_made:
        n_dims = _n_dims_of_graph(spec)
        spec = replace(spec, n_dims=n_dims, widths=(n_dims,))
    else:
        spec = _ready_to_run(spec, request, sample)
    projected = spec.head.projection is not None
    check_truncate_dim(request.estimator, request.truncate_dim, spec.n_dims, projected=projected)
    return spec


def preprocessor_of(request, modality):
    """Return the `Preprocessor` that a request asks for.

    Raises
    ------
    ModelNotFoundError, ModelFormatError, ValueError
        If there is no such network, or the parameters do not fit it.
    """
    return request.make_preprocessor(_folder_or_remedy(request, modality))


def _folder_or_remedy(request, modality):
    """Return the model's folder; if it is missing, the error also suggests other networks."""
    try:
        return folder_of(modality, request.model, request.revision, request.seed)
    except ModelNotFoundError as error:
        message = str(error)
        # The message of a packaged or an untrained network already names this remedy.
        remedies = {"skembed[": modality.packaged_remedy, "pretrained=": modality.untrained_remedy}
        for sign, remedy in remedies.items():
            if remedy and sign not in str(error):
                message += f"\n  - {remedy}"
        raise ModelNotFoundError(message) from None


def _runtime(request, folder):
    """Return backend, device and precision; raise if the combination is unsupported."""
    if folder.onnx is None:
        return *choose(request.backend, request.device, request.precision), request.precision
    check_device(request.device)
    own = (folder.manifest or {}).get("precision", "float32")
    able = backends_of_graphs()
    if request.backend not in ("auto", *able) or request.precision not in ("float32", own):
        raise ValueError(
            f"{folder.onnx} is an ONNX graph in {own} and is run unchanged: "
            f"backend={request.backend!r} with precision={request.precision!r} is not supported."
        )
    backend = able[0] if request.backend == "auto" else request.backend
    return backend, BACKENDS[backend].device(request.device, own), own


def _ready_to_run(spec, request, sample):
    """Return the spec with its export made and checked, or with the backend to fall back to."""
    backend = BACKENDS[spec.backend]
    if backend.needs_export:
        if PRECISIONS[spec.precision].needs_ranges and spec.modality.may_have_convolutions:
            spec = replace(spec, learned=replace(spec.learned, ranges=_ranges(spec, sample)))
        exported = with_export(spec)
        if exported.report["agrees"]:
            return exported
        message = (
            f"{request.estimator}: {spec.model} does not run on {backend.label} "
            f"({exported.report['reason']})."
        )
        if backend.fallback is None:
            raise ExportError(message)
        if backend.fallback not in PRECISIONS[spec.precision].backends:
            raise ExportError(f"{message} Set precision='float32'.")
        if request.backend == spec.backend:
            raise ExportError(f"{message} Set backend={backend.fallback!r}.")
        warnings.warn(
            f"{message} Using {BACKENDS[backend.fallback].label}.",
            RuntimeFallbackWarning,
            stacklevel=callers_level(),
        )
        spec = replace(spec, backend=backend.fallback)
    return with_export(spec)


def _n_dims_of_graph(spec):
    """Return the length of a ready-made graph's vectors."""
    probes = spec.preprocessor.probes()
    n_dims = None
    for probe, (output,) in zip(probes, runner_of(spec).run(probes, 1), strict=True):
        n_dims = n_dims or output.shape[-1]
        if output.ndim != 2 or output.shape[1] != n_dims:
            raise ModelFormatError(
                f"{spec.path} returns shape {output.shape} for inputs of shape {probe.shape}. An "
                "output of shape (n_rows, n_dims) is needed, or one with 3 axes (vectors of "
                "tokens) or 4 (maps), which is pooled; the graph must state the number of axes."
            )
    return int(n_dims)


def _ranges(spec, sample):
    """Return ranges of states on rows of fit; None if the network has matrix products."""
    plain = with_export(replace(spec, precision="float32"))
    graph = export_folder(plain) / "backbone.onnx"
    if not plain.report["agrees"] or has_products(graph):
        return None
    inputs = sample(spec.preprocessor, _N_CALIBRATING)
    if not inputs:
        raise ValueError(
            "precision='int8' is calibrated on rows of fit, and none of them can be read. Set "
            "precision='float32'."
        )
    return ranges_of(graph, inputs)
