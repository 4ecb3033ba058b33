"""Convert an image to the pixels that a network takes, by its preprocessor_config.json.

The steps are those of the image processors of transformers that use Pillow: resize, crop, rescale,
normalize. The pixels are equal to theirs, to the bit.
"""

from dataclasses import asdict, dataclass
from typing import NamedTuple

import numpy as np
from PIL import Image

from skembed.exceptions import ModelFormatError
from skembed.image._families import HALF
from skembed.models._files import checked_settings, read_json

_CLIP = {
    "image_mean": (0.48145466, 0.4578275, 0.40821073),
    "image_std": (0.26862954, 0.26130258, 0.27577711),
}
_COMMON = {
    "do_resize": True,
    "do_center_crop": False,
    "do_rescale": True,
    "do_normalize": True,
    "rescale_factor": 1 / 255,
    "resample": Image.Resampling.BILINEAR,
    **HALF,
}
_CROPPED = {"do_center_crop": True, "crop_size": 224}
_BICUBIC = {"resample": Image.Resampling.BICUBIC}
# Kind of processor -> its default settings. Besides the settings of transformers there is `square`:
# whether a size of one number is that of a square or that of the shorter edge. `crop_pct` selects
# the rule of ConvNeXT, see `_geometry`.
_KINDS = {
    "ConvNext": {**_BICUBIC, "size": 384, "square": False, "crop_pct": 224 / 256},
    "EfficientNet": {
        **_BICUBIC,
        "size": 346,
        "crop_size": 289,
        "rescale_offset": False,
        "include_top": True,
    },
    "MobileNetV1": {**_CROPPED, "size": 256, "square": False},
    "MobileNetV2": {**_CROPPED, "size": 256, "square": False},
    "MobileViT": {
        **_CROPPED,
        **_BICUBIC,
        "size": 224,
        "square": False,
        "crop_size": 256,
        "do_flip_channel_order": True,
    },
    "Bit": {**_CROPPED, **_BICUBIC, **_CLIP, "size": 224, "square": False},
    "ViT": {"size": 224},
    "DeiT": {**_CROPPED, **_BICUBIC, "size": 256},
}
# model_type -> kind of processor, if the file does not state it.
_KIND_OF_FAMILY = {
    "resnet": "ConvNext",
    "regnet": "ConvNext",
    "convnext": "ConvNext",
    "convnextv2": "ConvNext",
    "efficientnet": "EfficientNet",
    "mobilenet_v1": "MobileNetV1",
    "mobilenet_v2": "MobileNetV2",
    "mobilevit": "MobileViT",
    "bit": "Bit",
    "dinov2": "Bit",
    "dinov2_with_registers": "Bit",
    "vit": "ViT",
    "deit": "DeiT",
}
# From this side on, the processor of ConvNeXT resizes images without cropping them.
_WARPED_FROM = 384
_MAX_SIDE = 8192  # of resized images
# If a resized image is more than this many times longer than its crop, only the crop is computed.
# Pixels may then differ from those of transformers by one of 256 levels.
_MAX_LENGTH_RATIO = 256


