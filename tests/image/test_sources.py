"""Rows of every type: file objects, dicts, Pillow's images, tensors, arrays of objects, columns."""

import pickle
from io import BytesIO, StringIO

import numpy as np
import pytest
import torch
from PIL import Image
from tiny import without_array
from tiny_images import encode, noise, small_embedder

from skembed.base._files import UnreadableRowError
from skembed.exceptions import BadRowsError
from skembed.image._containers import rows_of
from skembed.image._pixels import image_of, image_of_array, key_of

RGB, GRAY = noise(31, 47), noise(31, 47, channels=1)
PNG = encode(RGB, "PNG")
LIMITS = {"max_pixels": 10_000, "max_value": None}


def read(row, **limits):
    return np.asarray(image_of(row, **LIMITS | limits))


def refusal(row, **limits):
    with pytest.raises(UnreadableRowError) as raised:
        image_of(row, **LIMITS | limits)
    return str(raised.value)


# -- files and dicts ------------------------------------------------------------------------------


def test_file_objects_keep_their_position(tmp_path):
    (tmp_path / "a.png").write_bytes(PNG)
    memory = BytesIO(PNG)
    memory.seek(7)
    with open(tmp_path / "a.png", "rb") as file:
        file.seek(5)
        for row in (memory, file):
            np.testing.assert_array_equal(read(row), RGB)
            assert key_of(row, **LIMITS) == key_of(PNG, **LIMITS)
        assert (memory.tell(), file.tell()) == (7, 5)
    assert "a closed file" in refusal(file)
    assert 'open it with mode "rb"' in refusal(StringIO("a"))


def test_dicts_of_datasets(tmp_path):
    (tmp_path / "a.png").write_bytes(PNG)
    for row in (
        {"bytes": PNG, "path": None},
        {"bytes": PNG, "path": "not/there.png"},
        {"bytes": None, "path": str(tmp_path / "a.png")},
        {"path": tmp_path / "a.png"},
    ):
        np.testing.assert_array_equal(read(row), RGB)
    assert "bytes or path is None" in refusal({"bytes": None, "path": None})
    assert "a dict with the keys (image, label)" in refusal({"image": 1, "label": 2})


# -- Pillow's images ------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["PNG", "JPEG", "TIFF", "WEBP", "GIF", "BMP", "AVIF"])
def test_the_callers_image_stays_undecoded(form):
    content = encode(RGB, form)
    image = Image.open(BytesIO(content))
    first = read(image)
    assert image.__dict__.get("_im", image.__dict__.get("im")) is None
    np.testing.assert_array_equal(read(image), first)
    image.load()  # and can still be decoded
    np.testing.assert_array_equal(np.asarray(image.convert("RGB")), first)


def test_pixels_in_memory_are_read_as_they_are():
    """An image that was decoded may have been changed since."""
    for form in ("PNG", "TIFF"):
        image = Image.open(BytesIO(encode(RGB, form)))
        image.load()
        image.paste((1, 2, 3), (0, 0, 47, 31))
        assert (read(image) == (1, 2, 3)).all()


def damaged(form):
    """Return a file that Pillow opens, and that fails once when it is decoded."""
    content = encode(RGB, form, **{"compression": "tiff_lzw"} if form == "TIFF" else {})
    middle = len(content) // 2
    if form == "JPEG2000":
        return content[:middle]
    return content[:middle] + 200 * b"\xff" + content[middle + 200 :]


def half_decoded(file):
    image = Image.open(file)
    with pytest.raises(OSError, match=r"image|decoder"):
        image.load()
    return image


@pytest.mark.parametrize("form", ["PNG", "GIF", "TIFF", "JPEG2000"])
def test_an_image_whose_decoding_failed_before_is_refused_like_its_file(form, tmp_path):
    """Pillow leaves it like a decoded image: only its file tells."""
    content = damaged(form)
    path = tmp_path / "a.image"
    path.write_bytes(content)
    expected = refusal(content)
    assert "a damaged image" in expected
    image = half_decoded(path)
    assert refusal(image) == refusal(path) == expected
    assert refusal(pickle.loads(pickle.dumps(image))) == expected
    with pytest.raises(UnreadableRowError, match="a damaged image"):
        key_of(image, **LIMITS)
    image.close()
    if form != "JPEG2000":  # whose plugin keeps nothing of a file object
        assert refusal(half_decoded(BytesIO(content))) == expected
        with open(path, "rb") as file:
            image = half_decoded(file)
        assert refusal(image) == expected


