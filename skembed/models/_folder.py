"""A model's folder, read without torch: config, digest, modules of Sentence Transformers."""

from functools import cached_property
from pathlib import Path

from skembed.base._digest import digest, file_sha256
from skembed.exceptions import ModelFormatError
from skembed.models._config_keys import check_config
from skembed.models._external_data import external_files
from skembed.models._files import file_in, inside, read_json
from skembed.models._locate import _weights
from skembed.models._sentence import read_modules


class ModelFolder:
    """A folder in the layout of transformers or Sentence Transformers.

    Parameters
    ----------
    path : path
        The folder, or a single ``.onnx`` file beside which the other files lie.
    """

    def __init__(self, path):
        path = Path(path)
        self.onnx = path if path.suffix == ".onnx" and not path.is_dir() else None
        self.path = path.parent if self.onnx else path
        if self.onnx is None and not _weights(self.path):
            self.onnx = file_in(self.path, "model.onnx")
        if self.onnx is not None and self.onnx.exists() and not self.onnx.is_file():
            raise ModelFormatError(f"{self.onnx} is not a regular file.")

    @cached_property
    def manifest(self):
        """What `export` wrote beside the network; None for any other folder."""
        manifest = read_json(self.path / "manifest.json", kind=object)
        return manifest if isinstance(manifest, dict) and "skembed" in manifest else None

    @cached_property
    def backbone_path(self):
        """The folder of the backbone: the first of the modules, else the folder itself."""
        first = (self._modules() or [{}])[0]
        return inside(self.path, first.get("path", ""))

    @cached_property
    def config(self):
        """The backbone's ``config.json``; empty where an .onnx file stands alone."""
        config = read_json(self.backbone_path / "config.json")
        if config is None and self.onnx is None:
            raise ModelFormatError(f"{self.path} has no config.json.")
        if self.onnx is None:
            check_config(config, self.backbone_path / "config.json")
        return config or {}

    @property
    def n_layers(self):
        """How many layers come after the embedding layer; None where the config does not say."""
        return _first(self.config, "num_hidden_layers", "n_layers", "n_layer", "num_layers")

    @property
    def n_hidden(self):
        """Length of a layer's states."""
        return _first(self.config, "hidden_size", "dim", "d_model", "n_embd")

    @cached_property
    def digest(self):
        """Digest of all that defines the backbone: weights and config."""
        parts = {"config": {k: v for k, v in self.config.items() if k != "_name_or_path"}}
        parts["weights"] = [file_sha256(path) for path in self.weights]
        return digest(parts)

    @cached_property
    def weights(self):
        """The files that hold the backbone; nothing else is loaded."""
        if self.onnx is None:
            return _weights(self.backbone_path)
        return [self.onnx, *_external_data(self.onnx)]

    def _modules(self):
        modules = read_json(self.path / "modules.json", [], kind=list)
        if not all(isinstance(m, dict) and isinstance(m.get("path", ""), str) for m in modules):
            raise ModelFormatError(f"{self.path}: modules.json is not a list of modules.")
        return modules

    @cached_property
    def modules(self):
        """What Sentence Transformers saved that follows the backbone: a `_sentence.Modules`."""
        return read_modules(self)


def _external_data(graph):
    """Return the files beside a graph that hold its weights."""
    folder = graph.parent
    files = {name: file_in(folder, name) for name in external_files(graph)}
    missing = [name for name, file in files.items() if file is None]
    if missing:
        raise ModelFormatError(f"{graph} keeps weights in {missing[0]!r}, which is not beside it.")
    return list(files.values())


def _first(config, *names):
    return next((config[name] for name in names if name in config), None)
