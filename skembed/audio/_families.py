"""Networks for sounds: families of transformers' models, and architectures with random weights.

Imports neither torch nor transformers.
"""

from collections.abc import Callable
from dataclasses import dataclass

from skembed.models._layer_counts import efficientnet_blocks, stages, transformer_blocks
from skembed.models._modality import Architecture, Family


def _mean_over_time(answer):
    states = (*answer.hidden_states[:-1], answer.last_hidden_state)
    return states, states[-1].mean(dim=1)


def _without_special(answer):
    """Leave out AST's tokens of class and distillation, whose mean is its pooled vector."""
    states = (*answer.hidden_states[:-1], answer.last_hidden_state)
    return [state[:, 2:] for state in states], answer.pooler_output


def _maps(answer):
    return answer.hidden_states, answer.pooler_output.flatten(1)


def _maps_and_last(answer):
    """EfficientNet does not list the convolution behind its last block."""
    states = (*answer.hidden_states, answer.last_hidden_state)
    return states, answer.pooler_output.flatten(1)


def _unchanged(value):
    return value


def _bands_first(inputs):
    return inputs.transpose(1, 2)


def _one_channel(inputs):
    return inputs[:, None]


def _one_channel_bands_first(inputs):
    return inputs.transpose(1, 2)[:, None]


def _unfused(model):
    """Take CLAP's audio model. A window is never longer than its input, so nothing is fused."""
    model.audio_model.audio_encoder.enable_fusion = False
    model.audio_model.audio_encoder.patch_embed.enable_fusion = False
    return model.audio_model


@dataclass(frozen=True)
class AudioFamily(Family):
    """A family of networks for sounds.

    Parameters
    ----------
    encoder : callable
        Takes the model, returns the part of it that embeds sounds.
    input_name : str, default="input_values"
        Name of that part's input.
    layout : callable
        Brings network inputs into the order of axes of that input.
    states : callable
        Takes the answer, returns the states of the layers and the pooled vector.
    projection : callable, default=None
        Takes the model, returns the module that projects the pooled vector. None: there is none.
    """

    encoder: Callable = _unchanged
    input_name: str = "input_values"
    layout: Callable = _unchanged
    states: Callable = _mean_over_time
    projection: Callable | None = None


def _convolutional(n_layers, states=_maps, **settings):
    return AudioFamily(
        n_layers,
        attention=False,
        input_name="pixel_values",
        layout=_one_channel_bands_first,
        states=states,
        **settings,
    )


# By model_type.
FAMILIES = {
    "audio-spectrogram-transformer": AudioFamily(transformer_blocks, states=_without_special),
    "wav2vec2": AudioFamily(transformer_blocks),
    "hubert": AudioFamily(transformer_blocks),
    "wavlm": AudioFamily(transformer_blocks, attention=False),
    "whisper": AudioFamily(
        lambda config: config.get("encoder_layers", 4),
        encoder=lambda model: model.get_encoder(),
        input_name="input_features",
        layout=_bands_first,
    ),
    "clap": AudioFamily(
        lambda config: len(config.get("audio_config", {}).get("depths", [2, 2, 6, 2])),
        attention=False,
        encoder=_unfused,
        input_name="input_features",
        layout=_one_channel,
        states=_maps,
        projection=lambda model: model.audio_projection,
    ),
    "convnext": _convolutional(stages),
    "convnextv2": _convolutional(stages),
    "efficientnet": _convolutional(efficientnet_blocks, _maps_and_last, fixed_pooler=True),
    "skembed-cnn14": Family(lambda config: 5),
    "skembed-cnn-small": Family(lambda config: 4),
    "skembed-vggish": Family(lambda config: 3),
}
# Networks of our own.
NETWORKS = {
    "skembed-cnn14": "skembed.audio._cnns:Cnn14",
    "skembed-cnn-small": "skembed.audio._cnns:CnnSmall",
    "skembed-vggish": "skembed.audio._cnns:Vggish",
}


def _architecture(model_type, preset, **settings):
    """Return an `Architecture` whose preprocessor_config.json names a preset."""
    preprocessing = {"feature_extractor_type": "skembed", "preset": preset, **settings}
    return Architecture({"model_type": model_type}, {"preprocessor_config.json": preprocessing})


ARCHITECTURES = {
    "cnn14": _architecture("skembed-cnn14", "panns"),
    "cnn-small": _architecture("skembed-cnn-small", "vggish"),
    "vggish": _architecture("skembed-vggish", "vggish", n_frames=96),
}
