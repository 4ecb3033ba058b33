"""From a row (path, bytes, PIL image, array) to an upright 8-bit image, grey or RGB.

Whatever is wrong with a row is an `UnreadableRowError` that says so: files come from anywhere.
Pillow's global settings are neither read for a decision nor changed.
"""

import os
from io import BytesIO

import numpy as np
from PIL import Image, ImageFile
from PIL.BmpImagePlugin import BmpImageFile
from PIL.GifImagePlugin import GifImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.TiffImagePlugin import TiffImageFile
from PIL.WebPImagePlugin import WebPImageFile

from skembed._files import UnreadableRowError, content_of, shortened
from skembed._rows import describe, row_key

# What a file begins with -> what reads it. `Image.open` is not asked: it would try formats that
# are not on this list, and warn of large images before their size can be looked at.
_READERS = {
    b"\xff\xd8\xff": JpegImageFile,
    b"\x89PNG\r\n\x1a\n": PngImageFile,
    b"GIF87a": GifImageFile,
    b"GIF89a": GifImageFile,
    b"BM": BmpImageFile,
    b"II*\x00": TiffImageFile,
    b"MM\x00*": TiffImageFile,
}
FORMATS = ("JPEG", "PNG", "WebP", "GIF", "BMP", "TIFF")
_N_MAGIC = 32  # bytes that tell a format
# Kinds of files that are often taken for images, by what they begin with.
_OTHERS = {
    b"<svg": "an SVG drawing",
    b"<?xml": "an SVG drawing or other XML",
    b"<!DOCTYPE": "an HTML page",
    b"<html": "an HTML page",
    b"%PDF": "a PDF document",
    b"PK\x03\x04": "a zip archive",
}
# The value of the EXIF tag Orientation -> what sets the image upright.
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_ORIENTATION = 0x0112
# Rows of pixels converted at a time, so that a large image is not copied as a whole.
_BAND = 512
# A pixel of four channels of 16 bits: what an image file of so many pixels can need at most.
_MAX_BYTES_A_PIXEL = 8


# -- what a row is ---------------------------------------------------------------------------------


def is_encoded(row):
    """Tell whether a row is the content of a file, or its path."""
    return isinstance(row, (str, os.PathLike, bytes, bytearray, memoryview))


def encoded(row, max_pixels):
    """Return the bytes of a row that is a path or the content of a file.

    Parameters
    ----------
    row : str, path or bytes
        The row.
    max_pixels : int or None
        What an image may have; a file that is larger than such an image can be is not read.

    Returns
    -------
    content : bytes

    Raises
    ------
    UnreadableRowError
        If there is no file of a known format.
    """
    content = bytes(row) if isinstance(row, (bytes, bytearray, memoryview)) else None
    if content is None:
        content = _content_of(row, max_pixels)
    _reader(content)
    return content


def _content_of(path, max_pixels):
    def check(start, size):
        _reader(start)
        if max_pixels is not None and size > _MAX_BYTES_A_PIXEL * max_pixels:
            raise UnreadableRowError(
                f"a file of {size:,} bytes, more than an image of max_pixels={max_pixels:,} needs"
            )

    return content_of(path, check, _N_MAGIC)


def _reader(content):
    """Return the class of Pillow's that reads a file which begins so."""
    if content[:4] == b"RIFF" and content[8:12] == b"WEBP":
        return WebPImageFile
    for magic, reader in _READERS.items():
        if content.startswith(magic):
            return reader
    if not content:
        raise UnreadableRowError("an empty file")
    start = content[:_N_MAGIC].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    others = (what for magic, what in _OTHERS.items() if start.startswith(magic.lower()))
    what = next(others, "not an image")
    raise UnreadableRowError(f"{what}; formats that are read: {', '.join(FORMATS)}")


# -- from a row to an image ------------------------------------------------------------------------


