"""Convert a row to an upright 8-bit image, gray or RGB.

Files are untrusted: every fault of a row raises an `UnreadableRowError` with the reason. Results do
not depend on Pillow's global settings, which are not changed.
"""

import threading

import numpy as np
from PIL import Image, ImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.TiffImagePlugin import TiffImageFile

from skembed.base._arrays import numbers_of, unmasked
from skembed.base._files import CHANGED, UnreadableRowError
from skembed.base._rows import row_key
from skembed.image._formats import check_size, guarded
from skembed.image._sources import File, file_behind, source_of

# Value of the EXIF tag Orientation -> operation that rotates the image upright.
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
# Numbers of TIFF tags.
_BITS_PER_SAMPLE, _PHOTOMETRIC = 258, 262
# Number of pixel rows converted at a time, so that a large image is not copied as a whole.
_BAND = 512
# Several rows may be the same image object, which `load` may change.
_loading = threading.Lock()
# Modes of Pillow with one channel of more than 8 bits.
_WIDE = ("I", "I;16", "I;16L", "I;16B", "I;16N", "F")


# -- from a row to an image ------------------------------------------------------------------------


def key_of(row, *, max_pixels, max_value):
    """Return the key of an image: of the content of a file, or of the pixels.

    Parameters
    ----------
    row : object
        See `source_of`.
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
        If the row is not an image, or its values are out of range.

    Examples
    --------
    >>> gray = np.zeros((2, 3), dtype=np.uint8)
    >>> key = key_of(gray, max_pixels=None, max_value=None)
    >>> key == key_of(Image.fromarray(gray), max_pixels=None, max_value=None)
    True
    """
    source = source_of(row, max_pixels)
    if isinstance(source, File):
        return source.key
    image = image_of(source, max_pixels=max_pixels, max_value=max_value)
    shape = f"{image.mode} {image.width} {image.height}".encode()
    return row_key(b"image pixels", shape, image.tobytes())


def image_of(row, *, max_pixels, max_value, key=None):
    """Return the image of a row: upright, composited over white, 8 bits per channel.

    Parameters
    ----------
    row : object
        See `source_of`.
    max_pixels : int or None
        Maximum of width times height of a file or a PIL image, checked before it is decoded.
    max_value : float or None
        Value of white in arrays, and in images of more than 8 bits. None: by dtype, see
        `image_of_array`.
    key : bytes, default=None
        Expected key of the content of a file. None: not checked.

    Returns
    -------
    image : PIL.Image.Image
        Of mode "L" or "RGB".

    Raises
    ------
    UnreadableRowError
        If the row cannot be decoded, or its values are out of range.
    """
    source = source_of(row, max_pixels)
    if isinstance(source, np.ndarray):
        return image_of_array(source, max_value)
    if isinstance(source, File):
        if key is not None and source.key != key:
            raise UnreadableRowError(CHANGED)
        return _image_of_file(source, max_pixels, max_value)
    check_size(source.size, max_pixels)
    if key is None:  # otherwise the file was checked when the key was computed
        _check_file_behind(source, max_value)
    with _loading:
        guarded(source.load)
    return guarded(_upright, source, max_value)


def _check_file_behind(image, max_value):
    """Raise an UnreadableRowError if an image in memory was decoded from an unreadable file.

    Its pixels do not show this: Pillow fills missing pixels with zeros, and cuts 16 bits to 8.
    """
    source = file_behind(image)
    if source is not None:
        fresh = source.open(None)
        _refuse_cut_bits(fresh, max_value)
        guarded(fresh.load)


def _refuse_cut_bits(image, max_value):
    """Raise an UnreadableRowError if Pillow drops the low bits that `max_value` refers to."""
    if max_value not in (None, 65535) and ";16" in _rawmode(image) and image.mode[:3] == "RGB":
        raise UnreadableRowError(
            f"an image of 16 bits per color, which Pillow cuts to 8, so max_value={max_value:g} "
            "cannot be applied; read it into an array"
        )


def _image_of_file(source, max_pixels, max_value):
    image = source.open(max_pixels)
    low_bytes = None
    if isinstance(image, PngImageFile):
        guarded(_scale_transparency, image)
        if _rawmode(image) == "RGB;16B" and image.info.get("transparency") is not None:
            low_bytes = source.open(max_pixels)
    _refuse_cut_bits(image, max_value)
    return guarded(_upright, image, max_value, low_bytes)


