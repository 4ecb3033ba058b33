"""The folder that an embedder exports.

In the format "onnx": a graph, the preprocessor's files and a manifest. The other format is in
`_transformers_folder`.
"""

import json
from pathlib import Path

from skembed._version import __version__
from skembed.base._folders import written_aside
from skembed.exceptions import ExportError
from skembed.network._load import graph_of, with_export
from skembed.network._spec import FORMAT
from skembed.network._transformers_folder import write_transformers_folder
from skembed.runtime._backends import BACKENDS, backends_of_graphs
from skembed.runtime._export_folder import write_standalone

FORMATS = ("onnx", "transformers")


def write_folder(network, folder, estimator, form="onnx"):
    """Write a network to a folder.

    Parameters
    ----------
    network : NetworkSpec
        Its files must be on this machine.
    folder : str or path
        Must not exist yet, or be empty.
    estimator : str
        Name of the estimator that can load it.
    form : {"onnx", "transformers"}, default="onnx"
        The format. "onnx": a folder that runs without torch and transformers. "transformers": one
        that these libraries load.

    Returns
    -------
    folder : pathlib.Path

    Raises
    ------
    FileExistsError
        If the folder has files in it.
    ExportError
        If the network cannot be written in that format.
    ValueError
        If there is no such format.
    """
    if form not in FORMATS:
        raise ValueError(f"format must be one of {list(FORMATS)}. Got {form!r} instead.")
    if form == "transformers":
        return write_transformers_folder(network, folder)
    network = with_export(network)
    backend = BACKENDS[network.backend]
    if not backend.needs_export:
        able = backends_of_graphs()[0]
        raise ExportError(
            f"export() writes the graph that {BACKENDS[able].label} runs, and this {estimator} "
            f"runs on {backend.label}. Fit it with backend={able!r}."
        )
    folder = Path(folder).expanduser().absolute()
    with written_aside(folder) as aside:
        write_standalone(graph_of(network), aside / "model.onnx", network.output)
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
