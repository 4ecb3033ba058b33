"""From an image to the pixels that a network takes, by the model's own preprocessor_config.json.

transformers' image processors are followed step by step (those that compute with Pillow), and what
they give is given to the bit: resize, crop, rescale, normalize.
"""

from dataclasses import asdict, dataclass
from typing import NamedTuple

import numpy as np
from PIL import Image

from skembed.exceptions import ModelFormatError
from skembed.models._files import read_json

_HALF = {"image_mean": (0.5, 0.5, 0.5), "image_std": (0.5, 0.5, 0.5)}
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
    **_HALF,
}
_CROPPED = {"do_center_crop": True, "crop_size": 224}
_BICUBIC = {"resample": Image.Resampling.BICUBIC}
# Kinds of processors -> what they do where the file is silent. Beside transformers' own settings:
# `square`: what a size of one number means; `crop_pct`: the rule of ConvNeXT, see `_steps`.
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
# Families whose files do not name their kind -> kind.
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
# Sides from which on ConvNeXT's processor warps images instead of cropping them.
_WARPED_FROM = 384
_MAX_SIDE = 8192  # of resized images
# A resized image that is so many times longer than what is seen of it is not computed as a whole.
# Its pixels may differ from transformers' by one of 256 levels.
_STRIPE = 256


