"""Supported formats, and refusals that tell damage from a kind that is not supported.

`image/_quiet` is tested here, too: its effect shows only while files of these formats are read.
"""

import logging
import os
import struct
import warnings
import zlib
from io import BytesIO

import numpy as np
import pytest
from PIL import Image
from tiny_images import encode, noise

from skembed.base._files import UnreadableRowError
from skembed.image._formats import format_of
from skembed.image._pixels import image_of, key_of

RGB, GRAY, RGBA = noise(31, 47), noise(31, 47, channels=1), noise(31, 47, channels=4)
LIMITS = {"max_pixels": 10_000, "max_value": None}


def read(row, **limits):
    return np.asarray(image_of(row, **LIMITS | limits))


def is_good(row):
    try:
        read(row)
    except UnreadableRowError:
        return False
    return True


def pillow_loads(content):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            Image.open(BytesIO(content)).load()
        except Exception:
            return False
    return True


# -- the list -------------------------------------------------------------------------------------

LOSSLESS = [
    ("ICO", RGB[:16, :16], {}),
    ("PPM", RGB, {}),
    ("PPM", GRAY, {}),
    ("QOI", RGBA, {}),
    ("TGA", RGB, {}),
    ("TGA", RGBA, {"compression": "tga_rle"}),
    ("TGA", GRAY, {}),
    ("JPEG2000", RGB, {}),
    ("JPEG2000", RGB, {"no_jp2": True}),
    ("TIFF", RGB, {"big_tiff": True}),
    ("AVIF", RGB, {}),
]


@pytest.mark.parametrize(("form", "pixels", "settings"), LOSSLESS)
def test_formats_read_what_pillow_reads(form, pixels, settings):
    content = encode(pixels, form, **settings)
    expected = Image.open(BytesIO(content))
    expected.load()
    if expected.mode == "RGBA":
        white = Image.new("RGBA", expected.size, "white")
        expected = Image.alpha_composite(white, expected).convert("RGB")
    np.testing.assert_array_equal(read(content), np.asarray(expected))
    np.testing.assert_array_equal(read(Image.open(BytesIO(content))), np.asarray(expected))


@pytest.mark.parametrize("kind", ["P1\n2 1\n0 1", "P2 2 1 9 0 9", "P3 1 1 255 255 255 255"])
def test_portable_anymaps_as_text(kind):
    assert read(kind.encode()).max() == 255


@pytest.mark.parametrize(
    "start",
    [b"\x00\x00\x01\x0a" + bytes(60), b"hello world, this is a note", bytes(64), b"P7\nWIDTH 3"],
)
def test_other_files_are_not_taken_for_images(start):
    with pytest.raises(UnreadableRowError, match="not an image; supported formats: JPEG, PNG"):
        format_of(start)


@pytest.mark.parametrize(
    ("start", "words"),
    [
        (b"\x00\x00\x00\x18ftypheic\x00\x00\x00\x00mif1heic", "a HEIC image.*pillow-heif"),
        (b"\x00\x00\x00\x18ftypmif1\x00\x00\x00\x00mif1heic", "a HEIC image.*pillow-heif"),
        (b"8BPS\x00\x01", "a Photoshop document; supported formats"),
        (b"\xff\x0a\x00\x00", "a JPEG XL image"),
        (b"version https://git-lfs.github.com/spec/v1", "git lfs pull"),
    ],
)
def test_formats_off_the_list_are_named(start, words):
    with pytest.raises(UnreadableRowError, match=words):
        format_of(start)


def test_avif_under_another_main_brand():
    assert format_of(b"\x00\x00\x00\x18ftypmif1\x00\x00\x00\x00mif1avif") == "Avif"


def test_a_large_image_inside_of_a_small_icon():
    """The list of icons says 16 x 16; what is inside would be decoded when it is opened."""
    png = encode(Image.new("1", (900, 900)), "PNG")
    icon = b"\0\0\1\0\1\0" + struct.pack("<BBBBHHII", 16, 16, 0, 0, 1, 32, len(png), 22) + png
    with pytest.raises(UnreadableRowError, match="900 x 900 pixels, more than max_pixels"):
        read(icon)


