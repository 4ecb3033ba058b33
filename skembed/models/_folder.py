"""A model's folder, read without torch: config, digest, modules of Sentence Transformers."""

import json
from functools import cached_property
from pathlib import Path

from skembed._digest import digest, file_sha256
from skembed.exceptions import ModelFormatError
from skembed.models._locate import _weights


def read_json(path, default=None):
    """Return the JSON of a file; `default` if there is none.

    Raises
    ------
    ModelFormatError
        If the file is not JSON.
    """
    path = Path(path)
    if not path.exists():
        return default
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ModelFormatError(f"{path} is not JSON: {error}") from error


class ModelFolder:
    """A folder in the layout of transformers or Sentence Transformers.

    Parameters
    ----------
    path : path
        The folder, or a single ``.onnx`` file beside which the other files lie.
    """

    def __init__(self, path):
        path = Path(path)
        self.onnx = path if path.suffix == ".onnx" else None
        self.path = path.parent if self.onnx else path
        if self.onnx is None and not _weights(self.path) and (self.path / "model.onnx").exists():
            self.onnx = self.path / "model.onnx"

    @cached_property
    def manifest(self):
        """What `export` wrote beside the network; None for any other folder."""
        manifest = read_json(self.path / "manifest.json")
        return manifest if isinstance(manifest, dict) and "skembed" in manifest else None

    @cached_property
    def backbone_path(self):
        """The folder of the backbone: the first of the modules, else the folder itself."""
        first = (self._modules() or [{}])[0]
        return self.path / first.get("path", "")

    @cached_property
    def config(self):
        """The backbone's ``config.json``; empty where an .onnx file stands alone."""
        config = read_json(self.backbone_path / "config.json")
        if config is None and self.onnx is None:
            raise ModelFormatError(f"{self.path} has no config.json.")
        return config or {}

    @property
    def n_layers(self):
        """How many layers come after the embedding layer; None where the config does not say."""
        return _first(self.config, "num_hidden_layers", "n_layers", "n_layer")

    @property
    def n_hidden(self):
        """Length of a layer's states."""
        return _first(self.config, "hidden_size", "dim", "d_model", "n_embd")

    @cached_property
    def digest(self):
        """Digest of all that defines the backbone: weights and config."""
        weights = [self.onnx] if self.onnx else _weights(self.backbone_path)
        data = _files_named_by(self.onnx) if self.onnx else []
        parts = {"config": {k: v for k, v in self.config.items() if k != "_name_or_path"}}
        parts["weights"] = [file_sha256(path) for path in [*weights, *data]]
        return digest(parts)

    def _modules(self):
        return read_json(self.path / "modules.json", [])

    @cached_property
    def modules(self):
        """What Sentence Transformers saved that follows the backbone: a `_sentence.Modules`."""
        from skembed.models._sentence import read_modules

        return read_modules(self)


def _files_named_by(graph):
    """Return the files beside a graph that may hold its weights: it or its name names them."""
    content = graph.read_bytes()
    files = [path for path in sorted(graph.parent.iterdir()) if path.is_file() and path != graph]
    return [f for f in files if f.name.startswith(graph.name) or f.name.encode() in content]


def _first(config, *names):
    return next((config[name] for name in names if name in config), None)
