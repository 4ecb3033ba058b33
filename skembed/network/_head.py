"""Find the head of a request: layers, pooling, dense layers, truncation, normalization."""

from dataclasses import replace
from numbers import Integral

from skembed.base._checks import check_truncate_dim
from skembed.exceptions import ModelFormatError
from skembed.models._head import Head
from skembed.network._external import pooled_outputs


def head_of(request, modality, folder, preprocessor, projection=None):
    """Return the `Head` of a request, with defaults from the model's own modules.

    Parameters
    ----------
    request : Request
        The parameters.
    modality : Modality
        What the network embeds.
    folder : ModelFolder
        Of the model.
    preprocessor : Preprocessor
        Tells how many tokens of a prompt pooling leaves out.
    projection : Projection, default=None
        What `fit` learned. A ready-made graph takes none.

    Raises
    ------
    ValueError
        If the parameters do not fit the model; the message names the parameter.
    """
    outputs = pooled_outputs(request, folder)
    if folder.onnx is not None and outputs is None:
        return _head_of_graph(request, folder)
    modules = folder.modules
    poolings, dense = modules.pooling or modality.auto_pooling, modules.dense
    if request.pooling != "auto":
        poolings = _poolings(request, modality)
        dense = ()  # they were trained on the model's own pooling
    head = Head(
        layers=outputs or _state_indices(request, modality, folder),
        pooling=poolings,
        skip=0 if modules.include_prompt else preprocessor.n_prompt_tokens,
        dense=dense,
        normalize=modules.normalize if request.normalize == "auto" else request.normalize,
        projection=projection,
    )
    if dense and len(head.layers) > 1:
        raise ValueError(
            f"{folder.path} has dense layers after its pooling, which take one layer's states. "
            f"Got layers={request.layers!r}; set pooling to leave the dense layers out."
        )
    n_dims = head.n_dims(modality.n_hidden(folder))
    projected = projection is not None
    check_truncate_dim(request.estimator, request.truncate_dim, n_dims, projected=projected)
    if request.truncate_dim is None and modules.truncate_dim is not None:
        # Sentence Transformers truncates after its modules; normalize=True is applied after that.
        last = request.normalize == "auto"
        return replace(head, truncate_dim=modules.truncate_dim, truncate_last=last)
    return replace(head, truncate_dim=request.truncate_dim)


def precomputed_of(request, modality, folder, preprocessor, projection=None):
    """Return the pieces of all heads that the parameter `precompute` names.

    They are not projected; `projection` only says how far `truncate_dim` may go.
    """
    given = request.precompute
    if given is None:
        return ()
    values = {"pooling": [request.pooling], "layers": [request.layers]} | given
    wrong = set(given) - {"pooling", "layers"} or not given
    if wrong or not all(isinstance(value, (list, tuple)) and value for value in values.values()):
        raise ValueError(
            f"The 'precompute' parameter of {request.estimator} must be None or a dict of "
            'lists, {"pooling": [...], "layers": [...]}, with values of these two parameters. Got '
            f"{given!r} instead."
        )
    try:
        heads = [
            head_of(
                replace(request, pooling=pooling, layers=layers),
                modality,
                folder,
                preprocessor,
                projection,
            )
            for pooling in values["pooling"]
            for layers in values["layers"]
        ]
    except ModelFormatError:
        raise
    except ValueError as error:
        raise ValueError(f"precompute={given!r}: {error}") from None
    return tuple(dict.fromkeys(piece for head in heads for piece in head.pieces()))


def _poolings(request, modality):
    """Return the names of the poolings to concatenate."""
    pooling = request.pooling
    chosen = tuple(pooling) if isinstance(pooling, (list, tuple)) else (pooling,)
    known = all(isinstance(name, str) and name in modality.poolings for name in chosen)
    if not chosen or not known:
        raise ValueError(
            f"The 'pooling' parameter of {request.estimator} must be 'auto', one of "
            f"{list(modality.poolings)} or a list of them. Got {pooling!r} instead."
        )
    return tuple(part for name in chosen for part in modality.poolings[name])


def _state_indices(request, modality, folder):
    """Return the indices of the states to pool, for the parameter `layers`."""
    given = request.layers
    layers = tuple(given) if isinstance(given, (list, tuple)) else (given,)
    n_layers = modality.n_layers(folder)
    known = n_layers is not None
    numbers = all(isinstance(i, Integral) and not isinstance(i, bool) for i in layers)
    inside = numbers and (not known or all(-n_layers - 1 <= i <= n_layers for i in layers))
    if not layers or not inside:
        indices = f"an index from {-n_layers - 1} to {n_layers}" if known else "an index"
        raise ValueError(
            f"The 'layers' parameter of {request.estimator} must be {indices} (0 is the embedding "
            f"layer) or a list of them. Got {given!r} instead."
        )
    layers = tuple(map(int, layers))
    if not modality.has_pooled_state:
        return layers
    if request.pooling == "auto" and layers in ((-1,), (n_layers,)):
        return (-1,)
    return tuple(layer if layer >= 0 else layer - 1 for layer in layers)


def _head_of_graph(request, folder):
    """Return the head that is already in a graph; refuse parameters that would change it."""
    defaults = {
        "pooling": "auto",
        "layers": -1,
        "normalize": "auto",
        "truncate_dim": None,
        "precompute": None,
    }
    if isinstance(request.layers, str):  # the name of an output
        del defaults["layers"]
    given = [name for name, value in defaults.items() if getattr(request, name) != value]
    if given:
        raise ValueError(
            f"{folder.onnx} is run unchanged, so {' and '.join(given)} cannot be set: give "
            f"the folder of the model that it was made from.{_pooled_instead(folder)}"
        )
    settings = (folder.manifest or {}).get("head", {})
    return Head(pooling=("mean",), normalize=bool(settings.get("normalize", False)))


def _pooled_instead(folder):
    """Return the remedy if another output of the graph can be pooled."""
    if folder.manifest is not None or not folder.graph.per_token:
        return ""
    return f" Or set layers to an output that can be pooled, one of {folder.graph.per_token}."