@dataclass(frozen=True)
class Processor:
    """How an image becomes a network's pixels: resize, crop, a value for each of 256 levels.

    Parameters
    ----------
    resize : int, tuple of int or None
        The length of the shorter edge, keeping the proportions; height and width; or None.
    size : tuple of int
        Height and width of the answer, around the center of the resized image.
    resample : int
        Filter, by Pillow's numbers.
    rescale_factor : float or None
        Multiply 0 to 255 by this.
    offset : float
        Add this after it.
    mean, std : tuple of float or None
        Normalize channels by these.
    twice : bool
        Divide by `std` once more.
    flip : bool
        Blue, green, red instead of red, green, blue.
    n_channels : int
        3, or 1 for networks of gray images.
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
                f"an image is resized to {self.resize} and cropped to {self.size}; sides are "
                f"integers from 1 to {_MAX_SIDE} pixels"
            )
        if self.resample not in range(6) or self.n_channels not in (1, 3):
            raise ValueError(
                f"resample={self.resample!r} must be a filter of Pillow, 0 to 5, and n_channels="
                f"{self.n_channels!r} 1 or 3"
            )
        if self.mean is not None and not (
            np.isfinite([*self.mean, *self.std]).all() and np.all(self.std)
        ):
            raise ValueError(f"image_mean={self.mean} and image_std={self.std} cannot be used")

    def settings(self):
        """Return what can change the pixels."""
        return asdict(self)

    def levels(self):
        """Return what each level of each channel becomes, (n_channels, 256) float32.

        In the order of operations and with the roundings of transformers' processors.
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
        """Turn an image into a network's pixels.

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
        pixels = np.empty((self.n_channels, *self.size), dtype=np.float32)
        for channel, levels in enumerate(self.levels()):
            given = self.n_channels - 1 - channel if self.flip else channel
            np.take(levels, cropped[:, :, given], out=pixels[channel], mode="clip")
        return pixels

    def _cropped(self, image):
        """Resize, then crop around the center; where there is less than that, black is added."""
        height, width = self.size
        sides = image.height, image.width
        resized = self._resized(*sides)
        top, left = ((of - to) // 2 for of, to in zip(resized, self.size, strict=True))
        if max(resized) > _STRIPE * max(self.size):
            # All of a very long image might not fit into memory: only the middle is computed.
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
        """Return height and width that an image is resized to."""
        if self.resize is None:
            return height, width
        if not isinstance(self.resize, int):
            return self.resize
        short, long = sorted((height, width))
        resized = self.resize, int(self.resize * long / short)
        return resized if height < width else resized[::-1]


class _Middle(NamedTuple):
    """What of an axis of an image is seen: from where to where, and how long it becomes."""

    start: float
    stop: float
    length: int


def _middle(given, resized, wanted):
    """Return the middle of an axis that is resized from `given`, then cropped to `wanted`.

    Examples
    --------
    >>> _middle(100, 50, 20)
    _Middle(start=30.0, stop=70.0, length=20)
    """
    scale = given / resized
    start, length = max(0, (resized - wanted) // 2), min(resized, wanted)
    return _Middle(start * scale, min((start + length) * scale, given), length)


def processor_of(folder, image_size=None):
    """Return the `Processor` of a model's folder.

    Parameters
    ----------
    folder : ModelFolder
        Of the model.
    image_size : int or tuple of int, default=None
        Height and width that the network is to see. None: the model's own.

    Returns
    -------
    processor : Processor

    Raises
    ------
    ModelFormatError
        If the folder does not say how images are prepared, or in a way that is not known.
    """
    path = folder.backbone_path / "preprocessor_config.json"
    own = read_json(path)
    if own is None:
        raise ModelFormatError(
            f"{folder.path} has no preprocessor_config.json, which says how images are prepared "
            "for the network. Write one with transformers: "
            "AutoImageProcessor.from_pretrained(...).save_pretrained(folder)"
        )
    kind = _kind_of(own, folder.config, path)
    settings = {**_COMMON, **_KINDS[kind], **{k: v for k, v in own.items() if v is not None}}
    if kind == "MobileViT":
        settings["do_normalize"] = False  # its processor never does
    try:
        resize, size = _geometry(settings, image_size)
        tones = _tones(settings, int(folder.config.get("num_channels", 3)))
        if size is None:
            raise ModelFormatError(f"{path} leaves the size of images open: set image_size.")
        return Processor(resize=resize, size=size, resample=int(settings["resample"]), **tones)
    except ModelFormatError:
        raise
    except (TypeError, ValueError, KeyError, ArithmeticError, AttributeError) as error:
        raise ModelFormatError(f"{path} makes no sense: {error!r}") from error


def _kind_of(own, config, path):
    name = str(own.get("image_processor_type") or own.get("feature_extractor_type") or "")
    for ending in ("Fast", "Pil", "ImageProcessor", "FeatureExtractor"):
        name = name.removesuffix(ending)
    kind = name or _KIND_OF_FAMILY.get(config.get("model_type"), "")
    if kind not in _KINDS:
        raise ModelFormatError(
            f"{path} asks for {kind or 'no kind of'} image processor; skembed knows those of "
            f"{', '.join(_KINDS)}."
        )
    return kind


def _geometry(settings, image_size):
    """Return `Processor.resize` and `Processor.size`; size None if it is left open."""
    if isinstance(image_size, (tuple, list)):
        return tuple(image_size), tuple(image_size)
    resize = _sides(settings["size"], settings.get("square", True))
    resize = resize if settings["do_resize"] else None
    crop = _sides(settings["crop_size"], True) if settings["do_center_crop"] else None
    crop_pct = settings.get("crop_pct")
    if crop_pct is not None and isinstance(resize, int):
        side = image_size or resize
        size = (side, side)
        return (int(side / crop_pct) if side < _WARPED_FROM else size), size
    if image_size is None:
        return resize, crop or (None if isinstance(resize, int) else resize)
    if crop and resize:  # the margin that the model's own crop leaves
        margin = image_size / min(crop)
        resized = int(resize * margin) if isinstance(resize, int) else None
        resize = resized or tuple(int(side * margin) for side in resize)
        return resize, (image_size, image_size)
    return (image_size, image_size), (image_size, image_size)


def _sides(size, square):
    """Return (height, width), or a number: the shorter edge."""
    if isinstance(size, dict):
        if "shortest_edge" in size and "longest_edge" not in size:
            return int(size["shortest_edge"])
        return int(size["height"]), int(size["width"])
    if isinstance(size, (list, tuple)):
        height, width = size
        return int(height), int(width)
    return (int(size), int(size)) if square else int(size)


def _tones(settings, n_channels):
    """Return what makes levels into values, as fields of `Processor`."""
    normalize = settings["do_normalize"]
    mean, std = settings["image_mean"], settings["image_std"]
    mean, std = (
        (float(value),) * n_channels if isinstance(value, (int, float)) else _floats(value)
        for value in (mean, std)
    )
    twice = bool(settings.get("include_top"))
    if twice and not normalize:  # the second time alone
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
