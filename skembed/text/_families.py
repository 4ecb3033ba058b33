"""Families of text networks that differ from others in how they are loaded or exported."""

import numpy as np

from skembed.exceptions import ModelFormatError
from skembed.models._modality import Family

# Inputs that graphs made elsewhere may have beside the token ids. Rows are never padded.
IMPLIED_INPUTS = {
    "attention_mask": np.ones_like,
    "token_type_ids": np.zeros_like,
    "position_ids": lambda ids: np.broadcast_to(np.arange(ids.shape[1]), ids.shape).copy(),
}

# Popular models on the hub, which the message about a model that was not found may suggest.
POPULAR = (
    *(
        f"sentence-transformers/{name}"
        for name in (
            "all-MiniLM-L6-v2",
            "all-MiniLM-L12-v2",
            "all-mpnet-base-v2",
            "all-distilroberta-v1",
            "multi-qa-MiniLM-L6-cos-v1",
            "multi-qa-mpnet-base-dot-v1",
            "paraphrase-MiniLM-L6-v2",
            "paraphrase-mpnet-base-v2",
            "paraphrase-multilingual-MiniLM-L12-v2",
            "paraphrase-multilingual-mpnet-base-v2",
            "distiluse-base-multilingual-cased-v2",
            "msmarco-distilbert-base-v4",
            "sentence-t5-base",
            "LaBSE",
        )
    ),
    *(f"BAAI/bge-{size}-en-v1.5" for size in ("small", "base", "large")),
    *(f"intfloat/e5-{size}-v2" for size in ("small", "base", "large")),
    *(f"intfloat/multilingual-e5-{size}" for size in ("small", "base", "large")),
    *(f"thenlper/gte-{size}" for size in ("small", "base", "large")),
    "nomic-ai/modernbert-embed-base",
)

# model_type -> family, for encoder-decoder models of which only the encoder is loaded.
_ENCODERS_OF_PAIRS = {
    "t5": Family(model_class="T5EncoderModel"),
    "mt5": Family(model_class="MT5EncoderModel"),
    "umt5": Family(model_class="UMT5EncoderModel"),
    "longt5": Family(model_class="LongT5EncoderModel"),
    "switch_transformers": Family(model_class="SwitchTransformersEncoderModel"),
}


def _built(name):
    return Family(graph=f"skembed.text._encoders:{name}")


# The same, and families whose graph is built without torch.
FAMILIES = _ENCODERS_OF_PAIRS | {
    "bert": _built("BERT"),
    "distilbert": _built("DISTILBERT"),
    "modernbert": _built("MODERNBERT"),
    "mpnet": _built("MPNET"),
    "roberta": _built("ROBERTA"),
    "xlm-roberta": _built("XLM_ROBERTA"),
}


def check_settings(settings, path):
    """Raise a ModelFormatError if an exported folder's settings have a wrong value.

    Parameters
    ----------
    settings : dict
        The preprocessor's settings in the manifest.
    path : path
        Of the manifest, for the message.
    """
    if settings["max_length"] < 1:
        raise ModelFormatError(f"{path}: max_length must be at least 1.")


def check_encoder(config, path):
    """Raise a ModelFormatError if a config is that of an unsupported encoder-decoder model.

    Parameters
    ----------
    config : dict
        The content of config.json.
    path : path
        Path of the model's folder, for the message.

    Examples
    --------
    >>> check_encoder({"model_type": "t5", "is_encoder_decoder": True}, "folder")
    """
    family = config.get("model_type")
    if config.get("is_encoder_decoder") and family not in _ENCODERS_OF_PAIRS:
        raise ModelFormatError(
            f"{path}: {family!r} is an unsupported encoder-decoder model. The encoders of these "
            f"families are supported: {', '.join(_ENCODERS_OF_PAIRS)}."
        )