@dataclass(frozen=True)
class Processor:
    """Convert an image to a network's pixels: resize, crop, map each of 256 levels to a value.

    Parameters
    ----------
    resize : int, tuple of int or None
        Length of the shorter edge, keeping the aspect ratio; or height and width; or None.
    size : tuple of int
        Height and width of the center crop.
    resample : int
        Filter of the resizing, by Pillow's numbers.
    rescale_factor : float or None
        Factor of the levels 0 to 255. None: 1.
    offset : float
        Added after the multiplication.
    mean, std : tuple of float or None
        Mean and standard deviation of each channel, for normalization. None: no normalization.
    twice : bool
        Whether to divide by `std` a second time.
    flip : bool
        Whether channels are in the order blue, green, red.
    n_channels : int
        3, or 1 for networks that take gray images.
    """

    resize: int | tuple | None
    size: tuple
    resample: int
    rescale_factor: float | None
    offset: float
    mean: tuple | None
    std: tuple | None
    twice: bool
    flip: bool
    n_channels: int

    def __post_init__(self):
        resize = (
            self.resize
            if isinstance(self.resize, tuple)
            else (1 if self.resize is None else self.resize,)
        )
        sides = (*resize, *self.size)
        if len(self.size) != 2 or not all(type(n) is int and 1 <= n <= _MAX_SIDE for n in sides):
            raise ValueError(
                f"images would be resized to {self.resize} and cropped to {self.size}; sides must "
                f"be integers from 1 to {_MAX_SIDE} pixels"
            )
        if self.resample not in range(6) or self.n_channels not in (1, 3):
            raise ValueError(
                f"resample={self.resample!r} must be a filter of Pillow, 0 to 5, and n_channels="
                f"{self.n_channels!r} 1 or 3"
            )
        if self.mean is not None and not (
            np.isfinite([*self.mean, *self.std]).all() and np.all(self.std)
        ):
            raise ValueError(
                f"image_mean={self.mean} and image_std={self.std} must be finite, and image_std "
                "must not be zero"
            )

    def settings(self):
        """Return all settings, for fingerprints and exports."""
        return asdict(self)

    def config(self):
        """Return a ``preprocessor_config.json`` that gives this processor."""
        kind = "EfficientNet" if self.twice or self.offset else "Bit"
        resize = self.resize or self.size
        sides = ("height", "width")
        resize = (
            {"shortest_edge": resize}
            if isinstance(resize, int)
            else dict(zip(sides, resize, strict=True))
        )
        config = {
            "image_processor_type": f"{'MobileViT' if self.flip else kind}ImageProcessor",
            "do_resize": self.resize is not None,
            "size": resize,
            "do_center_crop": True,
            "crop_size": dict(zip(sides, self.size, strict=True)),
            "resample": int(self.resample),
            "do_rescale": self.rescale_factor is not None,
            "do_normalize": self.mean is not None,
        }
        if self.rescale_factor is not None:
            config["rescale_factor"] = self.rescale_factor
        if self.mean is not None:
            config |= {"image_mean": list(self.mean), "image_std": list(self.std)}
        if self.flip:
            config["do_flip_channel_order"] = True
        elif kind == "EfficientNet":
            config |= {"rescale_offset": self.offset != 0, "include_top": self.twice}
        return config

    def levels(self):
        """Return the value of each level in each channel, (n_channels, 256) float32.

        Operations and roundings are in the order of transformers, so that values agree to the bit.
        """
        levels = np.repeat(np.arange(256)[None], self.n_channels, axis=0)
        if self.rescale_factor is not None:
            levels = levels * self.rescale_factor
        levels = levels.astype(np.float32)
        levels += np.float32(self.offset)
        if self.mean is not None:
            mean = np.array(self.mean, dtype=np.float32)[:, None]
            std = np.array(self.std, dtype=np.float32)[:, None]
            levels = (levels - mean) / std
            levels = levels / std if self.twice else levels
        return levels

    def pixels(self, image):
        """Convert an image to a network's pixels.

        Parameters
        ----------
        image : PIL.Image.Image
            Of mode "L" or "RGB".

        Returns
        -------
        pixels : ndarray of shape (n_channels, height, width), float32
        """
        mode = "L" if self.n_channels == 1 else "RGB"
        image = image if image.mode == mode else image.convert(mode)
        cropped = np.asarray(self._cropped(image)).reshape(*self.size, self.n_channels)
        # One lookup per channel replaces rescaling and normalizing every pixel in floats.
        pixels = np.empty((self.n_channels, *self.size), dtype=np.float32)
        for channel, levels in enumerate(self.levels()):
            given = self.n_channels - 1 - channel if self.flip else channel
            np.take(levels, cropped[:, :, given], out=pixels[channel], mode="clip")
        return pixels

    def _cropped(self, image):
        """Resize, then crop the center; smaller images are padded with black."""
        height, width = self.size
        sides = image.height, image.width
        resized = self._resized(*sides)
        top, left = ((of - to) // 2 for of, to in zip(resized, self.size, strict=True))
        if max(resized) > _MAX_LENGTH_RATIO * max(self.size):
            # A very long image might not fit into memory: only its middle is resized.
            rows, columns = map(_middle, sides, resized, self.size)
            image = image.resize(
                (columns.length, rows.length),
                self.resample,
                box=(columns.start, rows.start, columns.stop, rows.stop),
            )
            top, left = min(top, 0), min(left, 0)
        elif resized != sides:
            image = image.resize(resized[::-1], self.resample)
        return image.crop((left, top, left + width, top + height))

    def _resized(self, height, width):
        """Return height and width of the resized image."""
        if self.resize is None:
            return height, width
        if not isinstance(self.resize, int):
            return self.resize
        short, long = sorted((height, width))
        resized = self.resize, int(self.resize * long / short)
        return resized if height < width else resized[::-1]


class _Middle(NamedTuple):
    """The part of an axis that is cropped: its start and stop, and its length after resizing."""

    start: float
    stop: float
    length: int


def _middle(length, resized, cropped):
    """Return the part of an axis that remains after resizing and cropping.

    Parameters
    ----------
    length, resized, cropped : int
        Length of the axis before resizing, after resizing, and after cropping.

    Examples
    --------
    >>> _middle(100, 50, 20)
    _Middle(start=30.0, stop=70.0, length=20)
    """
    scale = length / resized
    start, n_left = max(0, (resized - cropped) // 2), min(resized, cropped)
    return _Middle(start * scale, min((start + n_left) * scale, length), n_left)


def processor_of(folder, image_size=None):
    """Return the `Processor` of a model's folder.

    Parameters
    ----------
    folder : ModelFolder
        The folder of the model.
    image_size : int or tuple of int, default=None
        Height and width of the network's input. None: the model's own.

    Returns
    -------
    processor : Processor

    Raises
    ------
    ModelFormatError
        If the folder does not define the preprocessing, or it is not supported.
    """
    path = folder.backbone_path / "preprocessor_config.json"
    own = read_json(path)
    if own is None:
        raise ModelFormatError(
            f"{folder.path} has no preprocessor_config.json, which defines how images are "
            "preprocessed. Write one with transformers: "
            "AutoImageProcessor.from_pretrained(...).save_pretrained(folder)"
        )
    kind = _kind_of(own, folder.config, path)
    settings = {**_COMMON, **_KINDS[kind], **{k: v for k, v in own.items() if v is not None}}
    if kind == "MobileViT":
        settings["do_normalize"] = False  # its processor does not normalize
    with checked_settings(path):
        resize, size = _geometry(settings, image_size)
        levels = _level_settings(settings, int(folder.config.get("num_channels", 3)))
        if size is None:
            raise ModelFormatError(f"{path} does not define the size of images: set image_size.")
        return Processor(resize=resize, size=size, resample=int(settings["resample"]), **levels)


def _kind_of(own, config, path):
    name = str(own.get("image_processor_type") or own.get("feature_extractor_type") or "")
    for ending in ("Fast", "Pil", "ImageProcessor", "FeatureExtractor"):
        name = name.removesuffix(ending)
    kind = name or _KIND_OF_FAMILY.get(config.get("model_type"), "")
    if kind not in _KINDS:
        problem = f"the image processor {kind!r} is not supported" if kind else "no image processor"
        raise ModelFormatError(f"{path}: {problem}; skembed supports those of {', '.join(_KINDS)}.")
    return kind


def _geometry(settings, image_size):
    """Return `Processor.resize` and `Processor.size`; the size is None if it is not defined."""
    if isinstance(image_size, (tuple, list)):
        return tuple(image_size), tuple(image_size)
    resize = _sides(settings["size"], settings.get("square", True))
    resize = resize if settings["do_resize"] else None
    crop = _sides(settings["crop_size"], True) if settings["do_center_crop"] else None
    crop_pct = settings.get("crop_pct")
    # ConvNeXT: the shorter edge is resized to the side divided by `crop_pct`, then the side is
    # cropped. Large images are resized without cropping.
    if crop_pct is not None and isinstance(resize, int):
        side = image_size or resize
        size = (side, side)
        return (int(side / crop_pct) if side < _WARPED_FROM else size), size
    if image_size is None:
        return resize, crop or (None if isinstance(resize, int) else resize)
    if crop and resize:  # keep the ratio of the model's own resizing and cropping
        margin = image_size / min(crop)
        resized = int(resize * margin) if isinstance(resize, int) else None
        resize = resized or tuple(int(side * margin) for side in resize)
        return resize, (image_size, image_size)
    return (image_size, image_size), (image_size, image_size)


def _sides(size, square):
    """Return (height, width), or the length of the shorter edge."""
    if isinstance(size, dict):
        if "shortest_edge" in size and "longest_edge" not in size:
            return int(size["shortest_edge"])
        return int(size["height"]), int(size["width"])
    if isinstance(size, (list, tuple)):
        height, width = size
        return int(height), int(width)
    return (int(size), int(size)) if square else int(size)


def _level_settings(settings, n_channels):
    """Return the fields of `Processor` that map levels to values."""
    normalize = settings["do_normalize"]
    mean, std = settings["image_mean"], settings["image_std"]
    mean, std = (
        (float(value),) * n_channels if isinstance(value, (int, float)) else _floats(value)
        for value in (mean, std)
    )
    twice = bool(settings.get("include_top"))
    if twice and not normalize:  # only the second division remains
        normalize, twice, mean = True, False, (0.0,) * n_channels
    if normalize and not len(mean) == len(std) == n_channels:
        raise ValueError(f"image_mean and image_std are not {n_channels} numbers")
    return {
        "rescale_factor": float(settings["rescale_factor"]) if settings["do_rescale"] else None,
        "offset": -1.0 if settings["do_rescale"] and settings.get("rescale_offset") else 0.0,
        "mean": mean if normalize else None,
        "std": std if normalize else None,
        "twice": twice,
        "flip": bool(settings.get("do_flip_channel_order")),
        "n_channels": n_channels,
    }


def _floats(values):
    return tuple(float(value) for value in values)