def test_pixels_in_memory_count_where_the_file_is_gone_or_another(tmp_path):
    path = tmp_path / "a.png"
    for content in (None, b"GIF89a", encode(GRAY, "PNG"), encode(RGB, "GIF")):
        path.write_bytes(PNG)
        image = Image.open(path)
        image.load()
        path.unlink()
        if content is not None:
            path.write_bytes(content)
        np.testing.assert_array_equal(read(image), RGB)


def test_a_reduced_size_of_jpeg_is_kept():
    image = Image.open(BytesIO(encode(noise(80, 80), "JPEG")))
    image.draft("RGB", (20, 20))
    assert read(image).shape == (20, 20, 3)


def test_closed_images_say_so(tmp_path):
    (tmp_path / "a.png").write_bytes(PNG)
    with Image.open(tmp_path / "a.png") as image:
        pass
    assert "a closed image" in refusal(image)
    image = Image.open(BytesIO(PNG))
    image.close()
    assert "a closed image" in refusal(image)
    loaded = Image.fromarray(RGB)
    loaded.close()
    assert "a closed image" in refusal(loaded)


def test_a_format_off_the_list_is_refused_however_it_is_given():
    content = encode(RGB, "PCX")
    assert "supported formats" in refusal(content)
    image = Image.open(BytesIO(content))
    assert "the format PCX" in refusal(image)
    assert "Call its load() first" in refusal(image)
    image.load()
    np.testing.assert_array_equal(read(image), RGB)


# -- arrays and tensors ---------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32, torch.bfloat16])
def test_tensors(dtype):
    scale = 1 if dtype == torch.uint8 else 255
    for array in (RGB, RGB.transpose(2, 0, 1), GRAY, GRAY[None]):
        tensor = (torch.from_numpy(array.copy()) / scale).to(dtype)
        last = array.transpose(1, 2, 0) if array.shape[0] in (1, 3) else array
        tolerance = 1 if dtype == torch.bfloat16 else 0
        np.testing.assert_allclose(read(tensor), last.squeeze(), atol=tolerance)


def test_tensors_in_doubt_are_refused():
    assert "tensor.permute(1, 2, 0).numpy()" in refusal(torch.zeros(3, 40, 3))
    assert "move it: tensor.cpu()" in refusal(torch.zeros(3, 40, 40, device="meta"))


def test_masked_and_sparse_pixels_are_refused():
    masked = np.ma.masked_array(RGB)
    np.testing.assert_array_equal(read(masked), RGB)
    masked[3, 4] = np.ma.masked
    assert "an array with 3 masked values; fill it" in refusal(masked)
    with pytest.raises(BadRowsError, match="row 1: an array with 3 masked values"):
        small_embedder().fit_transform(np.ma.stack([np.ma.masked_array(RGB), masked]))
    gray = torch.from_numpy(GRAY / 255).float()
    for X, remedy in zip(without_array(gray), ("to_dense", "to_dense", "dequantize"), strict=True):
        assert f"tensor.{remedy}()" in refusal(X)
        with pytest.raises(ValueError, match=rf"expects images, got a .*tensor\.{remedy}\(\)"):
            rows_of(X, "CNNImageEmbedder")
    with pytest.raises(ValueError, match="X is numeric"):
        small_embedder().fit(gray.bfloat16())


def test_objects_that_make_arrays():
    class Made:
        def __array__(self, dtype=None, copy=None):
            return RGB

    np.testing.assert_array_equal(read(Made()), RGB)
    assert refusal(np.float64("nan")) == "float nan"


def test_arrays_with_channels_first_say_so():
    for shape in ((3, 40, 50), (1, 40, 50), (4, 40, 50)):
        assert "array.transpose(1, 2, 0)" in refusal(np.zeros(shape, np.uint8))
    assert "transpose" not in refusal(np.zeros((6, 9, 9), np.uint8))
    assert "array[0]" in refusal(np.zeros((1, 9, 9, 3), np.uint8))


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_what_arithmetic_leaves_outside_is_inside(dtype):
    values = np.array([[0, 0.5, 1]], dtype)
    near = values + np.array([[-1e-7, 0, 1e-7]], dtype)
    assert np.asarray(image_of_array(near)).tolist() == [[0, 128, 255]]
    with pytest.raises(UnreadableRowError, match="not from 0 to 1"):
        image_of_array(values + dtype(0.01))


