"""How many layers networks for images and sounds have, by family and config.

A layer is a block of a transformer or of EfficientNet and MobileNet, and a stage of other
convolutional networks. The state before the first one is not counted. Imports nothing of torch.
"""

import math

from skembed.exceptions import ModelFormatError


def _transformer(config):
    return config.get("num_hidden_layers", 12)


def _staged(config):
    return len(config.get("depths") or range(4))


def _efficientnet(config):
    """Blocks of all stages, and the convolution behind them."""
    repeats = config.get("num_block_repeats", [1, 2, 2, 3, 3, 4, 1])
    depth = config.get("depth_coefficient", 3.1)
    return 1 + sum(math.ceil(depth * n) for n in repeats)


def _whisper(config):
    return config.get("encoder_layers", 4)


def _clap(config):
    return len(config.get("audio_config", {}).get("depths", [2, 2, 6, 2]))


# model_type -> a function of config.json that returns the number of layers.
IMAGE_DEPTHS = {
    "efficientnet": _efficientnet,
    "mobilenet_v1": lambda config: 25,
    "mobilenet_v2": lambda config: 16,
    "mobilevit": lambda config: 5,
    **dict.fromkeys(("vit", "deit", "dinov2", "dinov2_with_registers"), _transformer),
    **dict.fromkeys(
        ("resnet", "regnet", "bit", "convnext", "convnextv2", "skembed-resnet"), _staged
    ),
}
AUDIO_DEPTHS = {
    **dict.fromkeys(("audio-spectrogram-transformer", "wav2vec2", "hubert", "wavlm"), _transformer),
    "whisper": _whisper,
    "clap": _clap,
    "convnext": _staged,
    "convnextv2": _staged,
    "efficientnet": _efficientnet,
    "skembed-cnn14": lambda config: 5,
    "skembed-cnn-small": lambda config: 4,
    "skembed-vggish": lambda config: 3,
}


def n_layers_of(folder, depths, kind):
    """Return how many layers follow the first state of a folder's network.

    Parameters
    ----------
    folder : ModelFolder
        The network's folder.
    depths : dict
        `IMAGE_DEPTHS` or `AUDIO_DEPTHS`.
    kind : str
        What the networks are for, for the message: ``"images"``, ``"sounds"``.

    Returns
    -------
    n_layers : int

    Raises
    ------
    ModelFormatError
        If the family is unknown.
    """
    family = folder.config.get("model_type")
    if family not in depths:
        raise ModelFormatError(
            f"{folder.path} holds a network of the family {family!r}. Families for {kind} that "
            f"skembed supports: {', '.join(sorted(depths))}."
        )
    return depths[family](folder.config)
