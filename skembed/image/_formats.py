"""Detect the format of an image file, check it, and open it with Pillow.

Files are untrusted. Only the formats listed here are opened, each with the plugin of Pillow for the
first bytes of the file. `Image.open` is not used: it tries formats that are not listed, and warns
of large images before their size can be checked.
"""

import re
import struct
from importlib import import_module
from io import BytesIO

from PIL import Image

from skembed.base._failures import first_line
from skembed.base._file_kinds import kind_of_file
from skembed.base._files import UnreadableRowError, shortened
from skembed.image._quiet import quiet_pillow

# First bytes of a file -> name of Pillow's plugin. `format_of` detects WebP, AVIF and TGA by other
# rules.
_MAGIC = {
    b"\xff\xd8\xff": "Jpeg",
    b"\x89PNG\r\n\x1a\n": "Png",
    b"GIF87a": "Gif",
    b"GIF89a": "Gif",
    b"BM": "Bmp",
    b"II*\x00": "Tiff",
    b"MM\x00*": "Tiff",
    b"II+\x00": "Tiff",  # BigTIFF
    b"MM\x00+": "Tiff",
    b"\x00\x00\x00\x0cjP  \r\n\x87\n": "Jpeg2K",
    b"\xff\x4f\xff\x51": "Jpeg2K",
    b"\x00\x00\x01\x00": "Ico",
    b"qoif": "Qoi",
    **{f"P{kind}{space}".encode(): "Ppm" for kind in "123456f" for space in " \t\r\n"},
}
FORMATS = "JPEG, PNG, WebP, GIF, BMP, TIFF, AVIF, JPEG 2000, ICO, PPM (PBM, PGM, PFM), QOI and TGA"
N_MAGIC = 64  # bytes that determine a format
# Pillow's names of these formats, for images that the caller has opened. An MPO file is a JPEG file
# that contains further images after the first one.
PILLOW_FORMATS = {
    *("JPEG", "MPO", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF", "JPEG2000", "ICO", "PPM"),
    *("QOI", "TGA"),
}
# First bytes of other kinds of files, in lower case -> the kind.
_OTHERS = {
    b"<svg": "an SVG drawing",
    b"<?xml": "an SVG drawing or other XML",
    b"8bps": "a Photoshop document",
    b"\x00\x00\x02\x00": "a cursor",
    b"ii\xbc\x01": "a JPEG XR image",
    b"\xff\x0a": "a JPEG XL image",
    b"\x00\x00\x00\x0cjxl ": "a JPEG XL image",
}
_HEIC = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")
_AVIF = (b"avif", b"avis")
_SHARED = (b"mif1", b"msf1")  # main brands of HEIC and AVIF
# Pillow's messages about files that may be intact, but use an unsupported feature.
_UNSUPPORTED = re.compile(
    r"unknown (pixel mode|data organization|tga|bmp)|not (yet )?supported|unsupported"
    r"|cannot handle \d+-(bit|layer)|not installed|not available"
    r"|unable to determine j2k|no decoder|bits? per pixel",
    re.IGNORECASE,
)


def format_of(start):
    """Return the name of the plugin of Pillow that reads a file, by its first bytes.

    Parameters
    ----------
    start : bytes
        The first `N_MAGIC` bytes of the file; a shorter file as a whole.

    Returns
    -------
    name : str

    Raises
    ------
    UnreadableRowError
        If the format is not supported.

    Examples
    --------
    >>> format_of(b"GIF89a...")
    'Gif'
    """
    if start[:4] == b"RIFF" and start[8:12] == b"WEBP":
        return "WebP"
    brands = _brands(start)
    if brands and (brands[0] in _AVIF or (brands[0] in _SHARED and set(_AVIF) & set(brands))):
        return "Avif"
    for magic, name in _MAGIC.items():
        if start.startswith(magic):
            return name
    if _is_tga(start):
        return "Tga"
    if not start:
        raise UnreadableRowError("an empty file")
    if brands and brands[0] in _HEIC:
        raise UnreadableRowError(
            f"a HEIC image; supported formats: {FORMATS}. Convert it to JPEG or PNG, for "
            "instance with the package pillow-heif"
        )
    kind = kind_of_file(start, _OTHERS) or "not an image"
    raise UnreadableRowError(f"{kind}; supported formats: {FORMATS}")


def _brands(start):
    """Return the brands of a file in the ISO base media format (AVIF, HEIC), the main one first.

    The first box has a length of four bytes, the type "ftyp", the main brand, a version of four
    bytes, and then the compatible brands. Other files have no brands.
    """
    if start[4:8] != b"ftyp":
        return []
    end = min(int.from_bytes(start[:4], "big"), len(start))
    return [start[8:12], *(start[i : i + 4] for i in range(16, end - 3, 4))]


def _is_tga(start):
    """Tell whether the first bytes are a valid TGA header.

    TGA has no magic number. So each field must have one of its few valid values: otherwise, text
    and zeros would be taken for images.
    """
    if len(start) < 18:
        return False
    has_map, kind, map_depth, depth, flags = start[1], start[2], start[7], start[16], start[17]
    depths = {1: (8,), 2: (16, 24, 32), 3: (1, 8, 16)}.get(kind & 7, ())
    return (
        kind in (1, 2, 3, 9, 10, 11)
        and depth in depths
        and flags & 0xC0 == 0
        # Only images with a palette (kind 1) need a color map.
        and (map_depth in (16, 24, 32) if has_map == 1 else has_map == 0 and kind & 7 != 1)
        # Width and height.
        and start[12:14] != b"\0\0"
        and start[14:16] != b"\0\0"
    )


def reader_of(name):
    """Return the class of a plugin of Pillow, by the name that `format_of` returns."""
    try:
        return getattr(import_module(f"PIL.{name}ImagePlugin"), f"{name}ImageFile")
    except ImportError as error:
        raise UnreadableRowError(
            f"a {name.upper()} image, which this build of Pillow cannot read"
        ) from error


def opened(content, max_pixels, reader=None):
    """Open an image file and check its size, without decoding it.

    Parameters
    ----------
    content : bytes
        The content of the file.
    max_pixels : int or None
        Maximum of width times height. None: no limit.
    reader : type, default=None
        Class of Pillow that opens the file. None: chosen by the first bytes.

    Returns
    -------
    image : PIL.ImageFile.ImageFile

    Raises
    ------
    UnreadableRowError
        If the image is too large, damaged or not supported.
    """
    name = format_of(content[:N_MAGIC])
    size_before = {"WebP": _webp_size, "Ico": _ico_size}.get(name)
    if size_before is not None:  # Pillow allocates memory for all pixels when it opens these
        check_size(size_before(content), max_pixels)
    image = guarded(reader or reader_of(name), BytesIO(content))
    check_size(image.size, max_pixels)
    if name == "Tiff":
        _refuse_planes(image)
    return image


def guarded(function, *arguments):
    """Call a function of Pillow, and convert its errors to an `UnreadableRowError`.

    Pillow's warnings and libtiff's messages are silenced, since they do not name a row.
    """
    try:
        with quiet_pillow:
            return function(*arguments)
    except (UnreadableRowError, MemoryError):
        raise
    except Image.DecompressionBombError as error:
        raise UnreadableRowError(
            "an image with more pixels than the limit of Pillow, PIL.Image.MAX_IMAGE_PIXELS"
        ) from error
    except Exception as error:  # plugins raise OSError, SyntaxError, struct.error, IndexError, ...
        line = first_line(error)
        reason = shortened(line)
        if isinstance(error, NotImplementedError) or _UNSUPPORTED.search(line):
            raise UnreadableRowError(
                f"an image that Pillow does not support ({reason}); convert it to PNG"
            ) from error
        raise UnreadableRowError(f"a damaged image: {reason}") from error


def check_size(size, max_pixels):
    """Raise an UnreadableRowError if an image has more than `max_pixels` pixels."""
    if max_pixels is not None and size[0] * size[1] > max_pixels:
        raise UnreadableRowError(
            f"an image of {size[0]} x {size[1]} pixels, more than max_pixels={max_pixels:,}"
        )


def _webp_size(content):
    """Return width and height by the header of the first chunk; (0, 0) if it is invalid.

    Each kind of chunk stores the sizes differently. "VP8X", the extended format, has both sizes
    minus one in 24 bits. "VP8L", lossless, has both minus one in 14 bits. "VP8 ", lossy, has both
    in 14 bits, below two bits of a scale.
    """
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


def _ico_size(content):
    """Return width and height of the image that Pillow opens in an icon file.

    Pillow opens one of the entries with the largest size in the icon's directory. The directory
    may state a wrong size, so the size is read from the header of the image itself.
    """
    # The directory: a header of 6 bytes, then 16 bytes for each entry. A side of 0 means 256.
    starts = range(6, min(6 + 16 * int.from_bytes(content[4:6], "little"), len(content) - 15), 16)
    entries = [content[start : start + 16] for start in starts]
    announced = [(entry[0] or 256) * (entry[1] or 256) for entry in entries]
    sizes = [(0, 0)]
    for entry, n_pixels in zip(entries, announced, strict=True):
        if n_pixels < max(announced):
            continue
        start = int.from_bytes(entry[12:16], "little")
        header = content[start : start + 24]
        if header.startswith(b"\x89PNG") and len(header) == 24:
            sizes.append(struct.unpack(">II", header[16:24]))
        elif len(header) >= 12:  # a bitmap: the image and its mask, one above the other
            width, height = struct.unpack("<ii", header[4:12])
            sizes.append((abs(width), abs(height) // 2))
    return max(sizes, key=lambda size: size[0] * size[1])


# Numbers of TIFF tags.
_BITS, _COMPRESSION, _PHOTOMETRIC, _FILL_ORDER, _PLANES, _EXTRA = 258, 259, 262, 266, 284, 338
# Photometric interpretations whose planes Pillow combines correctly: gray, RGB, palette, CMYK.
_IN_PLANES = (0, 1, 2, 3, 5)


def _refuse_planes(image):
    """Raise an UnreadableRowError for TIFF files whose separate planes Pillow decodes wrongly.

    libtiff decodes compressed planes, and Pillow combines them. Pillow decodes uncompressed planes
    itself, and correctly only those of 8 bits in the usual bit order, without inverted gray or
    premultiplied opacity.
    """
    tags = image.tag_v2
    if tags.get(_PLANES, 1) != 2:
        return
    bits, photometric = tags.get(_BITS, (1,)), tags.get(_PHOTOMETRIC)
    plain = photometric in _IN_PLANES
    if tags.get(_COMPRESSION, 1) == 1:
        plain = (
            plain
            and photometric != 0
            and set(bits) == {8}
            and tags.get(_FILL_ORDER, 1) == 1
            and 1 not in tags.get(_EXTRA, ())
        )
    if not plain:
        raise UnreadableRowError(
            f"a TIFF file of {max(bits)} bits with channels in separate planes, which Pillow "
            "decodes wrongly; save it with interleaved channels"
        )
