"""Images as they come: every mode, format and kind of damage, against Pillow's own answers."""

import os
import warnings
from io import BytesIO

import numpy as np
import pytest
from PIL import Image, ImageFile, ImageOps
from tiny_images import encode, noise

from skembed.base._files import UnreadableRowError
from skembed.image._pixels import image_of, image_of_array, key_of

LIMITS = {"max_pixels": 10_000, "max_value": None}


def read(row):
    """Return a row's pixels, as the estimator reads them."""
    return np.asarray(image_of(row, **LIMITS))


def over_white(rgba):
    alpha = rgba[..., 3:] / 255
    return rgba[..., :3] * alpha + 255 * (1 - alpha)


RGB, GRAY, RGBA = noise(31, 47), noise(31, 47, channels=1), noise(31, 47, channels=4)


# -- formats and modes ----------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["PNG", "BMP", "TIFF", "WEBP", "GIF"])
def test_formats_that_lose_nothing(form):
    settings = {"lossless": True} if form == "WEBP" else {}
    image = Image.fromarray(RGB).quantize(64) if form == "GIF" else Image.fromarray(RGB)
    np.testing.assert_array_equal(read(encode(image, form, **settings)), image.convert("RGB"))


@pytest.mark.parametrize("settings", [{}, {"progressive": True}, {"subsampling": 0}])
def test_jpeg_is_what_pillow_decodes(settings):
    content = encode(RGB, "JPEG", **settings)
    np.testing.assert_array_equal(read(content), np.asarray(Image.open(BytesIO(content))))


@pytest.mark.parametrize("form", ["JPEG", "TIFF"])
def test_cmyk(form):
    content = encode(Image.fromarray(RGB).convert("CMYK"), form)
    expected = np.asarray(Image.open(BytesIO(content)).convert("RGB"))
    np.testing.assert_array_equal(read(content), expected)
    assert np.abs(expected.astype(int) - RGB).mean() < 12  # not its negative


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "LAB", "YCbCr", "HSV"])
def test_modes_without_transparency(mode):
    image = Image.fromarray(RGB)
    if mode == "LAB":
        from PIL import ImageCms

        profiles = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
        image = ImageCms.profileToProfile(image, *profiles, outputMode="LAB")
    else:
        image = image.convert(mode)
    expected = image.convert("L" if mode in ("1", "L") else "RGB")
    np.testing.assert_array_equal(read(image), np.asarray(expected))


@pytest.mark.parametrize(
    "row",
    [
        pytest.param(RGBA, id="array"),
        pytest.param(Image.fromarray(RGBA), id="PIL"),
        pytest.param(encode(RGBA, "PNG"), id="PNG"),
        pytest.param(encode(RGBA, "TIFF"), id="TIFF"),
        pytest.param(encode(RGBA, "WEBP", lossless=True, exact=True), id="WebP"),
    ],
)
def test_alpha_is_laid_over_white(row):
    np.testing.assert_allclose(read(row), over_white(RGBA), atol=1)


def test_tall_images_are_laid_over_white_in_bands():
    tall = noise(1100, 3, channels=4)
    np.testing.assert_allclose(read(tall), over_white(tall), atol=1)


