"""Networks whose files have moved since `fit`: found again and compared with their digests.

Names no modality and receives no estimator.
"""

import os
from dataclasses import replace
from pathlib import Path

from skembed.base._digest import changed_since_fit, check_unchanged
from skembed.exceptions import ModelFormatError, ModelNotFoundError
from skembed.models._folder import ModelFolder
from skembed.network._spec import folder_of


def found_again(spec, model=None):
    """Return the spec with the paths on this machine; it may be unpickled from another one.

    Parameters
    ----------
    spec : NetworkSpec
        What `fit` found.
    model : str or path, default=None
        A further place to look for the network.

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
            folder = folder_of(spec.modality, name, spec.revision, spec.seed)
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
    folder = folder_of(spec.modality, model, spec.revision, spec.seed)
    spec = replace(_moved_to(spec, folder), model=os.fspath(model))
    checked_folder(spec)
    files = [(dense.weights, dense.sha256) for dense in spec.head.dense]
    for path, sha256 in (*files, *spec.preprocessor.files):
        if not os.path.isfile(path):
            raise changed_since_fit(path)
        check_unchanged(path, sha256)
    return spec


def _moved_to(spec, folder):
    """Return the spec with its files in another folder."""
    found = str(folder.onnx or folder.path)
    before, now = spec.path, folder.path
    if spec.ready_made or spec.external_graph:  # other files may be in the folder above
        before, now = os.path.dirname(before), folder.onnx.parent

    def new_path(path):
        return os.path.normpath(now / os.path.relpath(path, before))

    return replace(
        spec,
        path=found,
        preprocessor=spec.preprocessor.moved(new_path),
        head=spec.head.moved(new_path),
        precomputed=tuple(piece.moved(new_path) for piece in spec.precomputed),
    )


def checked_folder(spec):
    """Return the model's folder; raise NetworkChangedError if its files have changed."""
    folder = ModelFolder(spec.path)
    if folder.digest != spec.backbone_digest:
        raise changed_since_fit(folder.path)
    return folder
