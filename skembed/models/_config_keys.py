"""Keys of config.json that select code or files, and how skembed treats them.

transformers (5.23) lets a model's config.json select the code that computes attention, kernels that
are downloaded and run, Python files of the model's author, a backbone that is looked up on the
hub, and the files that hold the weights. skembed decides all of this itself. The tables below list
the keys. They hold for nested configs (``text_config``, ``vision_config``, ``audio_config``,
``encoder``, ...), too. Imports only `exceptions`.
"""

import re

from skembed.exceptions import ModelFormatError

# Dropped: skembed passes its own choice, and vectors do not depend on these keys.
OVERRIDDEN = {
    "auto_map": "Python files of the model's author",
    "custom_pipelines": "Python files of the model's author",
    "attn_implementation": "the code of attention, a downloaded kernel among the choices",
    "_attn_implementation": "the same",
    "_attn_implementation_internal": "the same",
    "experts_implementation": "the code of mixtures of experts",
    "_experts_implementation": "the same",
    "_experts_implementation_internal": "the same",
    "ep_implementation": "the code of experts that are spread over devices",
    "use_kernels": "kernels that are downloaded from the hub",
    "kernel_config": "the same",
    "use_mamba_kernels": "kernels of other packages",
    "disable_custom_kernels": "kernels of other packages",
    "deterministic_flash_attn": "an option of kernels of other packages",
    "reference_compile": "whether torch compiles the model",
    "compile_config": "the same",
    "torchscript": "whether torch traces the model",
    "fusion_config": "modules that replace those of the model",
    "distributed_config": "devices that the model is spread over",
    "tp_plan": "the same",
    "device_map": "the same",
    "gradient_checkpointing": "code of training",
    "chunk_size_feed_forward": "how many positions are computed at a time",
    "output_attentions": "the code of attention: not every one returns its weights",
    "output_hidden_states": "what a call returns; skembed asks for all states",
    "return_dict": "the type that a call returns",
    "use_return_dict": "the same",
    "dtype": "an attribute of torch, by name; skembed loads weights in float32",
    "torch_dtype": "the same",
    "name_or_path": "where the model came from",
    "_name_or_path": "the same",
}
# Refused: without the selected code or files, the network would differ.
REFUSED = {
    "quantization_config": "weights in a format that needs the code of another package",
    "compression_config": "weights in a format that needs the code of another package",
    "transformers_weights": "weights in another file than model.safetensors",
    "backbone": "a backbone that is looked up on the hub, or built by the package timm",
    "backbone_config": "a backbone of another family",
    "backbone_kwargs": "settings of a backbone that is looked up on the hub",
    "use_timm_backbone": "a backbone that the package timm builds",
    "use_pretrained_backbone": "weights of a backbone that are downloaded",
}
# Families that run downloaded kernels, or that consist of models of other families or packages.
REFUSED_FAMILIES = (
    *("mra", "rwkv", "yoso"),
    *("timm_backbone", "timm_wrapper"),
    *("encoder-decoder", "rag", "speech-encoder-decoder", "vision-encoder-decoder"),
)
# Numbers that skembed reads itself.
_WIDTHS = ("hidden_size", "dim", "d_model", "n_embd")
_MAX_WIDTH = 65_536
_SIZES = {
    *_WIDTHS,
    *("num_hidden_layers", "n_layers", "n_layer"),
    *("max_position_embeddings", "vocab_size", "num_channels", "encoder_layers"),
}
# Keys with a number of modules, which are built one by one, and the maximum of this number.
_COUNTS = re.compile(
    r"(^|_)(n_?)?(layers?|depths?|blocks?|repeats?|groups?|experts|stages?)(?!.*size)(_|$)"
)
_MAX_COUNT = 512
_MAX_COEFFICIENT = 16  # factor of such numbers
_MAX_DEPTH = 16  # of nested configs


def check_config(config, path):
    """Raise a ModelFormatError if a config selects code that skembed does not run.

    Parameters
    ----------
    config : dict
        Content of ``config.json``.
    path : path
        Path of the file, for the message.
    """
    for name in _SIZES & set(config):
        value = config[name]
        if value is not None and (type(value) is not int or value < 0):
            raise ModelFormatError(
                f"{path}: {name} must be an integer of at least 0. Got {value!r} instead."
            )
        if name in _WIDTHS and value is not None and value > _MAX_WIDTH:
            raise ModelFormatError(f"{path}: {name} is {value}, more than {_MAX_WIDTH}.")
    for name, value in _walk(config, path):
        if name in REFUSED and value not in (None, False, {}):
            raise ModelFormatError(f"{path}: {name} selects {REFUSED[name]}; skembed refuses it.")
        if name == "model_type" and not isinstance(value, str):
            raise ModelFormatError(f"{path}: model_type must be a string. Got {value!r} instead.")
        if name == "model_type" and value in REFUSED_FAMILIES:
            raise ModelFormatError(
                f"{path}: the family {value!r} runs downloaded code, or consists of models of "
                "other families or packages; skembed refuses it."
            )
        if _COUNTS.search(name):
            limit = _MAX_COEFFICIENT if name.endswith("coefficient") else _MAX_COUNT
            values = value if isinstance(value, list) else [value]
            total = sum(item for item in values if isinstance(item, (int, float)))
            if not total <= limit:
                raise ModelFormatError(
                    f"{path}: {name} is {total:g}; skembed builds at most {limit} modules."
                )


def without_code(config):
    """Return a config without the keys of `OVERRIDDEN`, at any depth.

    Examples
    --------
    >>> without_code({"hidden_size": 8, "text_config": {"auto_map": {}, "n": 1}})
    {'hidden_size': 8, 'text_config': {'n': 1}}
    """
    if isinstance(config, list):
        return [without_code(item) for item in config]
    if not isinstance(config, dict):
        return config
    dropped = {*OVERRIDDEN, *REFUSED}
    return {name: without_code(value) for name, value in config.items() if name not in dropped}


def _walk(config, path, depth=0):
    """Yield all keys of a config and of those nested in it, with their values."""
    if depth > _MAX_DEPTH:
        raise ModelFormatError(f"{path} is nested too deeply.")
    for name, value in config.items():
        yield name, value
        nested = value if isinstance(value, list) else [value]
        for item in nested:
            if isinstance(item, dict):
                yield from _walk(item, path, depth + 1)