# -- damage ---------------------------------------------------------------------------------------

SEEDS = {
    "PNG": encode(RGB, "PNG"),
    "PNG with palette": encode(Image.fromarray(RGB).quantize(16), "PNG", transparency=3),
    "JPEG": encode(RGB, "JPEG"),
    "progressive JPEG": encode(RGB, "JPEG", progressive=True),
    "GIF": encode(Image.fromarray(RGB).quantize(32), "GIF"),
    "WebP": encode(RGB, "WEBP"),
    "BMP": encode(RGB, "BMP"),
    "TIFF": encode(RGB, "TIFF"),
    "TIFF with LZW": encode(RGB, "TIFF", compression="tiff_lzw"),
    "JPEG 2000": encode(RGB, "JPEG2000"),
    "AVIF": encode(RGB, "AVIF"),
    "ICO": encode(RGB[:24, :24], "ICO"),
    "TGA": encode(RGB, "TGA", compression="tga_rle"),
}


@pytest.mark.parametrize("name", SEEDS)
def test_the_verdict_on_a_file_is_that_of_a_fresh_load(name, capfd):
    """However it is given and however often; one bit is flipped, or the end is cut off."""
    random = np.random.default_rng(0)
    for turn in range(40):
        content = bytearray(SEEDS[name])
        if turn % 4 == 3:
            content = content[: random.integers(40, len(content))]
        else:
            content[random.integers(4, len(content))] ^= 1 << int(random.integers(8))
        content = bytes(content)
        expected = pillow_loads(content)
        capfd.readouterr()
        rows = [content, BytesIO(content), {"bytes": content, "path": "a.png"}, content]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                image = Image.open(BytesIO(content))
            except Exception:
                image = None
        if image is not None and image.format != "DIB":
            rows += [image, image]
        assert [is_good(row) for row in rows] == [expected] * len(rows), (name, turn)
        assert capfd.readouterr().err == ""  # not of libtiff either


def test_an_image_whose_loading_failed_before_is_still_bad():
    """Pillow leaves it as if it were decoded."""
    content = bytearray(SEEDS["TIFF with LZW"])
    content[200] ^= 255
    image = Image.open(BytesIO(bytes(content)))
    for _ in range(2):
        assert not is_good(image)
    with pytest.raises(OSError, match="decoder error"):
        image.load()
    assert not is_good(image)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (
            SEEDS["JPEG"].replace(b"\xff\xc0\x00\x11\x08", b"\xff\xc0\x00\x11\x0c"),
            "an image that Pillow does not support .*12-bit layers.*convert it",
        ),
        (SEEDS["JPEG"][:300], "a damaged image"),
    ],
)
def test_damage_is_told_from_a_kind_that_is_not_read(content, words):
    with pytest.raises(UnreadableRowError, match=words):
        read(content)


# -- TIFF -----------------------------------------------------------------------------------------


def tiff(array, *, bits=16, planes=False, deflated=False, photometric=None):
    """Write a TIFF file of one strip a plane, by hand: Pillow writes no such ones."""
    height, width, n = array.shape
    parts = [array[:, :, i] for i in range(n)] if planes else [array]
    if bits == 12:
        parts = [packed_12_bits(part) for part in parts]
    else:
        parts = [part.astype(f"<u{bits // 8}").tobytes() for part in parts]
    parts = [zlib.compress(part) for part in parts] if deflated else parts
    starts = np.cumsum([8, *(len(part) + len(part) % 2 for part in parts)]).tolist()
    values = {256: [width], 257: [height], 258: [bits] * n, 259: [8 if deflated else 1]}
    values |= {262: [photometric if photometric is not None else 2 if n >= 3 else 1]}
    values |= {273: starts[:-1], 277: [n], 278: [height], 279: list(map(len, parts))}
    values |= {284: [2 if planes else 1]}
    entries, behind = b"", b""
    for tag, numbers in values.items():
        data = struct.pack(f"<{len(numbers)}I", *numbers)
        if len(numbers) > 1:
            start = starts[-1] + 6 + 12 * len(values) + len(behind)
            data, behind = struct.pack("<I", start), behind + data
        entries += struct.pack("<HHI", tag, 4, len(numbers)) + data
    body = b"".join(part + bytes(len(part) % 2) for part in parts)
    directory = struct.pack("<H", len(values)) + entries + bytes(4) + behind
    return b"II*\0" + struct.pack("<I", starts[-1]) + body + directory


