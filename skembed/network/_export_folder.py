"""The folder that an embedder exports: a graph, the preprocessor's files and a manifest."""

import json
from pathlib import Path

from skembed._version import __version__
from skembed.base._folders import written_aside
from skembed.network._load import graph_of
from skembed.network._spec import FORMAT
from skembed.runtime._export_folder import write_standalone


def write_folder(network, folder, estimator):
    """Write a network to a folder that runs without torch and transformers.

    Parameters
    ----------
    network : NetworkSpec
        Its export must have been made.
    folder : str or path
        Must not exist yet, or be empty.
    estimator : str
        Name of the estimator that can load it.

    Returns
    -------
    folder : pathlib.Path

    Raises
    ------
    FileExistsError
        If the folder has files in it.
    """
    folder = Path(folder).expanduser().absolute()
    with written_aside(folder) as aside:
        write_standalone(graph_of(network), aside / "model.onnx")
        manifest = {
            "skembed": __version__,
            "format": FORMAT,
            "estimator": estimator,
            "input_name": network.modality.input_name,
            "model": network.model,
            "front": network.preprocessor.save(aside),
            "head": network.head.settings(),
            "precision": network.precision,
            "n_dims": network.n_dims,
            "parity": network.report,
        }
        text = json.dumps(manifest, indent=1) + "\n"
        (aside / "manifest.json").write_text(text, encoding="utf-8")
    return folder
