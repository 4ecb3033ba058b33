"""Damaged images: byte flips and truncations of every format, read as rows.

Each file is read as CNNImageEmbedder reads a row: its key, then its pixels. Whatever is wrong must
come out as a bad row's reason; no other error, no file over two seconds, less than 1 GB of memory.
A file that still decodes is no error: damage often leaves an image.

    python benchmarks/fuzz_images.py [--files 20000]
"""

import json
import resource
import time
import warnings
from collections import Counter
from io import BytesIO

import numpy as np
from _common import damaged, machine, parser, print_table, verdict
from PIL import Image

from skembed.base._files import UnreadableRowError
from skembed.image._pixels import image_of, key_of
from skembed.image._processor import Processor

PROCESSOR = Processor(
    resize=256,
    size=(224, 224),
    resample=2,
    rescale_factor=1 / 255,
    offset=0.0,
    mean=(0.5,) * 3,
    std=(0.5,) * 3,
    twice=False,
    flip=False,
    n_channels=3,
)
LIMITS = {"max_pixels": 50_000_000, "max_value": None}


def seeds():
    """Return undamaged files: name -> bytes."""
    random = np.random.default_rng(0)
    pixels = np.asarray(
        Image.fromarray(random.integers(0, 256, (12, 16, 4), dtype=np.uint8)).resize((160, 120))
    )
    rgba = Image.fromarray(pixels)
    rgb, gray = rgba.convert("RGB"), rgba.convert("L")
    deep = Image.fromarray(pixels[..., 0].astype(np.uint16) * 257)
    exif = Image.Exif()
    exif[0x0112] = 6
    more = {"save_all": True, "append_images": [rgb.rotate(90), rgb.rotate(180)]}
    return {
        "JPEG": _file(rgb, "JPEG", exif=exif),
        "JPEG, progressive": _file(rgb, "JPEG", progressive=True),
        "JPEG, CMYK": _file(rgb.convert("CMYK"), "JPEG"),
        "JPEG, gray": _file(gray, "JPEG"),
        "PNG": _file(rgb, "PNG", exif=exif),
        "PNG, alpha": _file(rgba, "PNG"),
        "PNG, palette": _file(rgb.quantize(32), "PNG", transparency=3),
        "PNG, 16 bits": _file(deep, "PNG"),
        "PNG, animated": _file(rgb, "PNG", **more),
        "WebP": _file(rgb, "WEBP", exif=exif),
        "WebP, lossless": _file(rgba, "WEBP", lossless=True),
        "WebP, animated": _file(rgb, "WEBP", **more),
        "GIF": _file(rgb.quantize(32), "GIF"),
        "GIF, animated": _file(rgb, "GIF", **more),
        "BMP": _file(rgb, "BMP"),
        "BMP, palette": _file(rgb.quantize(32), "BMP"),
        "TIFF": _file(rgb, "TIFF", exif=exif),
        "TIFF, deflate": _file(rgba, "TIFF", compression="tiff_adobe_deflate"),
        "TIFF, LZW, 16 bits": _file(deep, "TIFF", compression="tiff_lzw"),
        "TIFF, JPEG": _file(rgb, "TIFF", compression="jpeg"),
    }


def _file(image, form, **settings):
    file = BytesIO()
    image.save(file, form, **settings)
    return file.getvalue()


def read(content):
    """Read a file as a row is read; return the reason why it is bad, or None."""
    try:
        key_of(content, **LIMITS)
        PROCESSOR.pixels(image_of(content, **LIMITS))
    except UnreadableRowError as error:
        return str(error)
    return None


def main():
    arguments = parser(__doc__, data=False)
    arguments.add_argument("--files", type=int, default=20_000)
    arguments = arguments.parse_args()
    warnings.simplefilter("ignore")  # Pillow's, of odd metadata
    print(machine("skembed", "pillow", "numpy"))
    random = np.random.default_rng(0)
    files = seeds()
    assert all(read(content) is None for content in files.values())
    counts, kinds, others, slowest = Counter(), Counter(), Counter(), (0.0, "")
    for i in range(arguments.files):
        name = list(files)[i % len(files)]
        content = damaged(files[name], random)
        start = time.perf_counter()
        try:
            reason = read(content)
        except Exception as error:
            others[f"{name}: {error!r}"] += 1
            continue
        slowest = max(slowest, (time.perf_counter() - start, name))
        counts[name, "read" if reason is None else "bad"] += 1
        kinds["read" if reason is None else reason.partition(":")[0].partition(",")[0]] += 1
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6
    print_table(
        ["format", "still an image", "bad row"],
        [[name, counts[name, "read"], counts[name, "bad"]] for name in files],
    )
    print(json.dumps(dict(kinds.most_common(12)), indent=1))
    for name, count in others.most_common(20):
        print(f"{count} times {name}")
    n_others = sum(others.values())
    print(f"files: {sum(counts.values()) + n_others}")
    print(f"other errors: {n_others}, goal 0: {verdict(n_others == 0)}")
    print(f"slowest file: {slowest[0]:.2f} s ({slowest[1]}), goal <= 2: {verdict(slowest[0] <= 2)}")
    print(f"peak of memory: {peak:.0f} MB, goal < 1,000: {verdict(peak < 1000)}")


if __name__ == "__main__":
    main()
