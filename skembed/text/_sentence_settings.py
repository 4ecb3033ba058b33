"""Read the settings of texts that Sentence Transformers saved in a model's folder.

Each key is applied, ignored because it does not change vectors, or refused by name. The tables
below list the keys. torch is not imported.
"""

from dataclasses import dataclass, field

from skembed.exceptions import ModelFormatError
from skembed.models._files import read_json
from skembed.models._sentence import refuse_unknown

# Keys of sentence_bert_config.json that do not change vectors. Lengths of queries and documents
# apply only if a task is passed, which `encode` does not do.
_IGNORED = {"unpad_inputs", "query_length", "document_length", "query_expansion"}
# Group of arguments that Sentence Transformers passes on -> those that do not change vectors.
_ARGUMENTS = {
    "model_kwargs": {
        "attn_implementation",
        "add_pooling_layer",
        "device_map",
        "dtype",
        "low_cpu_mem_usage",
        "torch_dtype",
        "use_safetensors",
    },
    "config_kwargs": {"add_pooling_layer", "use_cache"},
    "processing_kwargs.text": {"padding", "pad_to_multiple_of", "return_attention_mask"},
    "processing_kwargs.common": {"return_tensors"},
}
_OLD_NAMES = {
    "model_args": "model_kwargs",
    "config_args": "config_kwargs",
    "tokenizer_args": "processor_kwargs",
}


@dataclass(frozen=True)
class TextSettings:
    """The settings of ``sentence_bert_config.json``."""

    max_length: int | None = None
    lowercase: bool = False
    tokenizer: dict = field(default_factory=dict)  # takes precedence over tokenizer_config.json


def read_text_settings(folder):
    """Return the settings of texts that Sentence Transformers saved in a `ModelFolder`.

    Raises
    ------
    ModelFormatError
        If a setting is not supported; the message states file and key.
    """
    # The name contains the family: sentence_bert_config.json, sentence_roberta_config.json.
    paths = sorted(folder.backbone_path.glob("sentence_*_config.json"))
    if (
        folder.onnx is not None and not paths
    ):  # a tokenizer may be beside the graph, and these above
        paths = sorted(folder.path.glob("sentence_*_config.json"))
    if not paths or not (folder.path / "modules.json").exists():
        return TextSettings()
    file = paths[0]
    config = {_OLD_NAMES.get(key, key): value for key, value in read_json(file).items()}
    known = {*_IGNORED, "max_seq_length", "do_lower_case", "processor_kwargs"}
    _check_outputs(file, config)
    tokenizer = _arguments(config, "processor_kwargs")
    for group, ignored in _ARGUMENTS.items():
        _refuse_arguments(file, group, _arguments(config, group), ignored)
    known |= {"transformer_task", "modality_config", "module_output_name", "model_kwargs"}
    known |= {"config_kwargs", "processing_kwargs", "tokenizer_name_or_path"}
    refuse_unknown(file, config, known)
    if config.get("tokenizer_name_or_path"):
        raise ModelFormatError(
            f"{file}: tokenizer_name_or_path is not supported; the tokenizer must be in the folder."
        )
    max_length = config.get("max_seq_length")
    if max_length is not None and not (type(max_length) is int and max_length > 0):
        raise ModelFormatError(
            f"{file}: max_seq_length is {max_length!r}, which is not a positive integer."
        )
    return TextSettings(max_length, bool(config.get("do_lower_case", False)), tokenizer)


def _arguments(config, group):
    """Return the arguments of a group, a dotted name, without ``trust_remote_code``."""
    for name in group.split("."):
        config = config.get(name) or {}
    return {name: value for name, value in config.items() if name != "trust_remote_code"}


def _refuse_arguments(file, group, arguments, ignored):
    truncates = arguments.get("truncation", True) in (True, "longest_first")  # as skembed does
    for name, value in arguments.items():
        if name not in ignored and not (name == "truncation" and truncates):
            raise ModelFormatError(
                f"{file}: skembed does not support {group}.{name} (value {value!r}), which may "
                "change vectors."
            )


def _check_outputs(file, config):
    """Raise a ModelFormatError if the backbone's output is not the last state of each token."""
    task = config.get("transformer_task", "feature-extraction")
    if task != "feature-extraction":
        raise ModelFormatError(f"{file}: transformer_task {task!r} is not supported.")
    modalities = config.get("modality_config")
    if modalities is None:
        return  # Sentence Transformers then uses its defaults, and ignores module_output_name
    text = modalities.get("text")
    outputs = text.get("method_output_name") if isinstance(text, dict) else None
    outputs = outputs if isinstance(outputs, list) else [outputs]
    usual = isinstance(text, dict) and text.get("method") == "forward"
    if not usual or outputs != ["last_hidden_state"] or "message" in modalities:
        raise ModelFormatError(
            f"{file}: modality_config {modalities!r} is not supported. skembed embeds the "
            "'last_hidden_state' of the method 'forward' for 'text'."
        )
    if config.get("module_output_name") != "token_embeddings":
        raise ModelFormatError(
            f"{file}: module_output_name {config.get('module_output_name')!r} is not supported; "
            "'token_embeddings' is."
        )
