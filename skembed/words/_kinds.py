"""Refuse by name a file that holds something else than word vectors."""

import codecs

import numpy as np

from skembed.exceptions import VectorFileError
from skembed.words._packed import SAMPLE

KINDS = "word2vec's text or binary format, GloVe's text, or fastText's .vec or .bin"

_UNPACK = "unpack it, or pack it by gzip"
_SIGNS = {
    b"PK\x03\x04": f"is a zip archive: {_UNPACK}.",
    b"BZh": f"is a bz2 archive: {_UNPACK}.",
    b"\xfd7zX": f"is a xz archive: {_UNPACK}.",
    b"7z\xbc\xaf": f"is a 7z archive: {_UNPACK}.",
    b"\x28\xb5\x2f\xfd": f"is a zstd archive: {_UNPACK}.",
    b"\x1f\x8b": "is packed by gzip twice: unpack it once.",
    b"\x93NUMPY": "is an array of numpy, and has no words.",
    b"SQLite format 3": "is an SQLite database.",
    b"\x89HDF": "is an HDF5 file.",
    b"PAR1": "is a parquet file.",
    b"version https://git-lfs": "is a pointer of Git LFS: fetch the file with `git lfs pull`.",
    b"<": "is an HTML or XML page: the download has failed.",
    codecs.BOM_UTF16_LE: "is text in UTF-16: write it in UTF-8.",
    codecs.BOM_UTF16_BE: "is text in UTF-16: write it in UTF-8.",
}
_PICKLE = (
    "is a pickle, as gensim's save() writes it; pickles can run code and are not read. Write the "
    "vectors with KeyedVectors.save_word2vec_format(), or pass the KeyedVectors object."
)


def refuse_other_kinds(file, path):
    """Raise a VectorFileError that names the kind of a file which holds no word vectors."""
    sample = file.peek(SAMPLE)
    if not sample:
        raise VectorFileError(f"{path} is empty.")
    if sample[:1] == b"\x80" and sample[1:2] in b"\2\3\4\5":
        raise VectorFileError(f"{path} {_PICKLE}")
    for sign, kind in _SIGNS.items():
        if sample.startswith(sign) and not _is_line_of_numbers(sample):
            raise VectorFileError(f"{path} {kind}")


def _is_line_of_numbers(sample):
    """Tell whether a file begins with a word and numbers, be the word "<unk>" or "BZh"."""
    fields = sample.split(b"\n")[0].split()
    try:
        return len(fields) > 1 and np.isfinite(float(fields[-1]))
    except ValueError:
        return False


def glove_program(sample):
    """Say which program of GloVe has written a binary file that begins so, or return None."""
    if len(sample) < 32 or not set(sample[:4096]) & set(range(9)):
        return None
    sample = sample[: len(sample) // 16 * 16]
    pairs = np.frombuffer(sample, dtype=[("words", "<i4", 2), ("count", "<f8")])
    if _plausible(pairs["count"], 1e-6) and (pairs["words"] > 0).all():
        return "holds counts of pairs, as GloVe's cooccur writes them; it has no vectors."
    if _plausible(np.abs(np.frombuffer(sample, dtype="<f8")), 1e-30):
        return (
            "seems to be GloVe's binary output, which has no words: read the .txt file that glove "
            "writes with -binary 0 or 2."
        )
    return None


def _plausible(numbers, least):
    with np.errstate(invalid="ignore"):
        return bool(((numbers >= least) & (numbers < 1e12)).all())
