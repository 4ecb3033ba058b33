"""EfficientNet-Lite, and the names of its published weights.

This module imports torch; it is imported only when a network is loaded or converted.
"""

import re

import torch
from torch import nn

from skembed.models._backbone import Backbone

_EPSILON = 1e-3  # of batch norms, as in TensorFlow


class _Convolution(nn.Module):
    """A convolution with TensorFlow's padding "SAME", a batch norm and ReLU6."""

    def __init__(self, n_in, n_out, kernel=1, stride=1, groups=1, activation=True):
        super().__init__()
        # With stride 1, the padding is symmetric, and the convolution's own.
        padding = kernel // 2 if stride == 1 else 0
        self.conv = nn.Conv2d(n_in, n_out, kernel, stride, padding, groups=groups, bias=False)
        self.norm = nn.BatchNorm2d(n_out, eps=_EPSILON)
        # Not read from the convolution, which trainable="lora" replaces.
        self.kernel, self.stride, self.activation = kernel, stride, activation

    def forward(self, state):
        if self.stride > 1:
            state = self._padded(state)
        state = self.norm(self.conv(state))
        return nn.functional.relu6(state) if self.activation else state

    def _padded(self, state):
        """Pad a map so that its size is divided by the stride and rounded up.

        The right and the bottom side get one pixel more if the number of pixels is odd.
        """
        padding = []
        for size in (state.shape[3], state.shape[2]):
            n_out = -(-size // self.stride)
            n = max((n_out - 1) * self.stride + self.kernel - size, 0)
            padding += [n // 2, n - n // 2]
        return nn.functional.pad(state, padding)


class _Block(nn.Module):
    """An inverted residual block: expand, filter each channel by itself, project."""

    def __init__(self, n_in, n_out, kernel, stride, expansion):
        super().__init__()
        n_inner = n_in * expansion
        self.expand = _Convolution(n_in, n_inner) if expansion > 1 else nn.Identity()
        self.depthwise = _Convolution(n_inner, n_inner, kernel, stride, groups=n_inner)
        self.project = _Convolution(n_inner, n_out, activation=False)
        self.has_shortcut = stride == 1 and n_in == n_out

    def forward(self, state):
        output = self.project(self.depthwise(self.expand(state)))
        return output + state if self.has_shortcut else output


class EfficientNetLite(Backbone):
    """EfficientNet-Lite: EfficientNet with ReLU6 and without squeeze-and-excitation.

    Parameters
    ----------
    depths, hidden_sizes, kernel_sizes, strides, expansions : list of int
        Number of blocks in each stage; of these blocks the number of output channels, the size of
        the kernel, the stride of the first block, and the factor by which channels are expanded.
    stem_size, head_size : int
        Number of channels of the first and of the last convolution.
    num_channels : int, default=3
        Number of channels of the images.

    References
    ----------
    M. Tan, Q. V. Le, "EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks",
    ICML 2019; the variants "Lite" are of the TensorFlow repository of the same authors.
    """

    def __init__(
        self,
        depths,
        hidden_sizes,
        kernel_sizes,
        strides,
        expansions,
        stem_size,
        head_size,
        num_channels=3,
    ):
        super().__init__()
        self.stem = _Convolution(num_channels, stem_size, kernel=3, stride=2)
        self.blocks = nn.ModuleList()
        width = stem_size
        stages = zip(depths, hidden_sizes, kernel_sizes, strides, expansions, strict=True)
        for depth, n_out, kernel, first_stride, expansion in stages:
            for i in range(depth):
                stride = first_stride if i == 0 else 1
                self.blocks.append(_Block(width, n_out, kernel, stride, expansion))
                width = n_out
        self.head = _Convolution(width, head_size)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")

    def forward(self, inputs):
        """Pixels (n_rows, n_channels, height, width) -> maps, pooled (n_rows, 1, n)."""
        inputs = inputs.to(self.stem.conv.weight.dtype)
        states = [self.stem(inputs.contiguous(memory_format=torch.channels_last))]
        for block in self.blocks:
            states.append(block(states[-1]))
        states.append(self.head(states[-1]))
        return (*states, states[-1].mean(dim=(2, 3))[:, None])


# Parts of a block, and of the network, in the checkpoint -> in the network above.
_OF_BLOCK = {
    "_expand_conv": "expand.conv",
    "_bn0": "expand.norm",
    "_depthwise_conv": "depthwise.conv",
    "_bn1": "depthwise.norm",
    "_project_conv": "project.conv",
    "_bn2": "project.norm",
}
_OF_NETWORK = {
    "_conv_stem": "stem.conv",
    "_bn0": "stem.norm",
    "_conv_head": "head.conv",
    "_bn1": "head.norm",
}


def renamed(weights):
    """Give the weights of a checkpoint the names of `EfficientNetLite`.

    Parameters
    ----------
    weights : dict of str to tensor
        The weights by the names of the package ``efficientnet-lite-pytorch``.

    Returns
    -------
    weights : dict of str to tensor
        Without those of the classifier, which no state needs.
    """
    found = {}
    for name, weight in weights.items():
        block, part, kind = re.fullmatch(r"(?:_blocks\.(\d+)\.)?(\w+)\.(\w+)", name).groups()
        if block is not None:
            found[f"blocks.{block}.{_OF_BLOCK[part]}.{kind}"] = weight
        elif part != "_fc":
            found[f"{_OF_NETWORK[part]}.{kind}"] = weight
    return found
