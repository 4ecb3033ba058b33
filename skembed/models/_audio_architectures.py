"""Networks for sounds that can be built without a model's folder: configs of their architectures.

Imports nothing: configs are data.
"""


def _hearing(preset):
    """Return the content of preprocessor_config.json: what the network hears, as a preset."""
    return {"feature_extractor_type": "skembed", "preset": preset}


# Name -> config, and what goes into preprocessor_config.json.
AUDIO_ARCHITECTURES = {
    "cnn14": ({"model_type": "skembed-cnn14"}, _hearing("panns")),
    "cnn-small": ({"model_type": "skembed-cnn-small"}, _hearing("vggish")),
    "vggish": ({"model_type": "skembed-vggish"}, {**_hearing("vggish"), "n_frames": 96}),
}
