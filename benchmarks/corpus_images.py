"""Real image files: which are embedded, which are bad rows and why, and where Pillow disagrees.

    python benchmarks/corpus_images.py FOLDER [FOLDER ...]

The folders are read as they are: clones of projects that collect odd files for their tests, say.
Each file is decoded as `CNNImageEmbedder` decodes it, from its path and as an image that Pillow
opened, and compared with `PIL.Image.open(path).load()` in this process. Pixels are compared after
Pillow's own `exif_transpose` and `convert("RGB")`; where these differ, the table says by what rule.
"""

import sys
import warnings
from collections import Counter
from pathlib import Path

import numpy as np
import PIL
from PIL import Image, ImageFile, ImageOps

from skembed.base._files import UnreadableRowError
from skembed.image._pixels import image_of

LIMITS = {"max_pixels": 50_000_000, "max_value": None}
_ENDINGS = set(
    "avif bmp bw cur dds dib exr ff gif hdr heic heif ico j2k jfif jp2 jpeg jpg jpx nia nie pam "
    "pbm pcx pfm pgm png pnm ppm psd qoi sgi svg tga tif tiff wbmp webp".split()
)


def files_of(folders):
    """Return the image files below some folders, by their endings."""
    paths = (path for folder in folders for path in sorted(Path(folder).rglob("*")))
    return [p for p in paths if p.is_file() and p.suffix.lower().lstrip(".") in _ENDINGS]


def ours(row):
    """Return the pixels that a row is embedded from, or the reason why it is bad."""
    try:
        return np.asarray(image_of(row, **LIMITS).convert("RGB"))
    except UnreadableRowError as error:
        return str(error)


def pillows(path):
    """Return an image that Pillow decoded and the mode of it, or what it raised."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            with Image.open(path) as image:
                image.load()
                return image, image.format
        except Exception as error:
            return f"{type(error).__name__}: {error}".splitlines()[0], None


def same_as_pil(path, verdict):
    """Tell whether the file, opened by Pillow, has the same verdict twice, and stays undecoded."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            image = Image.open(path)
        except Exception:
            return True
    with image:
        if not isinstance(image, ImageFile.ImageFile):
            return True
        verdicts = [isinstance(ours(image), str) for _ in range(2)]
    return all(bad == isinstance(verdict, str) for bad in verdicts)


def difference(pixels, image):
    """Say how our pixels and Pillow's compare, by the rule that makes them differ."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            upright = ImageOps.exif_transpose(image)
        except Exception:  # damaged metadata, which make no bad row
            upright = image
        if upright.mode == "La":
            upright = upright.convert("LA")
        wide = upright.mode == "F" or upright.mode.startswith("I")
        theirs = np.asarray(upright.convert("RGB"))
        if theirs.shape != pixels.shape:
            return "pixels differ: other size"
        if np.array_equal(theirs, pixels):
            return "same pixels"
        if wide:
            return "pixels differ: more than 8 bits, scaled (Pillow clips)"
        if upright.has_transparency_data:
            rgba = np.asarray(upright.convert("RGBA")).astype(float)
            expected = rgba[..., :3] * rgba[..., 3:] / 255 + 255 - rgba[..., 3:]
            if np.abs(expected - pixels).max() <= 1:
                return "pixels differ: laid over white (Pillow drops the opacity)"
            return "pixels differ: one color transparent, found by all its bits"
    return f"pixels differ: unexplained, mode {upright.mode}"


# What a reason begins with or contains -> the line of the table.
_REASONS = {
    "a damaged image": "damaged",
    "an image without pixels": "damaged",
    "that Pillow does not support": "a kind that Pillow does not read",
    "supported formats": "a format that is not on the list",
    "an empty file": "empty",
    "more than max_pixels": "larger than max_pixels",
    "than an image of max_pixels": "larger than max_pixels",
    "the limit of Pillow": "larger than Pillow's own limit",
    "separate planes": "TIFF in planes, which Pillow decodes wrongly",
    "not from 0 to": "values outside of black to white (set max_value)",
}


def line_of(reason):
    """Return the line of the table that a reason belongs to."""
    return next((line for part, line in _REASONS.items() if part in reason), f"other: {reason}")


def main(folders):
    """Print the tables."""
    rows, bad, disagreements, examples, unsteady = Counter(), Counter(), Counter(), {}, []
    for path in files_of(folders):
        mine, (image, form) = ours(path), pillows(path)
        if not same_as_pil(path, mine):
            unsteady.append(path)
        rows["bad rows" if isinstance(mine, str) else "vectors"] += 1
        if isinstance(mine, str):
            bad[line_of(mine)] += 1
            kind = f"refused: {line_of(mine)}" + (f" ({form})" if "format" in line_of(mine) else "")
            kind = None if isinstance(image, str) else kind
        elif isinstance(image, str):
            kind = f"accepted, refused by Pillow: {image[:60]}"
        else:
            kind = difference(mine, image)
        if kind is not None:
            disagreements[kind] += 1
            examples.setdefault(kind, path.name)
    print(f"Pillow {PIL.__version__}; {sum(rows.values())} files: {dict(rows)}\n")
    print("| bad rows | files |\n|---|---|")
    for line, n in bad.most_common():
        print(f"| {line} | {n} |")
    print("\n| against Pillow, which decodes the file | files | for instance |\n|---|---|---|")
    for line, n in disagreements.most_common():
        print(f"| {line} | {n} | {examples[line]} |")
    print(f"\nAnother verdict as an image that Pillow opened: {len(unsteady)}", *unsteady[:20])


if __name__ == "__main__":
    main(sys.argv[1:])
