"""Backbones for images: models of transformers, and a ResNet for small images.

A backbone returns the states of its stages, followed by the model's own pooled vector as a state of
one token. This module imports torch; it is imported only when a network is loaded.
"""

import torch
from torch import nn

from skembed.models._backbone import Backbone, HiddenStates


class ImageStates(HiddenStates):
    """Return the states of the stages of a transformers model, and its pooled vector."""

    def __init__(self, model, input_name, family):
        super().__init__(model, input_name, family)
        self.n_special = self.family.n_special and self.family.n_special(model.config)
        if self.n_special is None:
            # Convolutions are faster in this layout on a CPU. It does not change exported graphs.
            model.to(memory_format=torch.channels_last)

    def forward(self, inputs):
        """Pixels (n_rows, n_channels, height, width) -> maps or tokens, pooled (n_rows, 1, n)."""
        inputs = inputs.to(self.model.dtype)
        if self.n_special is None:
            inputs = inputs.contiguous(memory_format=torch.channels_last)
        output = self.model(**{self.input_name: inputs}, output_hidden_states=True)
        last = output.last_hidden_state
        if self.n_special is not None:
            states = (*output.hidden_states[:-1], last)
            # The class token is the pooled vector: many published models have no weights for
            # the pooler.
            return (*(state[:, self.n_special :] for state in states), last[:, :1])
        states = output.hidden_states[:-1] if self.family.lists_last else output.hidden_states
        return (*states, last, output.pooler_output.flatten(1)[:, None])


class _Block(nn.Module):
    """Two convolutions with a shortcut connection."""

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
        output = self.first_norm(self.first(states)).relu()
        output = self.second_norm(self.second(output))
        return (output + self.shortcut(states)).relu()


class SmallResNet(Backbone):
    """A ResNet for images of about 32 x 32 pixels.

    Parameters
    ----------
    depths : list of int
        Number of blocks in each stage.
    hidden_sizes : list of int
        Number of channels in each stage.
    num_channels : int, default=3
        Number of channels of the images.

    References
    ----------
    K. He, X. Zhang, S. Ren, J. Sun, "Deep Residual Learning for Image Recognition", CVPR 2016,
    section 4.2.
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
        """Pixels (n_rows, n_channels, height, width) -> maps, pooled (n_rows, 1, n)."""
        inputs = inputs.to(self.stem[0].weight.dtype)
        states = [self.stem(inputs.contiguous(memory_format=torch.channels_last))]
        for stage in self.stages:
            states.append(stage(states[-1]))
        return (*states, states[-1].mean(dim=(2, 3))[:, None])


def calibrate_batch_norms(network):
    """Set the statistics of batch norms to those of random images.

    In evaluation mode, batch norms with their initial statistics do not normalize. The states of a
    deep network with random weights then explode or vanish: vectors of MobileNetV2 were of the
    order of 1e-25.

    Parameters
    ----------
    network : torch.nn.Module
        A network with random weights. It is in evaluation mode afterwards.
    """
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    if not norms:
        return
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.momentum = 1.0  # the next batch alone determines the statistics
    # Smooth images: independent pixels would be averaged away by the first convolutions.
    coarse = torch.rand(16, 3, 8, 8) * 4 - 2
    images = nn.functional.interpolate(coarse, size=(96, 96), mode="bicubic")
    network.train()
    with torch.no_grad():
        network(images)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    network.eval()