def _upright(image, max_value, low_bytes=None):
    """Decode an image, convert it to 8 bits per channel, and rotate it upright."""
    # `load` comes first: other methods of Pillow decode the image, too, but hide errors, and Pillow
    # does not raise the error a second time.
    image.load()
    if min(image.size) == 0:
        raise UnreadableRowError("an image without pixels")
    # Pillow rotates TIFF images when it loads them.
    method = None if isinstance(image, TiffImageFile) else _UPRIGHT.get(_orientation(image))
    image = _with_8_bits(image, max_value, low_bytes)
    return image if method is None else image.transpose(method)


def _orientation(image):
    """Return the EXIF tag Orientation; 1 if it is missing or damaged."""
    if isinstance(image, ImageFile.ImageFile) or "exif" in image.info:
        try:
            return image.getexif().get(_ORIENTATION, 1)
        except Exception:  # damaged metadata does not make an image unreadable
            return 1
    return 1


def _rawmode(image):
    """Return Pillow's name of the pixel layout of a file; "" if there is none."""
    arguments = image.tile[0][3] if image.tile else ""
    first = arguments[0] if isinstance(arguments, tuple) and arguments else arguments
    return first if isinstance(first, str) else ""


# -- 8 bits, over white ----------------------------------------------------------------------------

# Pixel layout of a PNG file -> factor that scales its transparent level to 8 bits. Pillow scales
# the pixels, but not this level.
_LEVEL_FACTORS = {"1": 255, "L;2": 85, "L;4": 17}


def _scale_transparency(image):
    """Scale the transparent color of a PNG file as Pillow scales its pixels."""
    color, rawmode = image.info.get("transparency"), _rawmode(image)
    if isinstance(color, int) and rawmode in (*_LEVEL_FACTORS, "L"):
        image.info["transparency"] = (color & 255) * _LEVEL_FACTORS.get(rawmode, 1)
    elif isinstance(color, tuple) and rawmode == "RGB":
        image.info["transparency"] = tuple(level & 255 for level in color)


def _with_8_bits(image, max_value, low_bytes):
    """Return an image of mode "L" or "RGB": scaled to 8 bits, composited over white."""
    transparent = image.info.get("transparency")
    if image.mode in ("RGB", "L") and transparent is None:
        return image
    if image.mode in _WIDE:
        return _image_of_wide(image, max_value, transparent)
    if low_bytes is not None:
        return _without_color(image, low_bytes, transparent)
    if image.mode == "La":  # premultiplied
        image = image.convert("LA")
    if image.getbands()[-1] in "Aa" or transparent is not None:
        return _over_white(image)
    return image.convert("L" if image.mode == "1" else "RGB")


def _image_of_wide(image, max_value, transparent):
    """Scale an image of one channel with more than 8 bits to 8 bits."""
    values, white = np.asarray(image), 1 if image.mode == "F" else 65535
    tags = image.tag_v2 if isinstance(image, TiffImageFile) else {}
    if tags.get(_BITS_PER_SAMPLE) == (12,):
        white = 4095
    # Files of these formats state their value of white, and Pillow scales them to 16 bits.
    states_white = image.format in ("PPM", "JPEG2000") and image.mode != "F"
    if max_value is not None and not states_white:
        white = max_value
    scaled = image_of_array(values, white)
    if tags.get(_PHOTOMETRIC) == 0:  # 0 is white; Pillow inverts only images of 8 bits
        scaled = scaled.point(lambda level: 255 - level)
    if isinstance(transparent, int):
        scaled.paste(255, mask=Image.fromarray(values == transparent))
    return scaled


def _without_color(image, low_bytes, color):
    """Replace the transparent color of an RGB image of 16 bits by white.

    Pillow decodes only the high bytes. If it is given the opposite byte order, it decodes the low
    bytes. Both are compared with the color.
    """
    tile = low_bytes.tile[0]
    low_bytes.tile = [(tile[0], tile[1], tile[2], "RGB;16L")]
    low_bytes.info.pop("transparency")
    low_bytes.load()
    high, low = np.array(image), np.asarray(low_bytes)
    color = np.array(color)
    mask = (high == color >> 8).all(axis=2) & (low == color & 255).all(axis=2)
    high[mask] = 255
    return Image.fromarray(high)


