"""A model's folder, read without torch: config, digest, modules of Sentence Transformers."""

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from skembed._digest import digest, file_sha256
from skembed.exceptions import ModelFormatError
from skembed.models._config_keys import check_config
from skembed.models._external_data import external_files
from skembed.models._files import file_in, inside, read_json
from skembed.models._head import Dense
from skembed.models._locate import _weights

# Sentence Transformers' names of poolings -> ours, in the order in which it concatenates them.
_POOLINGS = {
    "cls": ("pooling_mode_cls_token", "cls"),
    "max": ("pooling_mode_max_tokens", "max"),
    "mean": ("pooling_mode_mean_tokens", "mean"),
    "mean_sqrt_len_tokens": ("pooling_mode_mean_sqrt_len_tokens", "mean_sqrt_len"),
    "weightedmean": ("pooling_mode_weightedmean_tokens", "weighted_mean"),
    "lasttoken": ("pooling_mode_lasttoken", "last"),
}


@dataclass(frozen=True)
class Modules:
    """What ``modules.json`` says comes after the backbone."""

    pooling: tuple | None = None  # None: it does not say
    include_prompt: bool = True
    dense: tuple = ()
    normalize: bool = False
    prompts: dict = field(default_factory=dict)
    default_prompt: str | None = None


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
        return _first(self.config, "num_hidden_layers", "n_layers", "n_layer")

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
        """What follows the backbone, by ``modules.json``.

        Raises
        ------
        ModelFormatError
            If it names a module that skembed does not know.
        """
        try:
            entries = [
                (entry["type"].rpartition(".")[2], entry["path"]) for entry in self._modules()
            ]
        except (KeyError, TypeError, AttributeError) as error:
            raise ModelFormatError(
                f"{self.path}: modules.json is not a list of modules."
            ) from error
        settings = {}
        dense = []
        for position, (kind, path) in enumerate(entries):
            config = read_json(inside(self.path, path) / "config.json", {}) if path else {}
            if config.get("module_input_name", "sentence_embedding") != "sentence_embedding":
                kind = f"{kind} of tokens"
            if kind == "Transformer" and position == 0:
                settings["pooling"] = ("mean",)
            elif kind == "Pooling":
                settings["pooling"] = _poolings(config)
                settings["include_prompt"] = config.get("include_prompt", True)
            elif kind == "Dense":
                dense.append(_dense(self.path / path, config))
            elif kind == "Normalize":
                settings["normalize"] = True
            elif kind != "Dropout":  # does nothing outside training
                raise ModelFormatError(
                    f"{self.path}: modules.json names a module that skembed does not know: "
                    f"{kind}. It knows Transformer, Pooling, Dense, Normalize and Dropout."
                )
            if settings.get("normalize") and kind == "Dense":
                raise ModelFormatError(f"{self.path}: Dense after Normalize is not supported.")
        prompts = read_json(self.path / "config_sentence_transformers.json", {})
        return Modules(
            dense=tuple(dense),
            prompts=prompts.get("prompts") or {},
            default_prompt=prompts.get("default_prompt_name"),
            **settings,
        )


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


def _poolings(config):
    modes = config.get("pooling_mode")
    if modes is None:
        modes = [mode for mode, (flag, _) in _POOLINGS.items() if config.get(flag)] or ["mean"]
    modes = [modes] if isinstance(modes, str) else modes
    unknown = [mode for mode in modes if mode not in _POOLINGS]
    if unknown:
        raise ModelFormatError(f"Unknown pooling modes {unknown}; known: {list(_POOLINGS)}.")
    return tuple(_POOLINGS[mode][1] for mode in modes)


def _dense(folder, config):
    weights = file_in(folder, "model.safetensors")
    if weights is None:
        raise ModelFormatError(f"{folder} has no model.safetensors; skembed never loads pickle.")
    activation = config.get("activation_function", "torch.nn.modules.activation.Tanh")
    if not activation.startswith("torch.nn.modules."):
        raise ModelFormatError(f"{folder}: activation {activation!r} is not a class of torch.nn.")
    return Dense(
        weights=str(weights),
        sha256=file_sha256(weights),
        activation=activation.rpartition(".")[2],
        residual=bool(config.get("use_residual", False)),
        out_features=int(config["out_features"]),
    )
