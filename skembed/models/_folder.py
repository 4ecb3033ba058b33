"""Read a model's folder without torch: config, weights, modules of Sentence Transformers."""

from functools import cached_property
from pathlib import Path

from skembed.base._digest import digest, file_sha256
from skembed.exceptions import ModelFormatError
from skembed.models._config_keys import check_config
from skembed.models._external_data import external_files
from skembed.models._files import file_in, inside, read_json
from skembed.models._graph_summary import graph_summary
from skembed.models._locate import graph_file, weight_files
from skembed.models._sentence import read_modules

# Files by which the folder of an .onnx file is found, see `_home_of`.
_SETTINGS = ("config.json", "tokenizer.json", "preprocessor_config.json")


class ModelFolder:
    """A folder in the layout of transformers or Sentence Transformers.

    Parameters
    ----------
    path : path
        The folder, or an ``.onnx`` file in the folder or in a folder of it. The graph of a folder
        is used only if the folder has no weights in safetensors files.
    """

    def __init__(self, path):
        path = Path(path)
        self.onnx = path if path.suffix == ".onnx" and not path.is_dir() else None
        self.path = _home_of(path) if self.onnx else path
        if self.onnx is None and not weight_files(self.path):
            self.onnx = graph_file(self.path)
        if self.onnx is not None and self.onnx.exists() and not self.onnx.is_file():
            raise ModelFormatError(f"{self.onnx} is not a regular file.")

    @cached_property
    def manifest(self):
        """The manifest of an exported folder; None for other folders."""
        if self.onnx is not None and self.onnx.parent != self.path:
            return None  # it is about another graph
        manifest = read_json(self.path / "manifest.json", kind=object)
        return manifest if isinstance(manifest, dict) and "skembed" in manifest else None

    @cached_property
    def backbone_path(self):
        """The folder of the backbone: that of the first module, else the folder itself.

        Of a graph, the folder of its settings, which may be the graph's own.
        """
        first = (self._modules() or [{}])[0]
        path = inside(self.path, first.get("path", ""))
        if self.onnx is not None and not _has_settings(path) and _has_settings(self.onnx.parent):
            return self.onnx.parent
        return path

    @cached_property
    def graph(self):
        """Outputs and operators of the graph, a `GraphSummary`."""
        return graph_summary(self.onnx)

    @cached_property
    def config(self):
        """The content of the backbone's ``config.json``; empty for an .onnx file without one."""
        config = read_json(self.backbone_path / "config.json")
        if config is None and self.onnx is None:
            raise ModelFormatError(f"{self.path} has no config.json.")
        if self.onnx is None:
            check_config(config, self.backbone_path / "config.json")
        return config or {}

    @property
    def n_layers(self):
        """Number of layers after the embedding layer; None if the config does not state it."""
        return _first(self.config, "num_hidden_layers", "n_layers", "n_layer", "num_layers")

    @property
    def n_hidden(self):
        """Length of the states of a layer; None if the config does not state it."""
        return _first(self.config, "hidden_size", "dim", "d_model", "n_embd")

    @cached_property
    def digest(self):
        """Digest of everything that defines the backbone: weights and config."""
        parts = {"config": {k: v for k, v in self.config.items() if k != "_name_or_path"}}
        parts["weights"] = [file_sha256(path) for path in self.weights]
        return digest(parts)

    @cached_property
    def weights(self):
        """The files of the backbone's weights; no other files are loaded."""
        if self.onnx is None:
            return weight_files(self.backbone_path)
        return [self.onnx, *_external_weights(self.onnx)]

    def _modules(self):
        modules = read_json(self.path / "modules.json", [], kind=list)
        if not all(isinstance(m, dict) and isinstance(m.get("path", ""), str) for m in modules):
            raise ModelFormatError(f"{self.path}: modules.json is not a list of modules.")
        return modules

    @cached_property
    def modules(self):
        """The modules of Sentence Transformers after the backbone, a `_sentence.Modules`."""
        return read_modules(self)


def _has_settings(path):
    return any((path / name).exists() for name in _SETTINGS)


def _home_of(graph):
    """Return the folder of the model of an .onnx file: its own, or the one above.

    Many models on the hub have their settings in a folder, and graphs in the folder ``onnx`` in it.
    """
    own, above = graph.parent, graph.parent.parent
    if (own / "manifest.json").exists():
        return own
    for has in (lambda place: (place / "modules.json").exists(), _has_settings):
        for place in (own, above):
            if has(place):
                return place
    return own


def _external_weights(graph):
    """Return the files in a graph's folder that contain its weights."""
    folder = graph.parent
    files = {name: file_in(folder, name) for name in external_files(graph)}
    missing = [name for name, file in files.items() if file is None]
    if missing:
        raise ModelFormatError(f"{graph} needs the file {missing[0]!r}, which does not exist.")
    return list(files.values())


def _first(config, *names):
    return next((config[name] for name in names if name in config), None)
