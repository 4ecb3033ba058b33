"""Read the files of Sentence Transformers in a model's folder: modules and prompts.

Each key is applied, ignored because it does not change vectors, or refused by name. The tables
below list the keys. torch is not imported.
"""

from dataclasses import dataclass, field

from skembed.base._digest import file_sha256
from skembed.exceptions import ModelFormatError
from skembed.models._files import file_in, inside, read_json
from skembed.models._head import Dense

# Name of a pooling in Sentence Transformers -> (its old flag, its name here), in the order in which
# Sentence Transformers concatenates them.
POOLINGS = {
    "cls": ("pooling_mode_cls_token", "cls"),
    "max": ("pooling_mode_max_tokens", "max"),
    "mean": ("pooling_mode_mean_tokens", "mean"),
    "mean_sqrt_len_tokens": ("pooling_mode_mean_sqrt_len_tokens", "mean_sqrt_len"),
    "weightedmean": ("pooling_mode_weightedmean_tokens", "weighted_mean"),
    "lasttoken": ("pooling_mode_lasttoken", "last"),
}

# Classes of torch.nn that a Dense module may use: elementwise, without weights.
_ACTIVATIONS = (
    "Identity Tanh ReLU ReLU6 LeakyReLU ELU CELU SELU GELU SiLU Mish Sigmoid LogSigmoid Softplus "
    "Softsign Softshrink Hardshrink Tanhshrink Hardtanh Hardsigmoid Hardswish"
).split()

# Supported modules -> supported keys of their config.json.
_MODULES = {
    "Transformer": set(),  # modalities read its settings
    "Pooling": {
        "word_embedding_dimension",
        "embedding_dimension",
        "pooling_mode",
        "include_prompt",
        *(flag for flag, _ in POOLINGS.values()),
    },
    "Dense": {
        "in_features",
        "out_features",
        "bias",
        "activation_function",
        "use_residual",
        "module_input_name",
        "module_output_name",
    },
    "Normalize": {"module_input_name", "module_output_name"},
    "Dropout": {"dropout"},
}
# Supported orders of modules, by the kind of the first.
_ORDERS = {
    "Transformer": "Transformer, then Pooling, then Dense, Normalize and Dropout",
    "StaticEmbedding": "StaticEmbedding, then Normalize and Dropout",
}
# Which embedder supports another module.
_ELSEWHERE = {"StaticEmbedding": " For static models, use StaticEmbedder."}
# Modules that require a config.json.
_WITH_CONFIG = ("Pooling", "Dense")

# Keys of config_sentence_transformers.json that do not change vectors.
_IGNORED = {"__version__", "similarity_fn_name"}


@dataclass(frozen=True)
class Modules:
    """The modules of a folder after the backbone, and its prompts."""

    pooling: tuple | None = None  # None: not stated
    include_prompt: bool = True
    dense: tuple = ()
    normalize: bool = False
    truncate_dim: int | None = None  # applied last
    prompts: dict = field(default_factory=dict)
    default_prompt: str | None = None


def read_modules(folder):
    """Return the modules after the backbone of a `ModelFolder`.

    Raises
    ------
    ModelFormatError
        If a setting is not supported; the message states file and key.
    """
    entries = check_modules(folder.path)
    if not entries:
        # Without modules.json, Sentence Transformers ignores its other files, too.
        return Modules(pooling=_pooling_without_modules(folder))
    settings, dense = {}, []
    for kind, path in entries[1:]:
        place = inside(folder.path, path)
        config = _module_config(place, kind)
        if kind == "Pooling":
            settings["pooling"] = _poolings(place / "config.json", config)
            settings["include_prompt"] = bool(config.get("include_prompt", True))
        elif kind == "Dense":
            dense.append(_dense(place, config))
        elif kind == "Normalize":
            settings["normalize"] = True
    return Modules(dense=tuple(dense), **settings, **model_settings(folder.path))


def check_modules(path, first="Transformer"):
    """Return kind and path of each module of a folder; an empty list without ``modules.json``.

    Parameters
    ----------
    path : pathlib.Path
        The folder.
    first : {"Transformer", "StaticEmbedding"}, default="Transformer"
        The kind of its first module.

    Raises
    ------
    ModelFormatError
        If a module or the order of the modules is not supported.
    """
    file = path / "modules.json"
    try:
        entries = [(entry["type"], entry["path"]) for entry in read_json(file, [], kind=list)]
        kinds = [kind.rpartition(".")[2] for kind, _ in entries]
    except (KeyError, TypeError, AttributeError) as error:
        raise ModelFormatError(f"{path}: modules.json is not a list of modules.") from error
    for (kind, _), name in zip(entries, kinds, strict=True):
        if not kind.startswith("sentence_transformers."):
            raise ModelFormatError(
                f"{file} contains the module {kind}, code from outside Sentence Transformers, "
                "which skembed never runs."
            )
        if name not in _MODULES and name != first:
            raise ModelFormatError(
                f"{file} contains a module that skembed does not support: {name} ({kind}). "
                f"Supported modules: {', '.join(_MODULES)}.{_ELSEWHERE.get(name, '')}"
            )
    if kinds and not _in_order(kinds, first):
        raise ModelFormatError(
            f"{file}: the modules are {', '.join(kinds)}. skembed supports {_ORDERS[first]}."
        )
    if "Normalize" in kinds and "Dense" in kinds[kinds.index("Normalize") :]:
        raise ModelFormatError(f"{file}: Dense after Normalize is not supported.")
    return [(name, module_path) for name, (_, module_path) in zip(kinds, entries, strict=True)]


