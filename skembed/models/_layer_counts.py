"""Number of layers of networks for images and sounds, by their config.

A layer is a block in transformers, EfficientNet and MobileNet, and a stage in other convolutional
networks. The state before the first layer is not counted. Imports nothing of skembed.
"""

import math


def transformer_blocks(config):
    """Return the number of blocks of a transformer.

    Examples
    --------
    >>> transformer_blocks({"num_hidden_layers": 6})
    6
    """
    return config.get("num_hidden_layers", 12)


def stages(config):
    """Return the number of stages of a convolutional network."""
    return len(config.get("depths") or range(4))


def efficientnet_blocks(config):
    """Return the number of blocks in all stages of an EfficientNet, plus its last convolution."""
    repeats = config.get("num_block_repeats", [1, 2, 2, 3, 3, 4, 1])
    depth = config.get("depth_coefficient", 3.1)
    return 1 + sum(math.ceil(depth * n) for n in repeats)


def efficientnet_lite_blocks(config):
    """Return the number of blocks in all stages of an EfficientNet-Lite, plus its last convolution.

    Examples
    --------
    >>> efficientnet_lite_blocks({"depths": [1, 2]})
    4
    """
    return 1 + sum(config.get("depths") or [1, 2, 2, 3, 3, 4, 1])