@pytest.mark.parametrize("mode", ["P", "L", "RGB", "1"])
def test_one_transparent_color(mode):
    """A color that stands for nothing, as GIF and PNG have it."""
    image = Image.new(mode, (4, 2), 0)
    image.putpixel((1, 0), 1 if mode == "P" else (255,) * 3 if mode == "RGB" else 255)
    if mode == "P":
        image.putpalette([200, 10, 10, 30, 60, 90])
    content = encode(image, "PNG", transparency=(0, 0, 0) if mode == "RGB" else 0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        pixels = read(content)
    assert pixels[1, 1].tolist() == [255, 255, 255]
    assert pixels[0, 1].tolist() == ([30, 60, 90] if mode == "P" else [255, 255, 255])


def test_a_palette_with_an_opacity_for_each_color():
    image = Image.new("P", (2, 1))
    image.putpalette([0, 0, 0, 100, 100, 100])
    image.putpixel((1, 0), 1)
    pixels = read(encode(image, "PNG", transparency=bytes([0, 255])))
    assert pixels[0].tolist() == [[255, 255, 255], [100, 100, 100]]


@pytest.mark.parametrize("form", ["PNG", "TIFF"])
def test_16_bits_are_scaled_not_clipped(form):
    values = np.linspace(0, 65535, 300).astype(np.uint16).reshape(15, 20)
    expected = np.rint(values / 257.0)
    np.testing.assert_array_equal(read(encode(Image.fromarray(values), form)), expected)
    np.testing.assert_array_equal(read(Image.fromarray(values)), expected)
    np.testing.assert_array_equal(read(values), expected)


def test_float_tiff():
    values = np.linspace(0, 1, 20, dtype=np.float32).reshape(4, 5)
    np.testing.assert_array_equal(
        read(encode(Image.fromarray(values), "TIFF")), np.rint(values * 255)
    )
    with pytest.raises(UnreadableRowError, match="values from 0 to 2, not from 0 to 1"):
        read(encode(Image.fromarray(values * 2), "TIFF"))


@pytest.mark.parametrize("form", ["GIF", "PNG", "WEBP", "TIFF"])
def test_the_first_frame_of_an_animation(form):
    frames = [Image.new("RGB", (6, 5), color) for color in ("red", "lime", "blue")]
    settings = {"lossless": True} if form == "WEBP" else {}
    content = encode(frames[0], form, save_all=True, append_images=frames[1:], **settings)
    assert (read(content) == (255, 0, 0)).all()


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 10))
def test_exif_rotation_is_applied(form, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    content = encode(RGB, form, exif=exif)
    upright = ImageOps.exif_transpose(Image.open(BytesIO(content)))
    assert upright.size == ((31, 47) if orientation in (5, 6, 7, 8) else (47, 31))
    np.testing.assert_array_equal(read(content), np.asarray(upright))
    np.testing.assert_array_equal(read(Image.open(BytesIO(content))), np.asarray(upright))


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")  # Pillow's own
def test_damaged_exif_makes_no_bad_row():
    content = encode(RGB, "JPEG", exif=b"Exif\x00\x00II*\x00\xff\xff\xff\xff")
    assert read(content).shape == RGB.shape


# -- arrays ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("array", "max_value"),
    [
        (GRAY, None),
        (GRAY[:, :, None], None),
        (GRAY.astype(np.int64), None),
        (GRAY / 255, None),
        ((GRAY / 255).astype(np.float32), None),
        (GRAY.astype(np.uint16) * 257, None),
        (GRAY.astype(float), 255),
        (GRAY / 255 * 16, 16),
        (np.asfortranarray(GRAY), None),
        (GRAY[::-1][::-1], None),
    ],
)
def test_arrays_of_all_kinds(array, max_value):
    """Floats lie in [0, 1], integers in [0, 255], uint16 in [0, 65535]; or as max_value says."""
    np.testing.assert_array_equal(np.asarray(image_of_array(array, max_value)), GRAY)


def test_boolean_arrays():
    assert np.asarray(image_of_array(GRAY > 99)).tolist() == ((GRAY > 99) * 255).tolist()


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (GRAY / 1.0, "float64 array with values from .* not from 0 to 1; max_value sets"),
        (GRAY / 255 - 0.5, "values from -0"),
        (np.full((3, 3), np.nan), "values from nan to nan"),
        (np.array([[0.5, np.inf]]), "values from 0.5 to inf"),
        (np.full((3, 3), 256), "int64 array with values from 256 to 256, not from 0 to 255"),
        (np.full((3, 3), -1), "values from -1"),
        (np.zeros((3, 3), complex), "dtype complex128"),
        (np.full((3, 3), "a"), "dtype <U1"),
        (np.zeros((3, 3, 2), np.uint8), r"shape \(3, 3, 2\), not \(height, width\)"),
        (np.zeros(9, np.uint8), r"shape \(9,\)"),
        (np.zeros((0, 3), np.uint8), r"shape \(0, 3\)"),
        (np.zeros((2, 3, 3, 3), np.uint8), r"shape \(2, 3, 3, 3\)"),
    ],
)
def test_arrays_that_are_no_images(array, words):
    with pytest.raises(UnreadableRowError, match=words):
        image_of_array(array)


# -- files that are no images ---------------------------------------------------------------------