def key_of(row, *, max_pixels, max_value):
    """Return the key of an image's content: a file's bytes, whatever its path; else its pixels.

    Parameters
    ----------
    row : str, path, bytes, PIL.Image.Image or ndarray
        The row.
    max_pixels : int or None
        As for `image_of`.
    max_value : float or None
        As for `image_of`.

    Returns
    -------
    key : bytes of length 32

    Raises
    ------
    UnreadableRowError
        If the row is none of these, or its pixels are not what they should be.

    Examples
    --------
    >>> grey = np.zeros((2, 3), dtype=np.uint8)
    >>> key = key_of(grey, max_pixels=None, max_value=None)
    >>> key == key_of(Image.fromarray(grey), max_pixels=None, max_value=None)
    True
    """
    if is_encoded(row):
        return key_of_content(encoded(row, max_pixels))
    image = image_of(row, max_pixels=max_pixels, max_value=max_value)
    shape = f"{image.mode} {image.width} {image.height}".encode()
    return row_key(b"image pixels", shape, image.tobytes())


def key_of_content(content):
    """Return the key of a file's bytes."""
    return row_key(b"image file", content)


def image_of(row, *, max_pixels, max_value):
    """Return a row's image: upright, over white, 8 bits a channel.

    Parameters
    ----------
    row : bytes, PIL.Image.Image or ndarray
        A file's content, an image, or an array (height, width), (height, width, 3 or 4).
    max_pixels : int or None
        Width times height that a file or a PIL image may have, looked at before it is decoded.
    max_value : float or None
        The value of white in arrays. None: by dtype, see `image_of_array`.

    Returns
    -------
    image : PIL.Image.Image
        Of mode "L" or "RGB".

    Raises
    ------
    UnreadableRowError
        If it cannot be decoded, or is not what it should be.
    """
    if isinstance(row, np.ndarray):
        return image_of_array(row, max_value)
    if isinstance(row, Image.Image):
        return _guarded(_decoded, row, max_pixels)
    if isinstance(row, bytes):
        return _guarded(_decoded, _opened(row, max_pixels), max_pixels)
    raise UnreadableRowError(describe(row))


def _guarded(function, *arguments):
    """Call a function of Pillow's; whatever it raises of a damaged file becomes a reason."""
    try:
        return function(*arguments)
    except (UnreadableRowError, MemoryError):
        raise
    except Exception as error:  # plugins raise OSError, SyntaxError, struct.error, IndexError, ...
        reason = str(error).strip().splitlines() or [type(error).__name__]
        raise UnreadableRowError(f"a damaged image: {shortened(reason[0])}") from error


def _opened(content, max_pixels):
    """Return the image of a file, not decoded yet."""
    reader = _reader(content)
    if reader is WebPImageFile:  # whose canvas is made when it is opened
        _check_size(_webp_size(content), max_pixels)
    return _guarded(reader, BytesIO(content))


def _webp_size(content):
    """Return width and height by the first chunk's header; (0, 0) if it makes no sense."""
    kind, header = content[12:16], content[20:30]
    if len(header) < 10 or kind not in (b"VP8X", b"VP8L", b"VP8 "):
        return 0, 0
    if kind == b"VP8X":
        width, height = header[4:7], header[7:10]
        return 1 + int.from_bytes(width, "little"), 1 + int.from_bytes(height, "little")
    if kind == b"VP8L":
        bits = int.from_bytes(header[1:5], "little")
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    width, height = header[6:8], header[8:10]
    return int.from_bytes(width, "little") & 0x3FFF, int.from_bytes(height, "little") & 0x3FFF


def _check_size(size, max_pixels):
    if max_pixels is not None and size[0] * size[1] > max_pixels:
        raise UnreadableRowError(
            f"an image of {size[0]} x {size[1]} pixels, more than max_pixels={max_pixels:,}"
        )


def _decoded(image, max_pixels):
    _check_size(image.size, max_pixels)
    upright = _orientation(image)
    image.load()
    if min(image.size) == 0:
        raise UnreadableRowError("an image without pixels")
    # TIFF images are set upright when they are loaded.
    method = None if isinstance(image, TiffImageFile) else _UPRIGHT.get(upright)
    image = _with_8_bits(image)
    return image if method is None else image.transpose(method)


