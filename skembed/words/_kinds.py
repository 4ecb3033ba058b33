"""Reject files that contain no word vectors, with an error that names their kind."""

import codecs

import numpy as np

from skembed.exceptions import VectorFileError
from skembed.words._compressed import SAMPLE

KINDS = "word2vec's text or binary format, GloVe's text, or fastText's .vec or .bin"

_DECOMPRESS = "decompress it, or compress it with gzip"
_SIGNATURES = {
    b"PK\x03\x04": f"is a zip archive: {_DECOMPRESS}.",
    b"BZh": f"is a bz2 archive: {_DECOMPRESS}.",
    b"\xfd7zX": f"is an xz archive: {_DECOMPRESS}.",
    b"7z\xbc\xaf": f"is a 7z archive: {_DECOMPRESS}.",
    b"\x28\xb5\x2f\xfd": f"is a zstd archive: {_DECOMPRESS}.",
    b"\x1f\x8b": "is compressed with gzip twice: decompress it once.",
    b"\x93NUMPY": "is a NumPy array, which contains no words.",
    b"SQLite format 3": "is an SQLite database.",
    b"\x89HDF": "is an HDF5 file.",
    b"PAR1": "is a parquet file.",
    b"version https://git-lfs": "is a pointer of Git LFS: fetch the file with `git lfs pull`.",
    b"<": "is an HTML or XML page: the download has failed.",
    codecs.BOM_UTF16_LE: "is text in UTF-16: convert it to UTF-8.",
    codecs.BOM_UTF16_BE: "is text in UTF-16: convert it to UTF-8.",
}
_PICKLE = (
    "is a pickle, as written by gensim's save(); pickles can run code and are not read. Write the "
    "vectors with KeyedVectors.save_word2vec_format(), or pass the KeyedVectors object."
)


def check_kind(file, path):
    """Raise a VectorFileError if a file is of a known kind that contains no word vectors."""
    sample = file.peek(SAMPLE)
    if not sample:
        raise VectorFileError(f"{path} is empty.")
    if sample[:1] == b"\x80" and sample[1:2] in b"\2\3\4\5":
        raise VectorFileError(f"{path} {_PICKLE}")
    for signature, kind in _SIGNATURES.items():
        if sample.startswith(signature) and not _is_word_and_numbers(sample):
            raise VectorFileError(f"{path} {kind}")


def _is_word_and_numbers(sample):
    """Tell whether the first line is a word and numbers; the word may be "<unk>" or "BZh"."""
    fields = sample.split(b"\n")[0].split()
    try:
        return len(fields) > 1 and np.isfinite(float(fields[-1]))
    except ValueError:
        return False


def glove_binary_kind(sample):
    """Say which binary file of GloVe's programs begins with these bytes, or return None."""
    if len(sample) < 32 or not set(sample[:4096]) & set(range(9)):
        return None
    sample = sample[: len(sample) // 16 * 16]
    pairs = np.frombuffer(sample, dtype=[("words", "<i4", 2), ("count", "<f8")])
    if _all_between(pairs["count"], 1e-6) and (pairs["words"] > 0).all():
        return "contains co-occurrence counts, as written by GloVe's cooccur, and no vectors."
    if _all_between(np.abs(np.frombuffer(sample, dtype="<f8")), 1e-30):
        return (
            "seems to be GloVe's binary output, which contains no words: read the .txt file that "
            "glove writes with -binary 0 or 2."
        )
    return None


def _all_between(numbers, minimum, maximum=1e12):
    with np.errstate(invalid="ignore"):
        return bool(((numbers >= minimum) & (numbers < maximum)).all())
