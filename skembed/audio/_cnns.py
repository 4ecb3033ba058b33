"""Convolutional networks for log-mel spectrograms: CNN14, VGGish and a small network.

A network returns the map of each block, followed by its own embedding as a state of one token.
Parameters have the names and shapes of published checkpoints. They include those of the classifier,
which is not run. This module imports torch; it is imported only when a network is loaded.
"""

import itertools

import torch
from torch import nn

from skembed.models._backbone import Backbone


def _initialize(network):
    """Draw the weights as in PANNs: Glorot's uniform distribution, biases of zero."""
    for module in network.modules():
        if isinstance(module, (nn.Conv2d, nn.Linear)):
            nn.init.xavier_uniform_(module.weight)
            if module.bias is not None:
                nn.init.zeros_(module.bias)


def _image(log_mel, norm):
    """Spectrograms (n_rows, n_frames, n_mels) -> maps (n_rows, 1, n_frames, n_mels), normalized."""
    log_mel = log_mel.to(norm.weight.dtype)
    return norm(log_mel.transpose(1, 2)[..., None]).transpose(1, 3)


def _pooled(state):
    """Pool a map, (n_rows, n_channels, n_frames, n_mels), into (n_rows, n_channels).

    The mean over the bands, then the maximum over time plus the mean over time, as in PANNs.
    """
    state = state.mean(dim=3)
    return state.amax(dim=2) + state.mean(dim=2)


class _Block(nn.Module):
    """Two convolutions of 3 x 3, then average pooling of `pool` x `pool`."""

    def __init__(self, n_in, n_out, pool=2):
        super().__init__()
        self.conv1 = nn.Conv2d(n_in, n_out, 3, padding=1, bias=False)
        self.conv2 = nn.Conv2d(n_out, n_out, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(n_out)
        self.bn2 = nn.BatchNorm2d(n_out)
        self.pool = pool

    def forward(self, state):
        state = self.bn1(self.conv1(state)).relu()
        state = self.bn2(self.conv2(state)).relu()
        return state if self.pool == 1 else nn.functional.avg_pool2d(state, self.pool)


class Cnn14(Backbone):
    """CNN14 of PANNs: 14 layers, an embedding of 2,048 dimensions, 81 million parameters.

    It takes log-mel spectrograms of 64 bands and at least 32 frames.

    Parameters
    ----------
    n_classes : int, default=527
        Number of classes of the classifier; AudioSet has 527.

    References
    ----------
    Q. Kong, Y. Cao, T. Iqbal, Y. Wang, W. Wang, M. D. Plumbley, "PANNs: Large-Scale Pretrained
    Audio Neural Networks for Audio Pattern Recognition", IEEE/ACM TASLP 28, 2020, table II.
    """

    def __init__(self, n_classes=527):
        super().__init__()
        self.bn0 = nn.BatchNorm2d(64)
        self.conv_block1 = _Block(1, 64)
        self.conv_block2 = _Block(64, 128)
        self.conv_block3 = _Block(128, 256)
        self.conv_block4 = _Block(256, 512)
        self.conv_block5 = _Block(512, 1024)
        self.conv_block6 = _Block(1024, 2048, pool=1)
        self.fc1 = nn.Linear(2048, 2048)
        self.fc_audioset = nn.Linear(2048, n_classes)
        _initialize(self)

    def forward(self, log_mel):
        """Spectrograms (n_rows, n_frames, 64) -> maps of blocks, embedding (n_rows, 1, 2048)."""
        state = _image(log_mel, self.bn0)
        states = []
        for number in range(1, 7):
            state = getattr(self, f"conv_block{number}")(state)
            states.append(state)
        return (*states, self.fc1(_pooled(state)).relu()[:, None])


class CnnSmall(Backbone):
    """A network of a million parameters: five convolutions, of which four halve the map.

    It takes log-mel spectrograms of 64 bands and any number of frames. Its embedding of 512
    dimensions is the mean and the maximum over time, concatenated.
    """

    def __init__(self, n_channels=(32, 64, 128, 256, 256), n_mels=64):
        super().__init__()
        self.bn0 = nn.BatchNorm2d(n_mels)
        before = (1, *n_channels)
        last = len(n_channels) - 1
        self.blocks = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(n_in, n_out, 3, 1 if i == last else 2, padding=1, bias=False),
                nn.BatchNorm2d(n_out),
                nn.ReLU(),
            )
            for i, (n_in, n_out) in enumerate(zip(before, n_channels, strict=False))
        )
        _initialize(self)

    def forward(self, log_mel):
        """Spectrograms (n_rows, n_frames, n_mels) -> maps of blocks, embedding (n_rows, 1, n)."""
        state = _image(log_mel, self.bn0)
        states = []
        for block in self.blocks:
            state = block(state)
            states.append(state)
        over_bands = state.mean(dim=3)
        embedding = torch.cat([over_bands.mean(dim=2), over_bands.amax(dim=2)], dim=1)
        return (*states, embedding[:, None])


class Vggish(Backbone):
    """VGGish: six convolutions and three linear layers, an embedding of 128 dimensions.

    It takes log-mel spectrograms of 64 bands and 96 frames. The names of its parameters are those
    of the published port to torch.

    References
    ----------
    S. Hershey et al., "CNN Architectures for Large-Scale Audio Classification", ICASSP 2017.
    """

    # Number of channels of each convolution; "M" is maximum pooling, which halves the map.
    _LAYOUT = (64, "M", 128, "M", 256, 256, "M", 512, 512, "M")

    def __init__(self):
        super().__init__()
        layers, n_in = [], 1
        for item in self._LAYOUT:
            if item == "M":
                layers.append(nn.MaxPool2d(2))
                continue
            layers += [nn.Conv2d(n_in, item, 3, padding=1), nn.ReLU()]
            n_in = item
        self.features = nn.Sequential(*layers)
        sizes = (n_in * 6 * 4, 4096, 4096, 128)
        self.embeddings = nn.Sequential(
            *(
                layer
                for n_in, n_out in itertools.pairwise(sizes)
                for layer in (nn.Linear(n_in, n_out), nn.ReLU())
            )
        )
        _initialize(self)

    def forward(self, log_mel):
        """Spectrograms (n_rows, 96, 64) -> maps after each pooling, embedding (n_rows, 1, 128)."""
        state = log_mel.to(self.embeddings[0].weight.dtype)[:, None]
        states = []
        for layer in self.features:
            state = layer(state)
            if isinstance(layer, nn.MaxPool2d):
                states.append(state)
        flat = state.permute(0, 2, 3, 1).flatten(1)  # the axes are in the order of TensorFlow
        return (*states, self.embeddings(flat)[:, None])
