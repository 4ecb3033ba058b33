"""Networks for images that can be built without a model's folder: configs of their architectures.

Imports nothing: configs are data.
"""

_IMAGENET = {"image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225]}
_HALF = {"image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5]}
# How the published networks of these architectures want their images.
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

# Name -> config, and what goes into preprocessor_config.json.
IMAGE_ARCHITECTURES = {
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
