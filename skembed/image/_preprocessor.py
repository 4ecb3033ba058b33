"""From rows to the pixels of a network: reading and preparing, on threads."""

from dataclasses import dataclass

import numpy as np
from PIL import Image

from skembed.embedder._inputs import Prepared, Preprocessor
from skembed.exceptions import ModelFormatError
from skembed.image._pixels import image_of
from skembed.image._processor import Processor, processor_of


@dataclass(frozen=True)
class ImagePreprocessor(Preprocessor):
    """How rows become pixels: all that can change them, and nothing else.

    Parameters
    ----------
    processor : Processor
        From an image to a network's pixels.
    max_pixels : int or None
        Width times height that an image may have.
    max_value : float or None
        The value of white in arrays and in images of more than 8 bits; None: by dtype.
    """

    processor: Processor
    max_pixels: int | None
    max_value: float | None

    libraries = ("pillow",)

    @property
    def fixed_shape(self):
        """Sizes of an input, the same for all rows."""
        return (self.processor.n_channels, *self.processor.size)

    def settings(self):
        """Return what can change a vector, and whether a row has one."""
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
        """Return pixels to check an export with: blots of color, in batches of two sizes."""
        random = np.random.default_rng(0)
        height, width = self.processor.size
        probes = []
        for n_rows in (2, 1):
            blots = random.integers(0, 256, (n_rows, 8, 8, 3), dtype=np.uint8)
            images = [Image.fromarray(item).resize((width, height)) for item in blots]
            probes.append(np.stack([self.processor.pixels(image) for image in images]))
        return probes

    def save(self, folder):
        """Return the settings, which are all that an exported folder needs."""
        return {"processor": self.processor.settings()}


def image_preprocessor(folder, *, image_size, max_pixels, max_value):
    """Return the `ImagePreprocessor` of a model's folder and an embedder's parameters.

    Raises
    ------
    ModelFormatError
        If the folder does not say how images are prepared.
    ValueError
        If `image_size` is not what an exported network takes.
    """
    saved = ((folder.manifest or {}).get("front") or {}).get("processor")
    if saved is None:
        processor = processor_of(folder, image_size)
    else:
        try:
            lists = {name: tuple(v) for name, v in saved.items() if isinstance(v, list)}
            processor = Processor(**{**saved, **lists})
            processor.levels()
        except (TypeError, ValueError, AttributeError) as error:
            path = folder.path / "manifest.json"
            raise ModelFormatError(f"{path} makes no sense: {error!r}") from error
        wanted = (image_size,) * 2 if isinstance(image_size, int) else image_size
        if wanted not in (None, processor.size):
            raise ValueError(
                f"{folder.path} was exported for images of {processor.size}, and image_size="
                f"{image_size!r} was asked for."
            )
    return ImagePreprocessor(processor, max_pixels, max_value)
