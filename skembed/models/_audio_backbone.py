"""Backbones for sounds: transformers' networks, given a waveform or a log-mel spectrogram.

Such a backbone gives the states of its layers, then one more: the model's own pooled vector, as one
token. Imports torch, and so imported only when a network is loaded.
"""

from torch import nn

from skembed.exceptions import ModelFormatError
from skembed.models._backbone import Backbone, HiddenStates
from skembed.models._image_backbone import pool_all


class AudioStates(HiddenStates):
    """A transformers model for sounds that gives the states of its layers and its pooled vector."""

    # Decoders and texts; what stands for masked frames in training.
    unused = ("pooler", "decoder.", "text_model.", "text_projection.", "logit_scale", "masked_spec")

    def __init__(self, model, input_name):
        family = model.config.model_type
        if family not in _FAMILIES:
            raise ModelFormatError(
                f"{family!r} is not a family of networks for sounds that skembed knows: "
                f"{', '.join(sorted(_FAMILIES))}."
            )
        part, input_name, self.arranged, self.answer = _FAMILIES[family]
        super().__init__(part(model), input_name)
        steady_norms(self.model)
        pool_all(self.model)
        self.whole = _Rest(model) if family == "clap" else None
        if family not in _ATTENTIVE:
            self.attentions = Backbone.attentions
            self.attention = super(HiddenStates, self).attention

    def forward(self, inputs):
        """(n_rows, n_samples), or (n_rows, n_frames, n_mels) -> states, pooled (n_rows, 1, n)."""
        given = {self.input_name: self.arranged(inputs.to(self.model.dtype))}
        answer = self.model(**given, output_hidden_states=True)
        states, pooled = self.answer(answer)
        if self.whole is not None:
            pooled = self.whole.projection(pooled)
        return (*states, pooled[:, None])


class _ChannelNorm(nn.Module):
    """Group normalization of single channels over time, whose sums are in float64.

    Wav2Vec2 normalizes over thousands of steps a second. ONNX Runtime adds them one by one, which
    in float32 moved vectors of five seconds by 1e-3.
    """

    def __init__(self, norm):
        super().__init__()
        self.weight, self.bias, self.eps = norm.weight, norm.bias, norm.eps

    def forward(self, states):
        """(n_rows, n_channels, n_steps) -> the same, normalized."""
        states = states - states.double().mean(dim=2, keepdim=True).to(states.dtype)
        variance = (states * states).double().mean(dim=2, keepdim=True)
        scale = (self.weight[:, None] / (variance + self.eps).sqrt()).to(states.dtype)
        return states * scale + self.bias[:, None]


def steady_norms(model):
    """Replace a model's norms of single channels by `_ChannelNorm`."""
    for module in model.modules():
        for name, norm in module.named_children():
            if isinstance(norm, nn.GroupNorm) and norm.num_groups == norm.num_channels:
                setattr(module, name, _ChannelNorm(norm))


class _Rest(nn.Module):
    """What comes after CLAP's audio model: the way into the space that it shares with texts."""

    def __init__(self, model):
        super().__init__()
        self.projection = model.audio_projection


def _mean_over_time(answer):
    states = (*answer.hidden_states[:-1], answer.last_hidden_state)
    return states, states[-1].mean(dim=1)


def _without_special(answer):
    """Leave out AST's tokens of class and distillation, whose mean is its pooled vector."""
    states = (*answer.hidden_states[:-1], answer.last_hidden_state)
    return [state[:, 2:] for state in states], answer.pooler_output


def _maps(answer):
    return answer.hidden_states, answer.pooler_output.flatten(1)


def _blocks_and_top(answer):
    """EfficientNet does not list the convolution behind its last block."""
    states = (*answer.hidden_states, answer.last_hidden_state)
    return states, answer.pooler_output.flatten(1)


def _as_it_is(inputs):
    return inputs


def _bands_first(inputs):
    return inputs.transpose(1, 2)


def _one_channel(inputs):
    return inputs[:, None]


def _one_channel_bands_first(inputs):
    return inputs.transpose(1, 2)[:, None]


def _itself(model):
    return model


def _unfused(model):
    """Take CLAP's audio model; a window is never longer than it takes, so nothing is fused."""
    model.audio_model.audio_encoder.enable_fusion = False
    model.audio_model.audio_encoder.patch_embed.enable_fusion = False
    return model.audio_model


_WAVE = (_itself, "input_values", _as_it_is, _mean_over_time)
_IMAGE = (_itself, "pixel_values", _one_channel_bands_first, _maps)
# model_type -> the part that hears, the name and the order of axes of its input, what its answer
# holds.
_FAMILIES = {
    "audio-spectrogram-transformer": (_itself, "input_values", _as_it_is, _without_special),
    "wav2vec2": _WAVE,
    "hubert": _WAVE,
    "wavlm": _WAVE,
    "whisper": (
        lambda model: model.get_encoder(),
        "input_features",
        _bands_first,
        _mean_over_time,
    ),
    "clap": (_unfused, "input_features", _one_channel, _maps),
    "convnext": _IMAGE,
    "convnextv2": _IMAGE,
    "efficientnet": (*_IMAGE[:3], _blocks_and_top),
}
# Families whose attention may be chosen.
_ATTENTIVE = {"audio-spectrogram-transformer", "wav2vec2", "hubert", "whisper"}
