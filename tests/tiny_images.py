"""Tiny networks for images with seeded random weights, saved as published ones are."""

import json
from io import BytesIO
from typing import NamedTuple

import numpy as np
import torch
import transformers
from PIL import Image

from skembed import CNNImageEmbedder

_IMAGENET = {"image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225]}


class Family(NamedTuple):
    """A family of networks: a tiny config of it, and how its published networks see images."""

    config: transformers.PretrainedConfig
    processor: dict
    n_states: int  # beside the pooled vector


def _sized(name, size, **settings):
    return {"image_processor_type": f"{name}ImageProcessor", "size": size, **settings}


_RESNET = {"embedding_size": 8, "hidden_sizes": [8, 12, 16], "depths": [1, 2, 1]}
_CONVNEXT = {"hidden_sizes": [8, 12, 16, 24], "depths": [1, 1, 2, 1]}
_VIT = {
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "image_size": 28,
    "patch_size": 14,
}
_CROPPED = _sized(
    "ConvNext", {"shortest_edge": 40}, crop_pct=0.875, resample=3, do_rescale=True, **_IMAGENET
)
FAMILIES = {
    "resnet": Family(transformers.ResNetConfig(**_RESNET, layer_type="bottleneck"), _CROPPED, 4),
    "resnet-basic": Family(transformers.ResNetConfig(**_RESNET, layer_type="basic"), _CROPPED, 4),
    "regnet": Family(transformers.RegNetConfig(**_RESNET, groups_width=4), _CROPPED, 4),
    "convnext": Family(transformers.ConvNextConfig(**_CONVNEXT), _CROPPED, 5),
    "convnextv2": Family(transformers.ConvNextV2Config(**_CONVNEXT), _CROPPED, 5),
    "efficientnet": Family(
        transformers.EfficientNetConfig(
            width_coefficient=0.2, depth_coefficient=0.5, hidden_dim=256, image_size=40
        ),
        _sized(
            "EfficientNet",
            {"height": 40, "width": 40},
            resample=0,
            include_top=True,
            image_mean=[0.485, 0.456, 0.406],
            image_std=[0.47853944, 0.4732864, 0.47434163],
        ),
        12,
    ),
    "mobilenet_v1": Family(
        transformers.MobileNetV1Config(depth_multiplier=0.1, image_size=40),
        _sized("MobileNetV1", {"shortest_edge": 48}, crop_size={"height": 40, "width": 40}),
        26,
    ),
    "mobilenet_v2": Family(
        transformers.MobileNetV2Config(depth_multiplier=0.1, image_size=40),
        _sized("MobileNetV2", {"shortest_edge": 48}, crop_size={"height": 40, "width": 40}),
        17,
    ),
    "mobilevit": Family(
        transformers.MobileViTConfig(
            hidden_sizes=[16, 20, 24],
            neck_hidden_sizes=[4, 8, 12, 16, 20, 24, 32],
            num_attention_heads=2,
            image_size=64,
        ),
        _sized("MobileViT", {"shortest_edge": 72}, crop_size={"height": 64, "width": 64}),
        6,
    ),
    "bit": Family(
        transformers.BitConfig(
            embedding_size=32, hidden_sizes=[32, 32, 64], depths=[1, 1, 1], num_groups=8
        ),
        _sized("Bit", {"shortest_edge": 40}, crop_size={"height": 40, "width": 40}),
        4,
    ),
    "vit": Family(
        transformers.ViTConfig(**_VIT, intermediate_size=24),
        _sized("ViT", {"height": 28, "width": 28}),
        3,
    ),
    "deit": Family(
        transformers.DeiTConfig(**_VIT, intermediate_size=24),
        _sized("DeiT", {"height": 32, "width": 32}, crop_size={"height": 28, "width": 28}),
        3,
    ),
    "dinov2": Family(
        transformers.Dinov2Config(**_VIT, mlp_ratio=2),
        _sized(
            "Bit",
            {"shortest_edge": 32},
            crop_size={"height": 28, "width": 28},
            resample=3,
            **_IMAGENET,
        ),
        3,
    ),
    "dinov2_with_registers": Family(
        transformers.Dinov2WithRegistersConfig(**_VIT, mlp_ratio=2, num_register_tokens=3),
        _sized("Bit", {"shortest_edge": 32}, crop_size={"height": 28, "width": 28}, **_IMAGENET),
        3,
    ),
}


def save_tiny_cnn(folder, family="resnet", seed=0, **changes):
    """Write a tiny network of a family and its preprocessor_config.json; return the folder."""
    config, processor, _ = FAMILIES[family]
    config = type(config).from_dict({**config.to_dict(), **changes})
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = transformers.AutoModel.from_config(config)
        for name, tensor in model.state_dict().items():
            if name.endswith("running_var"):
                tensor.uniform_(0.5, 2)
            elif name.endswith(("running_mean", "bias")):
                tensor.normal_(std=0.1)
            elif tensor.is_floating_point():  # far from the tiny values they start with
                fan_in = tensor[0].numel() if tensor.ndim > 1 else 1
                tensor.normal_(mean=float(tensor.ndim == 1), std=fan_in**-0.5)
    folder.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(folder)
    if "num_channels" in changes:
        n = changes["num_channels"]
        processor = processor | {"image_mean": [0.5] * n, "image_std": [0.25] * n}
    (folder / "preprocessor_config.json").write_text(json.dumps(processor))
    return folder


def noise(height, width, seed=0, channels=3):
    """Return smooth random pixels, (height, width, channels) uint8."""
    random = np.random.default_rng([seed, height, width])
    small = random.integers(0, 256, (4, 5, channels), dtype=np.uint8)
    image = Image.fromarray(small if channels > 1 else small[:, :, 0])
    image = np.asarray(image.resize((width, height), Image.Resampling.BICUBIC))
    rough = random.integers(-20, 20, image.shape)
    return np.clip(image + rough, 0, 255).astype(np.uint8)


def encode(image, form="PNG", **settings):
    """Return the bytes of an image's file."""
    image = image if isinstance(image, Image.Image) else Image.fromarray(image)
    file = BytesIO()
    image.save(file, form, **settings)
    return file.getvalue()


def small_embedder(**settings):
    """Return a `CNNImageEmbedder` with a small network of random weights."""
    return CNNImageEmbedder(
        "resnet-small-32",
        **{"pretrained": False, "random_state": 0, "backend": "torch", "cache": None} | settings,
    )
