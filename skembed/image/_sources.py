"""From a row of any accepted type to what holds its pixels: a file's content, an image, an array.

An image that the caller opened with Pillow is left as it is: it is opened once more from its file.
"""

from os import PathLike
from typing import Any, NamedTuple

import numpy as np
from PIL import Image, ImageFile
from PIL._util import DeferredError

from skembed.base._arrays import array_of_tensor, is_tensor, unmasked
from skembed.base._files import UnreadableRowError, content_of, content_of_object, is_file_object
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

# A pixel of four channels of 16 bits: what an image file of so many pixels can need at most.
_MAX_BYTES_A_PIXEL = 8
_CHANNELS = (1, 3, 4)
_CLOSED = "a closed image of Pillow's; open it again, or give its path"


class File(NamedTuple):
    """The content of an image file, and which view of it is wanted."""

    content: bytes
    reader: Any = None  # class of Pillow's; None: by the content's first bytes
    frame: int = 0
    draft: tuple | None = None  # mode and size of a JPEG file that is decoded at a reduced size

    @property
    def key(self):
        """The key of the content, whatever its path."""
        if self.reader is None:
            return row_key(b"image file", self.content)
        view = f"{self.frame} {self.draft}".encode()
        return row_key(b"image view", self.content, view)

    def open(self, max_pixels):
        """Return the image, not decoded yet."""
        image = opened(self.content, max_pixels, self.reader)
        if self.frame:
            guarded(image.seek, self.frame)
        if self.draft is not None:
            guarded(image.draft, *self.draft)
        return image


def source_of(row, max_pixels):
    """Return what holds a row's pixels.

    Parameters
    ----------
    row : object
        A path, a file's content, a file object, ``{"bytes": ..., "path": ...}``, an image of
        Pillow's, an array or a tensor.
    max_pixels : int or None
        What an image may have; a file that is larger than such an image can be is not read.

    Returns
    -------
    source : File, PIL.Image.Image or ndarray

    Raises
    ------
    UnreadableRowError
        If the row is none of these, or no file of a format on the list.
    """
    if isinstance(row, dict):
        row = _part_of_dict(row)
    if isinstance(row, np.ndarray):
        return unmasked(row)
    if isinstance(row, Image.Image):
        return _source_of_image(row)
    if isinstance(row, (str, PathLike)):
        return File(_content_of_path(row, max_pixels))
    if isinstance(row, (bytes, bytearray, memoryview)):
        return _file(bytes(row))
    if is_file_object(row):
        return _file(content_of_object(row))
    if isinstance(row, UnreadableRowError):  # of a container that makes its rows on access
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
    """Return the bytes, else the path, of a row as of the library `datasets`."""
    if not row or not set(row) <= {"bytes", "path"}:
        names = ", ".join(map(str, list(row)[:5]))
        raise UnreadableRowError(f"a dict of ({names}), not of bytes and path")
    part = row.get("bytes") if row.get("bytes") is not None else row.get("path")
    if not isinstance(part, (bytes, bytearray, memoryview, str, PathLike)):
        raise UnreadableRowError(f"a dict whose bytes or path is {describe(part)}")
    return part


def _content_of_path(path, max_pixels):
    def check(start, size):
        format_of(start)
        if max_pixels is not None and size > _MAX_BYTES_A_PIXEL * max_pixels:
            raise UnreadableRowError(
                f"a file of {size:,} bytes, more than an image of max_pixels={max_pixels:,} needs"
            )

    return content_of(path, check, N_MAGIC)


# -- images of Pillow's ----------------------------------------------------------------------------


def _source_of_image(image):
    """Return an image in memory as it is, and the file of one that is not decoded yet.

    Decoding it in place would keep its pixels in memory as long as the caller keeps the image, and
    an image whose decoding failed once is no longer the same: Pillow may not fail a second time.
    """
    if isinstance(vars(image).get("_im"), DeferredError):
        raise UnreadableRowError(_CLOSED)
    if not isinstance(image, ImageFile.ImageFile):
        return image
    file = getattr(image, "fp", None)
    pixels = vars(image).get("_im", vars(image).get("im"))  # Pillow 10 and older name it otherwise
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
            f"an image file of the format {image.format}, opened but not loaded; formats that are "
            f"read: {FORMATS}. Call its load() first"
        )
    return image if is_decoded else _view(_file(content_of_object(file)), image)


def file_behind(image):
    """Return the file that an image in memory was decoded from; None where it cannot be found.

    Pillow leaves an image whose decoding failed as it leaves others: only the file tells that
    pixels are missing, or how many bits they had. A file that is of another format by now is
    another file.

    Parameters
    ----------
    image : PIL.Image.Image
        Decoded.

    Returns
    -------
    file : File or None
    """
    # An icon is decoded each time, so that its decoding fails each time.
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
    """Return the content of the file that an image was opened from."""
    # PNG, GIF and TIFF images keep a file object that the caller opened.
    file = getattr(image, "fp", None) or vars(image).get("_fp")
    if is_file_object(file) and not getattr(file, "closed", False):
        return content_of_object(file)
    path = getattr(image, "filename", "") or getattr(file, "name", "")
    return content_of(path if isinstance(path, (str, bytes)) else "", lambda start, size: None)


def _view(source, image):
    """Return the frame, and the reduced size of JPEG files, that the caller's image stands at."""
    try:
        frame = image.tell()
    except AttributeError:  # of an image that was pickled, which has one frame
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
    """Return a tensor as an array with its channels last."""
    array = array_of_tensor(tensor)
    if array.ndim != 3:
        return array
    first, last = array.shape[0] in _CHANNELS, array.shape[2] in _CHANNELS
    if first and last:
        raise UnreadableRowError(
            f"a tensor of shape {array.shape}, whose channels may come first or last; make it an "
            "array with channels last: tensor.permute(1, 2, 0).numpy()"
        )
    return array.transpose(1, 2, 0) if first else array
