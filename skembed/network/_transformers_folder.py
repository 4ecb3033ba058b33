"""The folder that transformers and Sentence Transformers load: a network with what it learned."""

from pathlib import Path

from skembed.base._folders import check_empty, written_aside
from skembed.exceptions import ExportError
from skembed.models._folder import ModelFolder
from skembed.models._sentence_writer import check_head, write_modules
from skembed.network._load import check_dense, load_alone


def write_transformers_folder(network, folder):
    """Write a network's weights, config and preprocessing to a folder.

    Parameters
    ----------
    network : NetworkSpec
        Its files must be on this machine.
    folder : str or path
        Must not exist yet, or be empty.

    Returns
    -------
    folder : pathlib.Path

    Raises
    ------
    FileExistsError
        If the folder has files in it.
    ExportError
        If the network is a ready-made graph, or such a folder cannot give the same vectors.
    MissingDependencyError
        If torch or transformers is not installed.
    """
    folder = Path(folder).expanduser().absolute()
    check_empty(folder)
    if network.ready_made or network.external_graph:
        raise ExportError(
            f"{network.path} is an ONNX graph, and format='transformers' writes the weights of a "
            "network of torch. Give the folder of the model that the graph was made from."
        )
    source, modality = ModelFolder(network.path), network.modality
    projection = network.head.projection
    if modality.sentence_modules:
        check_head(network.head, modality.n_layers(source))
    elif projection is not None:
        raise ExportError(
            f"Files of transformers do not store the projection that fit learned for "
            f"{modality.kind}. Train other parts, such as trainable='all', or use format='onnx'."
        )
    check_dense(network)
    with written_aside(folder) as aside:
        n_hidden = load_alone(network, str(aside), lambda path: _write(network, path, aside))
        if modality.sentence_modules:
            write_modules(
                aside,
                network.head,
                source,
                n_hidden=n_hidden,
                prompt=network.preprocessor.prompt,
                projection=None if projection is None else projection.matrix.T,
            )
        network.preprocessor.save_files(aside, source)
    return folder


def _write(network, source, folder):
    """Write the backbone; return the length of its states."""
    from skembed.models._backbone_folder import write_backbone

    return write_backbone(
        source,
        folder,
        network.modality,
        change=network.learned.apply,
        stem=network.preprocessor.stem,
        probe=network.preprocessor.probes()[0],
    )
