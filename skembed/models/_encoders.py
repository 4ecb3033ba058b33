"""Encoder-decoder models: those whose encoder is embedded. Imports only `exceptions`."""

from skembed.exceptions import ModelFormatError

# model_type -> class of transformers that is the encoder alone.
ENCODERS = {
    "t5": "T5EncoderModel",
    "mt5": "MT5EncoderModel",
    "umt5": "UMT5EncoderModel",
    "longt5": "LongT5EncoderModel",
    "switch_transformers": "SwitchTransformersEncoderModel",
}


def check_encoder(config, path):
    """Raise a ModelFormatError if a text model's config is of an unsupported encoder-decoder.

    Parameters
    ----------
    config : dict
        The content of config.json.
    path : path
        Of the model's folder, for the message.

    Examples
    --------
    >>> check_encoder({"model_type": "t5", "is_encoder_decoder": True}, "folder")
    """
    family = config.get("model_type")
    if config.get("is_encoder_decoder") and family not in ENCODERS:
        raise ModelFormatError(
            f"{path}: {family!r} is an encoder-decoder model, which is not supported. The encoders "
            f"of these are: {', '.join(ENCODERS)}."
        )
