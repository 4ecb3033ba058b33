"""Graphs that are built from a network's config and weights, without torch."""

from skembed.exceptions import ModelFormatError
from skembed.models._modality import imported
from skembed.models._tensors import read_tensors, tensor_shapes
from skembed.network._moved import checked_folder
from skembed.runtime._encoder_graph import NativeGraph

VERSION = 1  # of these graphs; raised when their vectors change

# Names of the weights of layer norms in old files.
_OLD_NAMES = {"LayerNorm.weight": "LayerNorm.gamma", "LayerNorm.bias": "LayerNorm.beta"}


def is_native(modality, folder):
    """Whether the graph of a network is built, and not exported from torch.

    This depends on its config alone, so that all machines build it.
    """
    encoder = _encoder(modality, folder)
    return encoder is not None and encoder.supports(folder.config)


def native_graph(spec):
    """Return the `NativeGraph` of a network that `is_native`, with what `fit` learned.

    Raises
    ------
    ModelFormatError
        If weights are missing or damaged, or have a wrong shape.
    """
    folder = checked_folder(spec)
    encoder = _encoder(spec.modality, folder)
    read = spec.learned.reader(_Weights(folder, encoder.first))
    return NativeGraph(encoder, folder.config, read, spec.modality.input_name, spec.precision)


def _encoder(modality, folder):
    if folder.onnx is not None:
        return None
    family = modality.families.get(folder.config.get("model_type"))
    reference = getattr(family, "graph", None)
    return reference and imported(reference)


class _Weights:
    """The weights in the files of a folder, by their names in transformers' base model.

    Parameters
    ----------
    folder : ModelFolder
        The folder.
    first : str
        Name of a tensor. What precedes it in the files precedes all names.
    """

    def __init__(self, folder, first):
        self._path = folder.path
        self._files = {}
        for path in folder.weights:
            self._files |= dict.fromkeys(tensor_shapes(path), path)
        found = [name for name in self._files if f".{name}".endswith(f".{first}")]
        self._prefix = min(found, key=len).removesuffix(first) if found else ""

    def __call__(self, name, shape):
        """Return a tensor as float32 array.

        Raises
        ------
        ModelFormatError
            If it is missing, or has another shape.
        """
        known = self._prefix + name
        for new, old in _OLD_NAMES.items():
            if known not in self._files and known.endswith(new):
                known = known.removesuffix(new) + old
        found = "are missing"
        if known in self._files:
            array = read_tensors(self._files[known], [known])[known]
            if array.shape == tuple(shape):
                return array.astype("float32", copy=False)
            found = f"have the shape {array.shape}"
        raise ModelFormatError(
            f"{self._path}: the weights {name!r} {found}; config.json describes the shape "
            f"{tuple(shape)}."
        )