DAMAGE = {
    "truncated JPEG": (encode(RGB, "JPEG")[:-200], "a damaged image: .*truncated"),
    "truncated PNG": (encode(RGB, "PNG")[:-200], "a damaged image"),
    "JPEG of three bytes": (b"\xff\xd8\xff", "a damaged image"),
    "flipped PNG": (encode(RGB, "PNG").replace(b"IDAT", b"IDAX"), "a damaged image"),
    "nothing": (b"", "an empty file"),
    "SVG": (b'<svg xmlns="http://www.w3.org/2000/svg"/>', "an SVG drawing; supported formats"),
    "XML": (b'\n<?xml version="1.0"?><svg/>', "an SVG drawing or other XML"),
    "HTML": (b"<!doctype html><html>404</html>", "an HTML page"),
    "PDF": (b"%PDF-1.7", "a PDF document"),
    "zip": (b"PK\x03\x04aaaa", "a zip archive"),
    "PCX": (encode(RGB, "PCX"), "not an image; supported formats: JPEG, PNG, WebP, GIF"),
    "text": (b"hello", "not an image"),
    "sound": (b"RIFF\x00\x00\x00\x00WAVEfmt ", "not an image"),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_what_is_no_image_says_why(name, tmp_path):
    content, words = DAMAGE[name]
    path = tmp_path / "file.jpg"
    path.write_bytes(content)
    for row in (content, bytearray(content), path, str(path)):
        with pytest.raises(UnreadableRowError, match=words):
            image_of(row, **LIMITS)


@pytest.mark.parametrize("form", ["PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP"])
def test_size_is_looked_at_before_decoding(form, monkeypatch):
    """With Pillow's own limits untouched, and without its warning."""
    settings = {"lossless": True} if form == "WEBP" else {}
    content = encode(Image.new("RGB", (200, 100)), form, **settings)
    monkeypatch.setattr(ImageFile.ImageFile, "load", lambda self: pytest.fail("was decoded"))
    with pytest.raises(
        UnreadableRowError, match="an image of 200 x 100 pixels, more than max_pixels=10,000"
    ):
        image_of(content, **LIMITS)
    with pytest.raises(UnreadableRowError, match="200 x 100 pixels"):
        image_of(Image.open(BytesIO(content)), **LIMITS)


@pytest.mark.parametrize("kind", ["lossy", "lossless", "extended"])
def test_size_of_webp_is_read_from_its_header(kind, monkeypatch):
    """Pillow's class makes the canvas when it is opened."""
    image = Image.new("RGBA" if kind == "extended" else "RGB", (300, 70))
    content = encode(image, "WEBP", lossless=kind == "lossless")
    assert content[12:16] == {"lossy": b"VP8 ", "lossless": b"VP8L", "extended": b"VP8X"}[kind]
    monkeypatch.setattr("PIL.WebPImagePlugin.WebPImageFile._open", lambda self: pytest.fail("!"))
    with pytest.raises(UnreadableRowError, match="300 x 70 pixels"):
        image_of(content, **LIMITS)


def test_a_bomb(tmp_path):
    """A small file of 400 megapixels."""
    content = encode(Image.new("1", (20_000, 20_000)), "PNG")
    assert len(content) < 100_000
    with pytest.raises(UnreadableRowError, match="20000 x 20000 pixels"):
        image_of(content, max_pixels=50_000_000, max_value=None)


def test_any_size_with_no_limit():
    assert image_of(encode(RGB, "PNG"), max_pixels=None, max_value=None).size == (47, 31)


# -- paths ----------------------------------------------------------------------------------------


def test_paths_that_lead_nowhere(tmp_path):
    (tmp_path / "large.png").write_bytes(encode(RGB, "PNG") + bytes(100_000))
    os.mkfifo(tmp_path / "pipe")
    for path, words in (
        (tmp_path / "missing.jpg", "no such file, .*missing.jpg"),
        (tmp_path, "a folder, "),
        (tmp_path / "pipe", "not a regular file"),
        ("", "an empty path"),
        ("https://example.com/cat.jpg", "a URL, https://example.com/cat.jpg; download it first"),
        ("s3://bucket/cat.jpg", "a URL"),
        ("data:image/png;base64,AAAA", "a URL"),
        ("a\0b", "a file that cannot be read"),
        ("a" * 5000, "a file that cannot be read"),
        (tmp_path / "large.png", "a file of .* bytes, more than an image of max_pixels=10,000"),
    ):
        with pytest.raises(UnreadableRowError, match=words):
            image_of(path, **LIMITS)


# -- keys -----------------------------------------------------------------------------------------


def test_a_key_is_of_content_not_of_path(tmp_path):
    content = encode(RGB, "PNG")
    for name in ("a.png", "b"):
        (tmp_path / name).write_bytes(content)
    keys = {key_of(row, **LIMITS) for row in (content, tmp_path / "a.png", str(tmp_path / "b"))}
    assert len(keys) == 1
    (tmp_path / "a.png").write_bytes(encode(GRAY, "PNG"))
    assert key_of(tmp_path / "a.png", **LIMITS) not in keys


def test_keys_of_pixels():
    """Equal pixels have one key, whatever holds them; other pixels and shapes have another."""
    same = [RGB, Image.fromarray(RGB), RGB / 255, np.asfortranarray(RGB)]
    assert len({key_of(row, **LIMITS) for row in same}) == 1
    flat = np.zeros((2, 6), np.uint8)
    others = [RGB, RGB[:, ::-1], GRAY, flat, flat.reshape(3, 4), flat.T, flat.reshape(2, 2, 3)]
    assert len({key_of(row, **LIMITS) for row in others}) == len(others)