def packed_12_bits(values):
    bits = np.unpackbits(values.astype(">u2").reshape(len(values), -1, 1).view(np.uint8), axis=2)
    return np.packbits(bits[:, :, 4:].reshape(len(values), -1), axis=1).tobytes()


def test_true_12_bits():
    values = np.linspace(0, 4095, 20 * 30).astype(int).reshape(20, 30, 1)
    expected = np.rint(values[:, :, 0] * 255 / 4095)
    np.testing.assert_array_equal(read(tiff(values, bits=12)), expected)


def test_0_is_white_in_16_bits_too():
    values = np.linspace(0, 65535, 20 * 30).astype(int).reshape(20, 30, 1)
    expected = 255 - np.rint(values[:, :, 0] / 257)
    np.testing.assert_array_equal(read(tiff(values, photometric=0)), expected)


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("deflated", [False, True])
@pytest.mark.parametrize("photometric", [2, 8])
def test_planes_are_read_rightly_or_refused(bits, deflated, photometric):
    values = np.random.default_rng(0).integers(0, 2**bits, (20, 30, 3))
    settings = {"bits": bits, "deflated": deflated, "photometric": photometric}
    content = tiff(values, planes=True, **settings)
    if photometric == 8 and bits == 16:
        with pytest.raises(UnreadableRowError, match="Pillow does not support"):
            read(content)
    elif photometric == 8 or (bits == 16 and not deflated):
        with pytest.raises(UnreadableRowError, match="separate planes, which Pillow"):
            read(content)
    else:
        np.testing.assert_array_equal(read(content), read(tiff(values, **settings)))


# -- silence --------------------------------------------------------------------------------------


def test_pillows_warnings_make_no_good_file_bad(recwarn, caplog):
    damaged_exif = encode(RGB, "JPEG", exif=b"Exif\x00\x00II*\x00\xff\xff\xff\xff")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        filters = list(warnings.filters)
        assert read(damaged_exif).shape == RGB.shape
        assert warnings.filters == filters
    assert not recwarn.list
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


def test_pillows_limit_is_named(monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 300)
    with pytest.raises(UnreadableRowError, match=r"limit of Pillow, PIL.Image.MAX_IMAGE_PIXELS"):
        read(encode(RGB, "TIFF"))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)  # less than the image, which only warns
    assert read(encode(RGB, "TIFF")).shape == RGB.shape


def test_libtiff_prints_again_afterwards(capfd):
    """The handler that was there is put back."""
    read(SEEDS["TIFF with LZW"])
    broken = bytearray(SEEDS["TIFF with LZW"])
    broken[200] ^= 255
    capfd.readouterr()
    assert not is_good(bytes(broken))
    assert capfd.readouterr().err == ""
    if os.name == "posix":
        assert not pillow_loads(bytes(broken))
        assert "tempfile.tif" in capfd.readouterr().err


def test_keys_of_frames_differ():
    frames = [Image.new("RGB", (6, 5), color) for color in ("red", "lime")]
    content = encode(frames[0], "GIF", save_all=True, append_images=frames[1:])
    image = Image.open(BytesIO(content))
    first = key_of(image, **LIMITS)
    assert first == key_of(content, **LIMITS)
    image.seek(1)
    assert key_of(image, **LIMITS) != first
    assert (read(image) == (0, 255, 0)).all()
