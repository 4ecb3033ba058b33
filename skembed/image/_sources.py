"""Convert a row of any accepted type to the content of a file, an image or an array.

An image that the caller opened with Pillow is not changed: its file is opened a second time.
"""

from typing import Any, NamedTuple

import numpy as np
from PIL import Image, ImageFile
from PIL._util import DeferredError

from skembed.base._arrays import array_of_tensor, is_tensor, unmasked
from skembed.base._files import (
    CONTENT_TYPES,
    PATH_TYPES,
    UnreadableRowError,
    content_of,
    content_of_object,
    is_file_object,
)
from skembed.base._rows import describe, row_key
from skembed.image._formats import (
    FORMATS,
    N_MAGIC,
    PILLOW_FORMATS,
    format_of,
    guarded,
    opened,
    reader_of,
)

# An upper bound for the size of a file: a pixel has at most four channels of 16 bits.
_MAX_BYTES_PER_PIXEL = 8
_CHANNELS = (1, 3, 4)
_CLOSED = "a closed image of Pillow; open it again, or pass its path"


class File(NamedTuple):
    """The content of an image file, and the frame and size at which it is decoded."""

    content: bytes
    reader: Any = None  # class of Pillow; None: chosen by the first bytes
    frame: int = 0
    draft: tuple | None = None  # mode and size of a JPEG file decoded at a reduced size

    @property
    def key(self):
        """The key of the content; it does not depend on the path."""
        if self.reader is None:
            return row_key(b"image file", self.content)
        view = f"{self.frame} {self.draft}".encode()
        return row_key(b"image view", self.content, view)

    def open(self, max_pixels):
        """Open the image, without decoding it."""
        image = opened(self.content, max_pixels, self.reader)
        if self.frame:
            guarded(image.seek, self.frame)
        if self.draft is not None:
            guarded(image.draft, *self.draft)
        return image


def source_of(row, max_pixels):
    """Return the file, the image or the array that contains the pixels of a row.

    Parameters
    ----------
    row : object
        A path, the content of a file, a file object, ``{"bytes": ..., "path": ...}``, an image of
        Pillow, an array or a tensor.
    max_pixels : int or None
        Maximum number of pixels. A file that is too large for such an image is not read.

    Returns
    -------
    source : File, PIL.Image.Image or ndarray

    Raises
    ------
    UnreadableRowError
        If the row is of another type, or a file of an unsupported format.
    """
    if isinstance(row, dict):
        row = _part_of_dict(row)
    if isinstance(row, np.ndarray):
        return unmasked(row)
    if isinstance(row, Image.Image):
        return _source_of_image(row)
    if isinstance(row, PATH_TYPES):
        return File(_content_of_path(row, max_pixels))
    if isinstance(row, CONTENT_TYPES):
        return _file(bytes(row))
    if is_file_object(row):
        return _file(content_of_object(row))
    if isinstance(row, UnreadableRowError):  # a lazy container raised an error for this row
        raise row
    if is_tensor(row):
        return _array_of_tensor(row)
    if hasattr(row, "__array__") and not isinstance(row, np.generic):
        return unmasked(guarded(np.asanyarray, row))
    raise UnreadableRowError(describe(row))


def _file(content):
    format_of(content[:N_MAGIC])
    return File(content)


def _part_of_dict(row):
    """Return the bytes, else the path, of a row in the format of the library `datasets`."""
    if not row or not set(row) <= {"bytes", "path"}:
        names = ", ".join(map(str, list(row)[:5]))
        raise UnreadableRowError(f"a dict with the keys ({names}), not bytes and path")
    part = row.get("bytes") if row.get("bytes") is not None else row.get("path")
    if not isinstance(part, (*CONTENT_TYPES, *PATH_TYPES)):
        raise UnreadableRowError(f"a dict whose bytes or path is {describe(part)}")
    return part


