"""Families of networks for audio, and architectures that are built with random weights.

Imports neither torch nor transformers.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from skembed.models._layer_counts import efficientnet_blocks, stages, transformer_blocks
from skembed.models._modality import Architecture, Family


def _mean_over_time(output):
    states = (*output.hidden_states[:-1], output.last_hidden_state)
    return states, states[-1].mean(dim=1)


def _without_special(output):
    """Drop the class and distillation tokens of AST; its pooled vector is their mean."""
    states = (*output.hidden_states[:-1], output.last_hidden_state)
    return [state[:, 2:] for state in states], output.pooler_output


def _maps(output):
    return output.hidden_states, output.pooler_output.flatten(1)


def _maps_and_last(output):
    """Append the last state, which EfficientNet does not list in `hidden_states`."""
    states = (*output.hidden_states, output.last_hidden_state)
    return states, output.pooler_output.flatten(1)


def _unchanged(value):
    return value


def _bands_first(inputs):
    return inputs.transpose(1, 2)


def _one_channel(inputs):
    return inputs[:, None]


def _one_channel_bands_first(inputs):
    return inputs.transpose(1, 2)[:, None]


def _unfused(model):
    """Return CLAP's audio model without fusion, which is only for inputs of several windows."""
    model.audio_model.audio_encoder.enable_fusion = False
    model.audio_model.audio_encoder.patch_embed.enable_fusion = False
    return model.audio_model


@dataclass(frozen=True)
class AudioFamily(Family):
    """A family of networks for audio.

    Parameters
    ----------
    encoder : callable, default=identity
        Takes the model, and returns its audio encoder.
    input_name : str, default="input_values"
        Name of the encoder's input.
    layout : callable, default=identity
        Converts network inputs to the axis order of the encoder's input.
    states : callable
        Takes the output of the encoder, and returns the states of the layers and the pooled vector.
        Default: the pooled vector is the mean of the last state over time.
    projection : callable, default=None
        Takes the model, and returns the module that projects the pooled vector. None: there is no
        such module.
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


# model_type -> family.
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
    "skembed-mfcc-statistics": Family(lambda config: 1),
    "skembed-vggish": Family(lambda config: 3),
}
# model_type -> class of a network that skembed implements.
NETWORKS = {
    "skembed-cnn14": "skembed.audio._cnns:Cnn14",
    "skembed-cnn-small": "skembed.audio._cnns:CnnSmall",
    "skembed-mfcc-statistics": "skembed.audio._statistics:MfccStatistics",
    "skembed-vggish": "skembed.audio._cnns:Vggish",
}


# Further inputs of graphs that were made elsewhere. Windows are never padded.
IMPLIED_INPUTS = {"attention_mask": lambda waves: np.ones(waves.shape, dtype=np.int64)}


def _architecture(model_type, preset, fixed=False, **settings):
    """Return an `Architecture` whose preprocessor_config.json names a preset."""
    preprocessing = {"feature_extractor_type": "skembed", "preset": preset, **settings}
    files = {"preprocessor_config.json": preprocessing}
    return Architecture({"model_type": model_type}, files, fixed=fixed)


ARCHITECTURES = {
    "cnn14": _architecture("skembed-cnn14", "panns"),
    "cnn-small": _architecture("skembed-cnn-small", "vggish"),
    "mfcc-statistics": _architecture("skembed-mfcc-statistics", "mfcc-statistics", fixed=True),
    "vggish": _architecture("skembed-vggish", "vggish", n_frames=96),
}
