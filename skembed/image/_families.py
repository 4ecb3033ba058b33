"""Networks for images: families of transformers' models, and architectures with random weights.

Imports neither torch nor transformers.
"""

from collections.abc import Callable
from dataclasses import dataclass

from skembed.models._layer_counts import efficientnet_blocks, stages, transformer_blocks
from skembed.models._modality import Architecture, Family


@dataclass(frozen=True)
class ImageFamily(Family):
    """A family of networks for images.

    Parameters
    ----------
    n_special : callable, default=None
        For vision transformers: takes the config, returns how many tokens come before those of the
        image (class, distillation, registers). None: a convolutional network.
    lists_last : bool, default=True
        Whether the last of the states that transformers lists is the last layer's.
    """

    n_special: Callable | None = None
    lists_last: bool = True


def _convolutional(n_layers, **settings):
    return ImageFamily(n_layers, attention=False, **settings)


def _vision_transformer(n_special):
    return ImageFamily(transformer_blocks, n_special=n_special)


# By model_type.
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
}
# Networks of our own.
NETWORKS = {"skembed-resnet": "skembed.image._backbone:SmallResNet"}

_IMAGENET = {"image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225]}
_HALF = {"image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5]}
# How the published networks of these architectures prepare images.
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
    **_HALF,
}
_SMALL = {
    "image_processor_type": "ViTImageProcessor",
    "size": {"height": 32, "width": 32},
    "resample": 2,
    **_HALF,
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
    # A ResNet-20 of twice the width, as for CIFAR-10 in the paper: the first convolution leaves an
    # image of 32 pixels its size.
    "resnet-small-32": (
        {"model_type": "skembed-resnet", "depths": [3, 3, 3], "hidden_sizes": [32, 64, 128]},
        _SMALL,
    ),
}

ARCHITECTURES = {
    name: Architecture(
        config,
        {"preprocessor_config.json": processor},
        prepare="skembed.image._backbone:set_batch_norms",
    )
    for name, (config, processor) in _CONFIGS.items()
}
