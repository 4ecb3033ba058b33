"""Convert rows to the pixels that a network takes."""

import json
import shutil
from dataclasses import dataclass

import numpy as np
from PIL import Image

from skembed.embedder._inputs import Prepared, Preprocessor
from skembed.exceptions import ExportError
from skembed.image._pixels import image_of
from skembed.image._processor import Processor, processor_of
from skembed.models._files import checked_settings
from skembed.models._folder import ModelFolder


@dataclass(frozen=True)
class ImagePreprocessor(Preprocessor):
    """Everything that determines how rows are converted to pixels.

    Parameters
    ----------
    processor : Processor
        Converts an image to a network's pixels.
    max_pixels : int or None
        Maximum of width times height of an image.
    max_value : float or None
        Value of white in arrays and in images of more than 8 bits. None: by dtype.
    """

    processor: Processor
    max_pixels: int | None
    max_value: float | None

    libraries = ("pillow",)

    @property
    def fixed_shape(self):
        """Shape of an input, the same for all rows."""
        return (self.processor.n_channels, *self.processor.size)

    def settings(self):
        """Return all settings that can change a vector or make a row bad."""
        return {
            "processor": self.processor.settings(),
            "max_pixels": self.max_pixels,
            "max_value": self.max_value,
        }

    def _prepared(self, row, key):
        return Prepared([self.processor.pixels(self._image(row, key))], [1])

    def _image(self, row, key):
        return image_of(row, max_pixels=self.max_pixels, max_value=self.max_value, key=key)

    def probes(self):
        """Return pixels to check an export with: smooth random images, in batches of 2 and 1."""
        random = np.random.default_rng(0)
        height, width = self.processor.size
        probes = []
        for n_rows in (2, 1):
            coarse = random.integers(0, 256, (n_rows, 8, 8, 3), dtype=np.uint8)
            images = [Image.fromarray(item).resize((width, height)) for item in coarse]
            probes.append(np.stack([self.processor.pixels(image) for image in images]))
        return probes

    def save(self, folder):
        """Return the settings that an exported folder stores; no file is written."""
        return {"processor": self.processor.settings()}

    def save_files(self, folder, source):
        """Write ``preprocessor_config.json`` to a model's folder."""
        own = source.backbone_path / "preprocessor_config.json"
        target = folder / "preprocessor_config.json"
        shutil.copyfile(own, target)
        if processor_of(ModelFolder(folder)) != self.processor:  # `image_size` was set
            target.write_text(json.dumps(self.processor.config(), indent=1) + "\n")
        if processor_of(ModelFolder(folder)) != self.processor:
            raise ExportError(
                f"{source.path}: no preprocessor_config.json gives images of the size "
                f"{self.processor.size} from {self.processor}. Fit with image_size=None, or use "
                "format='onnx'."
            )


def image_preprocessor(folder, *, image_size, max_pixels, max_value):
    """Return the `ImagePreprocessor` of a model's folder and an embedder's parameters.

    Raises
    ------
    ModelFormatError
        If the folder does not define the preprocessing of images.
    ValueError
        If `image_size` differs from the size of an exported network.
    """
    saved = ((folder.manifest or {}).get("front") or {}).get("processor")
    if saved is None:
        processor = processor_of(folder, image_size)
    else:
        with checked_settings(folder.path / "manifest.json"):
            lists = {name: tuple(v) for name, v in saved.items() if isinstance(v, list)}
            processor = Processor(**{**saved, **lists})
            processor.levels()
        size = (image_size,) * 2 if isinstance(image_size, int) else image_size
        if size not in (None, processor.size):
            raise ValueError(
                f"{folder.path} was exported for images of size {processor.size}. Got image_size="
                f"{image_size!r} instead."
            )
    return ImagePreprocessor(processor, max_pixels, max_value)
