"""ONNX graphs made elsewhere: which of their outputs are embedded, and whether they are pooled."""

from skembed.exceptions import ModelFormatError
from skembed.models._folder import ModelFolder

_USUAL = "last_hidden_state"  # name of the last layer's states in exports of transformers' models


def pooled_outputs(request, folder):
    """Return the outputs of a graph that are pooled, as indices.

    Parameters
    ----------
    request : Request
        `layers` is -1, for the default, or the name of an output, or a list of names.
    folder : ModelFolder
        Of the model.

    Returns
    -------
    outputs : tuple of int or None
        None: the model has weights, or is a graph that is run unchanged, because it was exported by
        skembed or its output has one vector per row.

    Raises
    ------
    ModelFormatError
        If there is no such output.
    ValueError
        If `layers` is not a name, or an output in a list has one vector per row.
    """
    if folder.onnx is None or folder.manifest is not None:
        return None
    outputs = list(folder.graph.outputs)
    names = _names(request, folder, outputs)
    missing = [name for name in names if name not in outputs]
    if missing:
        raise ModelFormatError(f"{folder.onnx} has no output {missing[0]!r}; it has {outputs}.")
    per_token = folder.graph.per_token
    others = [name for name in names if name not in per_token]
    if not others:
        return tuple(outputs.index(name) for name in names)
    if len(names) > 1:
        raise ValueError(
            f"The outputs in layers={request.layers!r} are pooled and concatenated, and the output "
            f"{others[0]!r} of {folder.onnx} does not have one vector per token. Outputs that are "
            f"pooled: {per_token}."
        )
    return None


def described_precision(spec):
    """Return the precision that the network of a spec computes in; a graph may have any."""
    own = spec.ready_made and ModelFolder(spec.path).manifest is not None
    graph = (spec.ready_made or spec.external_graph) and not own
    return "as in the graph" if graph else spec.precision


def _names(request, folder, outputs):
    """Return the names of the outputs that the parameter `layers` chooses."""
    layers = request.layers
    if layers == -1:
        if not outputs:
            raise ModelFormatError(f"{folder.onnx} has no output.")
        return [_USUAL if _USUAL in folder.graph.per_token else outputs[0]]
    names = list(layers) if isinstance(layers, (list, tuple)) else [layers]
    if not names or not all(isinstance(name, str) for name in names):
        raise ValueError(
            f"The 'layers' parameter of {request.estimator} must be the name of an output of "
            f"{folder.onnx} or a list of names; the outputs are {outputs}. Got {layers!r} instead."
        )
    return names