def _in_order(kinds, first):
    """Tell whether modules of these kinds follow one another in a supported order."""
    if first == "StaticEmbedding":
        return kinds[0] == first and set(kinds[1:]) <= {"Normalize", "Dropout"}
    once = kinds.count("Pooling") == 1 and "Transformer" not in kinds[1:]
    return kinds[:2] == ["Transformer", "Pooling"] and once


def _module_config(place, kind):
    """Return the config of a module; raise a ModelFormatError for unsupported keys."""
    file = place / "config.json"
    config = read_json(file)
    if config is None and kind in _WITH_CONFIG:
        raise ModelFormatError(f"{file} is missing: the {kind} module's settings are unknown.")
    config = config or {}
    refuse_unknown(file, config, _MODULES[kind])
    # Modules may compute other features than the embedding of the text, which skembed does not do.
    source = config.get("module_input_name") or "sentence_embedding"
    target = config.get("module_output_name") or source
    for key, value in (("module_input_name", source), ("module_output_name", target)):
        if value != "sentence_embedding":
            of_tokens = "of tokens " if value == "token_embeddings" else ""
            raise ModelFormatError(
                f"{file}: a {kind} module {of_tokens}is not supported ({key} is {value!r})."
            )
    return config


def refuse_unknown(file, config, known):
    """Raise a ModelFormatError for a key that is not among the known ones."""
    unknown = sorted(set(config) - set(known))
    if unknown:
        raise ModelFormatError(
            f"{file}: skembed does not support the key {unknown[0]!r} "
            f"(value {config[unknown[0]]!r}), which may change vectors."
        )


def _pooling_without_modules(folder):
    """Return the pooling of a plain transformers folder: the last token of causal models."""
    architectures = folder.config.get("architectures") or [""]
    causal = architectures[0].endswith("ForCausalLM") and folder.config.get("is_causal", True)
    return ("last",) if causal else None


def _poolings(file, config):
    modes = config.get("pooling_mode")
    if modes is None:
        modes = [mode for mode, (flag, _) in POOLINGS.items() if config.get(flag)] or ["mean"]
    modes = [modes] if isinstance(modes, str) else modes
    unknown = [mode for mode in modes if mode not in POOLINGS]
    if unknown or not modes:
        raise ModelFormatError(f"{file}: unknown pooling modes {unknown}; known: {list(POOLINGS)}.")
    return tuple(POOLINGS[mode][1] for mode in modes)


def _dense(place, config):
    weights = file_in(place, "model.safetensors")
    if weights is None:
        raise ModelFormatError(f"{place} has no model.safetensors; skembed never loads pickle.")
    path = config.get("activation_function", "torch.nn.modules.activation.Tanh")
    package, _, name = str(path).rpartition(".")
    if not (package == "torch.nn" or package.startswith("torch.nn.")) or name not in _ACTIVATIONS:
        raise ModelFormatError(
            f"{place / 'config.json'}: activation_function {path!r} is not a supported class of "
            f"torch.nn: {', '.join(_ACTIVATIONS)}."
        )
    return Dense(
        weights=str(weights),
        sha256=file_sha256(weights),
        activation=name,
        residual=bool(config.get("use_residual", False)),
        out_features=int(config["out_features"]),
    )


def model_settings(path):
    """Return prompts and ``truncate_dim`` of ``config_sentence_transformers.json``."""
    file = path / "config_sentence_transformers.json"
    config = read_json(file, {})
    refuse_unknown(
        file, config, {*_IGNORED, "model_type", "prompts", "default_prompt_name", "truncate_dim"}
    )
    if config.get("model_type", "SentenceTransformer") != "SentenceTransformer":
        raise ModelFormatError(
            f"{file}: model_type {config['model_type']!r} is not supported; a SentenceTransformer "
            "is."
        )
    prompts = {name: text or "" for name, text in (config.get("prompts") or {}).items()}
    wrong = [name for name, text in prompts.items() if not isinstance(text, str)]
    if wrong:
        raise ModelFormatError(f"{file}: the prompt {wrong[0]!r} is not text.")
    default = config.get("default_prompt_name")
    if default in ("query", "document") and default not in prompts:
        default = None  # Sentence Transformers adds these two prompts itself, as empty texts
    if default is not None and default not in prompts:
        raise ModelFormatError(
            f"{file}: default_prompt_name is {default!r}; the prompts are {list(prompts)}."
        )
    truncate_dim = config.get("truncate_dim")
    if truncate_dim is not None and not (type(truncate_dim) is int and truncate_dim > 0):
        raise ModelFormatError(
            f"{file}: truncate_dim is {truncate_dim!r}, which is not a positive integer."
        )
    return {"prompts": prompts, "default_prompt": default, "truncate_dim": truncate_dim}