# -- white ----------------------------------------------------------------------------------------


def test_max_value_says_what_white_is_in_files():
    twelve = (GRAY.astype(np.uint16) * 16).astype(np.uint16)
    expected = np.rint(twelve * 255.0 / 4095)
    for row in (twelve, encode(Image.fromarray(twelve), "PNG"), Image.fromarray(twelve)):
        np.testing.assert_array_equal(read(row, max_value=4095), expected)
    floats = Image.fromarray(GRAY.astype(np.float32))
    for row in (floats, encode(floats, "TIFF")):
        np.testing.assert_array_equal(read(row, max_value=255), GRAY)
        assert "max_value sets white" in refusal(row)
    signed = Image.fromarray(GRAY.astype(np.int32) * 100)
    np.testing.assert_array_equal(read(encode(signed, "TIFF"), max_value=25500), GRAY)
    np.testing.assert_array_equal(read(PNG, max_value=4095), RGB)  # 8 bits say it themselves


def test_files_that_say_what_white_is():
    """Pillow scales them to 16 bits."""
    image = Image.fromarray(GRAY.astype(np.uint16) * 257)
    for content in (b"P2 2 1 1000 0 1000", encode(image, "JPEG2000")):
        np.testing.assert_array_equal(read(content, max_value=4095), read(content))
        assert read(content).max() > 200


def png(color_type, depth, rows, transparent):
    """Write a PNG file by hand: Pillow writes no color of 16 bits."""
    import struct
    import zlib

    def chunk(kind, data):
        check = zlib.crc32(kind + data)
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", check)

    width = 2
    header = struct.pack(">IIBBBBB", width, len(rows), depth, color_type, 0, 0, 0)
    pixels = b"".join(b"\0" + row for row in rows)
    parts = [(b"IHDR", header), (b"tRNS", transparent), (b"IDAT", zlib.compress(pixels))]
    chunks = b"".join(chunk(*part) for part in [*parts, (b"IEND", b"")])
    return b"\x89PNG\r\n\x1a\n" + chunks


def test_transparent_colors_of_every_depth():
    """The second of two pixels is the transparent one."""
    cases = [
        (0, 1, [b"\x40"], b"\0\1", [0, 255]),
        (0, 2, [b"\x60"], b"\0\2", [85, 255]),
        (0, 4, [b"\x35"], b"\0\5", [51, 255]),
        (0, 8, [b"\x07\x08"], b"\0\x08", [7, 255]),
        (0, 16, [b"\x10\x00\x10\x01"], b"\x10\x01", [16, 255]),
        (2, 8, [b"\1\2\3\4\5\6"], b"\0\4\0\5\0\6", [1, 255]),
        (2, 16, [b"\1\0" * 3 + b"\1\1" * 3], b"\1\1" * 3, [1, 255]),
    ]
    for color_type, depth, rows, transparent, expected in cases:
        pixels = read(png(color_type, depth, rows, transparent))
        assert pixels.reshape(2, -1)[:, 0].tolist() == expected, (color_type, depth)


def test_premultiplied_gray():
    image = Image.fromarray(np.dstack([GRAY, np.full_like(GRAY, 128)]), "LA")
    expected = GRAY * (128 / 255) + 127
    np.testing.assert_allclose(read(image)[..., 0], expected, atol=1)
    np.testing.assert_allclose(read(image.convert("La"))[..., 0], expected, atol=2)


def test_color_of_16_bits_with_another_white_is_refused(tmp_path):
    content = png(2, 16, [b"\1\0" * 6], b"\0\0" * 3)
    path = tmp_path / "a.png"
    path.write_bytes(content)
    images = Image.open(path), Image.open(BytesIO(content))
    for image in images:
        image.load()
    with Image.open(path) as undecoded:
        for row in (content, path, undecoded, *images):
            assert "max_value=4095 cannot be applied" in refusal(row, max_value=4095)
            np.testing.assert_array_equal(read(row, max_value=65535), read(content))