def _content_of_path(path, max_pixels):
    def check(start, size):
        format_of(start)
        if max_pixels is not None and size > _MAX_BYTES_PER_PIXEL * max_pixels:
            raise UnreadableRowError(
                f"a file of {size:,} bytes, more than an image of max_pixels={max_pixels:,} needs"
            )

    return content_of(path, check, N_MAGIC)


# -- images of Pillow ------------------------------------------------------------------------------


def _source_of_image(image):
    """Return an image in memory unchanged; for an image that is not decoded, return its file.

    Decoding the caller's image would keep its pixels in memory as long as the image exists. If
    decoding fails, Pillow changes the image, and may not raise the error a second time.
    """
    if isinstance(vars(image).get("_im"), DeferredError):
        raise UnreadableRowError(_CLOSED)
    if not isinstance(image, ImageFile.ImageFile):
        return image
    file = getattr(image, "fp", None)
    pixels = vars(image).get("_im", vars(image).get("im"))  # "im" in Pillow 10 and older
    is_decoded = not image.tile and pixels is not None
    if file is None and not image.tile:
        return image
    if file is None or getattr(file, "closed", False):
        # libtiff closes the file of an image whose decoding fails.
        if is_decoded and file_behind(image) is not None:
            return image
        raise UnreadableRowError(_CLOSED)
    if image.format not in PILLOW_FORMATS:
        raise UnreadableRowError(
            f"an image file of the format {image.format}, opened but not loaded; supported "
            f"formats: {FORMATS}. Call its load() first"
        )
    return image if is_decoded else _view(_file(content_of_object(file)), image)


def file_behind(image):
    """Return the file that an image in memory was decoded from; None if it is not found.

    An image whose decoding failed looks like any other image. Only the file shows that pixels are
    missing, or how many bits they had. A file whose format has changed was replaced by another one.

    Parameters
    ----------
    image : PIL.Image.Image
        A decoded image.

    Returns
    -------
    file : File or None
    """
    # Pillow decodes an icon on each access, and raises the error each time.
    if not isinstance(image, ImageFile.ImageFile) or image.format not in PILLOW_FORMATS - {"ICO"}:
        return None
    try:
        source = _file(_content_behind(image))
        form = reader_of(format_of(source.content[:N_MAGIC])).format
    except UnreadableRowError:
        return None
    same = form == image.format or (form, image.format) == ("JPEG", "MPO")
    return _view(source, image) if same else None


def _content_behind(image):
    """Return the content of the file from which an image was opened."""
    # PNG, GIF and TIFF images keep the file object that the caller passed.
    file = getattr(image, "fp", None) or vars(image).get("_fp")
    if is_file_object(file) and not getattr(file, "closed", False):
        return content_of_object(file)
    path = getattr(image, "filename", "") or getattr(file, "name", "")
    return content_of(path if isinstance(path, (str, bytes)) else "", lambda start, size: None)


def _view(source, image):
    """Set frame and reduced size (of JPEG files) of a file to those of the caller's image."""
    try:
        frame = image.tell()
    except AttributeError:  # an image that was pickled has one frame
        frame = 0
    if frame:
        return source._replace(reader=type(image), frame=frame)
    if image.format in ("JPEG", "MPO"):
        fresh = source.open(None)
        if (fresh.mode, fresh.size) != (image.mode, image.size):
            return source._replace(reader=type(fresh), draft=(image.mode, image.size))
    return source


# -- tensors ---------------------------------------------------------------------------------------


def _array_of_tensor(tensor):
    """Convert a tensor to an array with channels last."""
    array = array_of_tensor(tensor)
    if array.ndim != 3:
        return array
    first, last = array.shape[0] in _CHANNELS, array.shape[2] in _CHANNELS
    if first and last:
        raise UnreadableRowError(
            f"a tensor of shape {array.shape}, whose channels may be first or last; convert it to "
            "an array with channels last: tensor.permute(1, 2, 0).numpy()"
        )
    return array.transpose(1, 2, 0) if first else array
