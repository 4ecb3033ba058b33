"""Backbones for images: transformers' networks, and a ResNet of our own for small images.

A backbone for images gives the states of its stages, then one more: the model's own pooled vector,
as a map of one token. Imports torch, and so imported only when a network is loaded.
"""

import torch
from torch import nn

from skembed.models._backbone import Backbone, HiddenStates


class ImageStates(HiddenStates):
    """A transformers model for images that gives the states of its stages and its pooled vector."""

    def __init__(self, model, modality):
        super().__init__(model, modality)
        self.n_special = self.family.n_special and self.family.n_special(model.config)
        if self.n_special is None:
            # Convolutions are faster so on a CPU; the exporter does not see it.
            model.to(memory_format=torch.channels_last)

    def forward(self, inputs):
        """(n_rows, n_channels, height, width) -> maps, tokens of images; pooled (n_rows, 1, n)."""
        inputs = inputs.to(self.model.dtype)
        if self.n_special is None:
            inputs = inputs.contiguous(memory_format=torch.channels_last)
        answer = self.model(**{self.input_name: inputs}, output_hidden_states=True)
        last = answer.last_hidden_state
        if self.n_special is not None:
            states = (*answer.hidden_states[:-1], last)
            # A pooler with weights of its own is missing in many published models.
            return (*(state[:, self.n_special :] for state in states), last[:, :1])
        states = answer.hidden_states[:-1] if self.family.lists_last else answer.hidden_states
        return (*states, last, answer.pooler_output.flatten(1)[:, None])


class _Block(nn.Module):
    """Two convolutions and a way around them."""

    def __init__(self, n_in, n_out, stride):
        super().__init__()
        self.first = nn.Conv2d(n_in, n_out, 3, stride, padding=1, bias=False)
        self.first_norm = nn.BatchNorm2d(n_out)
        self.second = nn.Conv2d(n_out, n_out, 3, padding=1, bias=False)
        self.second_norm = nn.BatchNorm2d(n_out)
        self.shortcut = nn.Identity()
        if stride > 1 or n_in != n_out:
            self.shortcut = nn.Sequential(
                nn.Conv2d(n_in, n_out, 1, stride, bias=False), nn.BatchNorm2d(n_out)
            )

    def forward(self, states):
        answer = self.first_norm(self.first(states)).relu()
        answer = self.second_norm(self.second(answer))
        return (answer + self.shortcut(states)).relu()


class SmallResNet(Backbone):
    """A ResNet for images of some 32 pixels, after section 4.2 of He et al., CVPR 2016.

    Parameters
    ----------
    depths : list of int
        Blocks a stage.
    hidden_sizes : list of int
        Channels of each stage.
    num_channels : int, default=3
        Of the images.
    """

    def __init__(self, depths, hidden_sizes, num_channels=3):
        super().__init__()
        width = hidden_sizes[0]
        self.stem = nn.Sequential(
            nn.Conv2d(num_channels, width, 3, padding=1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(),
        )
        stages = []
        for depth, n_out in zip(depths, hidden_sizes, strict=True):
            blocks = [_Block(width, n_out, stride=2 if stages else 1)]
            blocks += [_Block(n_out, n_out, stride=1) for _ in range(depth - 1)]
            stages.append(nn.Sequential(*blocks))
            width = n_out
        self.stages = nn.ModuleList(stages)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, inputs):
        """(n_rows, n_channels, height, width) -> maps of stem and stages; pooled (n_rows, 1, n)."""
        inputs = inputs.to(self.stem[0].weight.dtype)
        states = [self.stem(inputs.contiguous(memory_format=torch.channels_last))]
        for stage in self.stages:
            states.append(stage(states[-1]))
        return (*states, states[-1].mean(dim=(2, 3))[:, None])


def set_batch_norms(network):
    """Give batch norms the statistics that random images have in a network of random weights.

    With their initial statistics they would do nothing in evaluation, and the states of many layers
    would explode or vanish: MobileNetV2's vectors were of the order of 1e-25.
    """
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    if not norms:
        return
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.momentum = 1.0  # what they see now, and nothing of before
    blots = torch.rand(16, 3, 8, 8) * 4 - 2
    images = nn.functional.interpolate(blots, size=(96, 96), mode="bicubic")
    network.train()
    with torch.no_grad():
        network(images)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    network.eval()
