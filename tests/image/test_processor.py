"""Pixels against transformers' own processors, for the configs that published models come with.

`image/_preprocessor` only connects reading and processor; test_cnn.py and test_manifest.py run it.
"""

import json

import numpy as np
import pytest
from PIL import Image
from tiny_images import noise
from transformers import AutoImageProcessor

from skembed.exceptions import ModelFormatError
from skembed.image._pixels import image_of
from skembed.image._processor import processor_of
from skembed.models._folder import ModelFolder

_IMAGENET = {"image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225]}
_HALF = {"image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5]}
_STEPS = {"do_normalize": True, "do_resize": True}
_CROP_224 = {"do_center_crop": True, "crop_size": {"height": 224, "width": 224}}

# Name -> family in config.json, preprocessor_config.json. Old files have sizes of one number and
# name the processor a feature extractor.
CONFIGS = {
    "microsoft/resnet-50": (
        "resnet",
        {
            **_STEPS,
            **_IMAGENET,
            "crop_pct": 0.875,
            "feature_extractor_type": "ConvNextFeatureExtractor",
            "resample": 3,
            "size": 224,
        },
    ),
    "facebook/convnext-tiny-224": (
        "convnext",
        {
            **_STEPS,
            **_IMAGENET,
            "crop_pct": 0.875,
            "image_processor_type": "ConvNextImageProcessor",
            "resample": 3,
            "size": {"shortest_edge": 224},
        },
    ),
    "facebook/convnext-base-384": (
        "convnext",
        {**_STEPS, **_IMAGENET, "image_processor_type": "ConvNextImageProcessor", "size": 384},
    ),
    "google/efficientnet-b0": (
        "efficientnet",
        {
            **_STEPS,
            "do_center_crop": False,
            "crop_size": {"height": 289, "width": 289},
            "image_mean": [0.485, 0.456, 0.406],
            "image_std": [0.47853944, 0.4732864, 0.47434163],
            "image_processor_type": "EfficientNetImageProcessor",
            "include_top": True,
            "resample": 0,
            "rescale_offset": False,
            "size": {"height": 224, "width": 224},
        },
    ),
    "efficientnet, offset": (
        "efficientnet",
        {
            "image_processor_type": "EfficientNetImageProcessor",
            "rescale_factor": 1 / 127.5,
            "rescale_offset": True,
            "include_top": False,
            "do_center_crop": True,
            "size": {"height": 100, "width": 120},
            "crop_size": {"height": 90, "width": 101},
        },
    ),
    "efficientnet, divided only": (
        "efficientnet",
        {"image_processor_type": "EfficientNetImageProcessor", "do_normalize": False, "size": 50},
    ),
    "google/mobilenet_v1_1.0_224": (
        "mobilenet_v1",
        {
            **_STEPS,
            **_HALF,
            **_CROP_224,
            "image_processor_type": "MobileNetV1ImageProcessor",
            "resample": 2,
            "size": {"shortest_edge": 256},
        },
    ),
    "google/mobilenet_v2_1.0_224": (
        "mobilenet_v2",
        {
            **_STEPS,
            **_HALF,
            **_CROP_224,
            "image_processor_type": "MobileNetV2ImageProcessor",
            "resample": 2,
            "size": {"shortest_edge": 256},
        },
    ),
    "facebook/regnet-y-040": (
        "regnet",
        {
            **_STEPS,
            **_IMAGENET,
            "crop_pct": 0.875,
            "feature_extractor_type": "ConvNextFeatureExtractor",
            "resample": 3,
            "size": 224,
        },
    ),
    "google/bit-50": (
        "bit",
        {
            **_STEPS,
            **_HALF,
            "do_center_crop": True,
            "crop_size": {"height": 448, "width": 448},
            "image_processor_type": "BitImageProcessor",
            "resample": 2,
            "size": {"shortest_edge": 448},
        },
    ),
    "apple/mobilevit-small": (
        "mobilevit",
        {
            "crop_size": {"height": 256, "width": 256},
            "do_center_crop": True,
            "do_flip_channel_order": True,
            "feature_extractor_type": "MobileViTFeatureExtractor",
            "resample": 2,
            "size": {"shortest_edge": 288},
        },
    ),
    "mobilevit, larger crop than image": (
        "mobilevit",
        {"image_processor_type": "MobileViTImageProcessor"},
    ),
    "google/vit-base-patch16-224": (
        "vit",
        {**_STEPS, **_HALF, "feature_extractor_type": "ViTFeatureExtractor", "size": 224},
    ),
    "facebook/deit-base-distilled-patch16-224": (
        "deit",
        {
            **_STEPS,
            **_IMAGENET,
            "do_center_crop": True,
            "crop_size": 224,
            "feature_extractor_type": "DeiTFeatureExtractor",
            "resample": 3,
            "size": 256,
        },
    ),
    "facebook/dinov2-base": (
        "dinov2",
        {
            **_STEPS,
            **_IMAGENET,
            **_CROP_224,
            "do_convert_rgb": True,
            "image_processor_type": "BitImageProcessor",
            "resample": 3,
            "size": {"shortest_edge": 256},
        },
    ),
    "no normalizing": (
        "vit",
        {"image_processor_type": "ViTImageProcessor", "do_normalize": False, "size": 64},
    ),
    "no rescaling": (
        "vit",
        {"image_processor_type": "ViTImageProcessor", "do_rescale": False, "size": 64},
    ),
    "no resizing": (
        "mobilenet_v2",
        {"image_processor_type": "MobileNetV2ImageProcessor", "do_resize": False},
    ),
}
SIZES = [(375, 500), (500, 375), (1, 1), (7, 300), (301, 5), (224, 224), (256, 256), (255, 257)]
SIZES += [(223, 1000), (640, 479), (333, 500), (384, 384)]


def write(folder, family, processor, **config):
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text(json.dumps({"model_type": family, **config}))
    (folder / "preprocessor_config.json").write_text(json.dumps(processor))
    return ModelFolder(folder)


@pytest.mark.parametrize("name", CONFIGS)
def test_pixels_are_those_of_transformers(name, tmp_path):
    folder = write(tmp_path, *CONFIGS[name])
    ours, theirs = processor_of(folder), AutoImageProcessor.from_pretrained(tmp_path)
    for size in SIZES:
        image = Image.fromarray(noise(*size))
        reference = np.asarray(theirs(image, return_tensors="np")["pixel_values"][0])
        pixels = ours.pixels(image)
        assert pixels.dtype == np.float32
        assert pixels.flags.c_contiguous
        np.testing.assert_allclose(pixels, reference, rtol=0, atol=1e-5, err_msg=str(size))


@pytest.mark.parametrize("n_channels", [1, 3])
def test_gray_images(n_channels, tmp_path):
    """Three equal channels, or the one that the network takes."""
    half = {"image_mean": [0.5] * n_channels, "image_std": [0.25] * n_channels}
    processor = {"image_processor_type": "ViTImageProcessor", "size": 12, **half}
    processor = processor_of(write(tmp_path, "vit", processor, num_channels=n_channels))
    gray = Image.fromarray(noise(12, 12, channels=1))
    expected = (np.asarray(gray) / 255 - 0.5) / 0.25
    for image in (gray, gray.convert("RGB")):
        pixels = processor.pixels(image)
        assert pixels.shape == (n_channels, 12, 12)
        np.testing.assert_allclose(pixels, expected[None].repeat(n_channels, 0), atol=1e-6)


@pytest.mark.parametrize(
    ("name", "image_size", "resize", "size"),
    [
        ("microsoft/resnet-50", 64, 73, (64, 64)),
        ("microsoft/resnet-50", 400, (400, 400), (400, 400)),
        ("microsoft/resnet-50", (40, 50), (40, 50), (40, 50)),
        ("google/mobilenet_v2_1.0_224", 112, 128, (112, 112)),
        ("google/vit-base-patch16-224", 96, (96, 96), (96, 96)),
        ("facebook/deit-base-distilled-patch16-224", 112, (128, 128), (112, 112)),
        ("no resizing", 50, (50, 50), (50, 50)),
    ],
)
def test_image_size_keeps_the_way_of_cropping(name, image_size, resize, size, tmp_path):
    processor = processor_of(write(tmp_path, *CONFIGS[name]), image_size)
    assert (processor.resize, processor.size) == (resize, size)


def test_a_very_long_image_does_not_fill_the_memory(tmp_path):
    """Resized as a whole, it would have 256 x 12.8 million pixels."""
    processor = processor_of(write(tmp_path, *CONFIGS["facebook/dinov2-base"]))
    long = np.zeros((1, 50_000, 3), dtype=np.uint8)
    long[:, 24_000:26_000] = 255
    for image in (Image.fromarray(long), Image.fromarray(long.transpose(1, 0, 2))):
        pixels = processor.pixels(image)
        assert pixels.shape == (3, 224, 224)
        assert pixels.min() > 2  # the middle is white


@pytest.mark.parametrize(
    ("processor", "words"),
    [
        (None, "has no preprocessor_config.json"),
        ({"image_processor_type": "SamImageProcessor"}, "image processor 'Sam' is not supported"),
        ({}, "no image processor; skembed supports"),
        ({"image_processor_type": "BitImageProcessor", "crop_size": "big"}, "invalid settings"),
        (
            {"image_processor_type": "ViTImageProcessor", "image_mean": [0.5]},
            "invalid settings",
        ),
        (
            {"image_processor_type": "BitImageProcessor", "do_center_crop": False},
            "does not define the size of images: set image_size",
        ),
    ],
)
def test_what_cannot_be_followed_is_refused(processor, words, tmp_path):
    folder = write(tmp_path, "other", processor)
    if processor is None:
        (tmp_path / "preprocessor_config.json").unlink()
    with pytest.raises(ModelFormatError, match=words):
        processor_of(folder)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["microsoft/resnet-50", "google/mobilenet_v2_1.0_224"])
def test_pixels_of_photographs(name, tmp_path, shared_images):
    """Real files, from decoding on."""
    folder = write(tmp_path, *CONFIGS[name])
    ours, theirs = processor_of(folder), AutoImageProcessor.from_pretrained(tmp_path)
    for path in sorted((shared_images / "photos").iterdir())[:30]:
        image = Image.open(path).convert("RGB")
        reference = np.asarray(theirs(image, return_tensors="np")["pixel_values"][0])
        pixels = ours.pixels(image_of(path.read_bytes(), max_pixels=None, max_value=None))
        np.testing.assert_allclose(pixels, reference, rtol=0, atol=1e-5, err_msg=path.name)
