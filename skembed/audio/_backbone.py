"""Backbones for audio: models of transformers that take waveforms or log-mel spectrograms.

A backbone returns the states of its layers, followed by the model's own pooled vector as a state of
one token. This module imports torch; it is imported only when a network is loaded.
"""

from torch import nn

from skembed.models._backbone import HiddenStates


class AudioStates(HiddenStates):
    """Return the states of the layers of a transformers model, and its pooled vector."""

    # Weights of decoders and of text models, and the vector of masked frames in training.
    unused = ("pooler", "decoder.", "text_model.", "text_projection.", "logit_scale", "masked_spec")

    def __init__(self, model, input_name, family):
        super().__init__(model, input_name, family)
        self.input_name = family.input_name  # that of the encoder
        self.model = self.family.encoder(model)
        replace_channel_norms(self.model)
        self.projection = self.family.projection and self.family.projection(model)

    def forward(self, inputs):
        """(n_rows, n_samples) or (n_rows, n_frames, n_mels) -> states, pooled (n_rows, 1, n)."""
        inputs = {self.input_name: self.family.layout(inputs.to(self.model.dtype))}
        states, pooled = self.family.states(self.model(**inputs, output_hidden_states=True))
        if self.projection is not None:
            pooled = self.projection(pooled)
        return (*states, pooled[:, None])


class _ChannelNorm(nn.Module):
    """Normalize each channel over time, with sums in float64.

    Wav2Vec2 normalizes over thousands of steps per second. ONNX Runtime adds them one by one. In
    float32, the rounding errors changed the vectors of sounds of five seconds by 1e-3.
    """

    def __init__(self, norm):
        super().__init__()
        self.weight, self.bias, self.eps = norm.weight, norm.bias, norm.eps

    def forward(self, states):
        """States (n_rows, n_channels, n_steps) -> normalized states of the same shape."""
        states = states - states.double().mean(dim=2, keepdim=True).to(states.dtype)
        variance = (states * states).double().mean(dim=2, keepdim=True)
        scale = (self.weight[:, None] / (variance + self.eps).sqrt()).to(states.dtype)
        return states * scale + self.bias[:, None]


def replace_channel_norms(model):
    """Replace the group norms of a model that have one channel per group by `_ChannelNorm`."""
    for module in model.modules():
        for name, norm in module.named_children():
            if isinstance(norm, nn.GroupNorm) and norm.num_groups == norm.num_channels:
                setattr(module, name, _ChannelNorm(norm))