def _over_white(image):
    """Composite an image with transparent pixels over white, in bands of rows."""
    opaque = Image.new("RGB", image.size)
    for top in range(0, image.height, _BAND):
        box = (0, top, image.width, min(top + _BAND, image.height))
        band = image.crop(box).convert("RGBA")
        white = Image.new("RGBA", band.size, (255, 255, 255, 255))
        opaque.paste(Image.alpha_composite(white, band).convert("RGB"), box)
    return opaque


# -- arrays ----------------------------------------------------------------------------------------

# Kind of dtype (bool, float, signed int, unsigned int) -> value of white.
_WHITE = {"b": 1, "f": 1, "i": 255, "u": 255}


def image_of_array(array, max_value=None):
    """Return the image of an array of pixels.

    Parameters
    ----------
    array : ndarray of shape (height, width), (height, width, 1), (height, width, 3) or \
            (height, width, 4)
        Gray, RGB or RGBA; numbers from 0 (black) to `max_value` (white).
    max_value : float or None
        None: 1 for floats and bool, 65,535 for uint16, 255 for other integers.

    Returns
    -------
    image : PIL.Image.Image
        Of mode "L" or "RGB". Values are rounded to 8 bits.

    Raises
    ------
    UnreadableRowError
        If the shape or the dtype is not that of an image, or values are out of range.

    Examples
    --------
    >>> image_of_array(np.array([[0.0, 0.5, 1.0]])).tobytes().hex(" ")
    '00 80 ff'
    """
    array = numbers_of(unmasked(np.asanyarray(array)))  # a stack of images may be an object array
    if array.dtype.kind not in _WHITE:
        raise UnreadableRowError(f"an array of dtype {array.dtype}")
    if array.size == 0 or array.ndim not in (2, 3) or array.shape[2:] not in _CHANNELS:
        raise UnreadableRowError(_shape_problem(array.shape))
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[:, :, 0]
    pixels = _as_8_bits(array, max_value)
    image = Image.fromarray(pixels)
    return _over_white(image) if image.mode == "RGBA" else image


_CHANNELS = ((), (1,), (3,), (4,))


def channels_first(shape):
    """Tell whether the shape of an array is that of an image with channels first.

    Examples
    --------
    >>> channels_first((3, 224, 224)), channels_first((3, 224, 3))
    (True, False)
    """
    return len(shape) == 3 and shape[0] in (1, 3, 4) and shape[2:] not in _CHANNELS


def _shape_problem(shape):
    problem = (
        f"an array of shape {shape}, not (height, width), (height, width, 3) or (height, width, 4)"
    )
    if channels_first(shape):
        return f"{problem}; transpose it: array.transpose(1, 2, 0)"
    if len(shape) == 4 and shape[0] == 1:
        return f"{problem}; extract the image: array[0]"
    return problem


def _as_8_bits(array, max_value):
    """Scale values from 0 to white to uint8; raise an UnreadableRowError for other values."""
    if array.dtype == np.uint8 and max_value in (None, 255):
        return np.ascontiguousarray(array)
    white = max_value
    if white is None:
        white = 65535 if array.dtype == np.uint16 else _WHITE[array.dtype.kind]
    low, high = array.min(), array.max()
    slack = white * _slack(array.dtype)
    if not (low >= -slack and high <= white + slack):  # also true for NaN
        raise UnreadableRowError(
            f"a {array.dtype} array with values from {low:.6g} to {high:.6g}, not from 0 to "
            f"{white:g}; max_value sets white"
        )
    pixels = np.empty(array.shape, dtype=np.uint8)
    for top in range(0, len(array), _BAND):
        band = array[top : top + _BAND].astype(np.float64)
        pixels[top : top + _BAND] = np.clip(np.rint(band * (255 / white)), 0, 255)
    return pixels


def _slack(dtype):
    """Return how far floats may be out of range because of rounding, as a fraction of white."""
    return max(1e-6, 4 * float(np.finfo(dtype).eps)) if dtype.kind == "f" else 0