def _orientation(image):
    """Return the EXIF tag; 1 where there is none, or it is damaged."""
    if isinstance(image, ImageFile.ImageFile) or "exif" in image.info:
        try:
            return image.getexif().get(_ORIENTATION, 1)
        except Exception:  # metadata of any kind of damage do not make an image unreadable
            return 1
    return 1


def _with_8_bits(image):
    """Return an image of mode "L" or "RGB": scaled to 8 bits, laid over white."""
    if image.mode in ("RGB", "L") and image.info.get("transparency") is None:
        return image
    if image.mode == "I" or image.mode.startswith("I;16"):
        values = np.asarray(image)
        return image_of_array(values if values.dtype.kind == "u" else values.astype(int), 65535)
    if image.mode == "F":
        return image_of_array(np.asarray(image), None)
    if image.getbands()[-1] in "Aa" or image.info.get("transparency") is not None:
        return _over_white(image)
    return image.convert("L" if image.mode == "1" else "RGB")


def _over_white(image):
    """Lay an image with transparent pixels over white, some rows at a time."""
    answer = Image.new("RGB", image.size)
    for top in range(0, image.height, _BAND):
        box = (0, top, image.width, min(top + _BAND, image.height))
        band = image.crop(box).convert("RGBA")
        white = Image.new("RGBA", band.size, (255, 255, 255, 255))
        answer.paste(Image.alpha_composite(white, band).convert("RGB"), box)
    return answer


# The value of white, by kind of dtype: bool, float, signed and unsigned int.
_WHITE = {"b": 1, "f": 1, "i": 255, "u": 255}


def image_of_array(array, max_value=None):
    """Return the image of an array of pixels.

    Parameters
    ----------
    array : ndarray of shape (height, width), (height, width, 1), (height, width, 3) or \
            (height, width, 4)
        Grey, RGB, or RGB with opacity; numbers from 0 (black) to `max_value` (white).
    max_value : float or None
        None: 1 for floats and bool, 65,535 for uint16, 255 for other integers.

    Returns
    -------
    image : PIL.Image.Image
        Of mode "L" or "RGB"; values are rounded to 8 bits.

    Raises
    ------
    UnreadableRowError
        If shape or dtype are no image's, or values lie outside.

    Examples
    --------
    >>> image_of_array(np.array([[0.0, 0.5, 1.0]])).tobytes().hex(" ")
    '00 80 ff'
    """
    array = np.asarray(array)
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[:, :, 0]
    if array.dtype.kind not in _WHITE:
        raise UnreadableRowError(f"an array of dtype {array.dtype}")
    if array.size == 0 or array.ndim not in (2, 3) or array.shape[2:] not in ((), (3,), (4,)):
        raise UnreadableRowError(
            f"an array of shape {array.shape}, not (height, width), (height, width, 3) or "
            "(height, width, 4)"
        )
    pixels = _as_8_bits(array, max_value)
    image = Image.fromarray(pixels)
    return _over_white(image) if image.mode == "RGBA" else image


def _as_8_bits(array, max_value):
    """Return pixels in uint8: values from 0 to white, checked."""
    if array.dtype == np.uint8 and max_value in (None, 255):
        return np.ascontiguousarray(array)
    white = max_value
    if white is None:
        white = 65535 if array.dtype == np.uint16 else _WHITE[array.dtype.kind]
    low, high = array.min(), array.max()
    if not (low >= 0 and high <= white):  # not a number, too
        raise UnreadableRowError(
            f"a {array.dtype} array with values from {low:.6g} to {high:.6g}, not from 0 to "
            f"{white:g}; max_value sets what white is"
        )
    pixels = np.empty(array.shape, dtype=np.uint8)
    for top in range(0, len(array), _BAND):
        band = array[top : top + _BAND].astype(np.float64)
        pixels[top : top + _BAND] = np.rint(band * (255 / white))
    return pixels
