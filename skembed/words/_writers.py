"""Write word vectors in the formats of the field, to be read by skembed, gensim and others."""

import os
import re
import secrets
from contextlib import contextmanager, nullcontext

import numpy as np

from skembed.base._text_rows import has_lone_surrogate
from skembed.words._fasttext_file import LONGEST_WORD, MAX_N
from skembed.words._fasttext_layout import (
    DICTIONARY,
    ENTRY,
    MAGIC,
    MATRIX,
    SETTINGS,
    VERSION,
    Settings,
)
from skembed.words._keyed_vectors import falling, own_vectors
from skembed.words._subwords import END

_BLANKS = re.compile(r"[ \t\n\r\v\f]")
_SUFFIXES = {".txt": "text", ".vec": "text", ".bin": "binary"}
_ROWS = 4096  # written at a time


def _gzip(file):
    import gzip

    # No name and no time, so that equal vectors make equal files.
    return gzip.GzipFile("", "wb", fileobj=file, mtime=0)


# Python can be built without these modules, so that each is imported where it is used.
def _bz2(file):
    import bz2

    return bz2.BZ2File(file, "wb")


def _xz(file):
    import lzma

    return lzma.LZMAFile(file, "wb")


_PACKERS = {".gz": _gzip, ".bz2": _bz2, ".xz": _xz}


def write_vectors(table, path, file_format, has_ngrams):
    """Write a file of word vectors; it is complete or not there.

    Parameters
    ----------
    table : WordTable
        Words and vectors.
    path : str or path
        The file. An old one is replaced.
    file_format : {"auto", "text", "binary", "glove", "fasttext"}
        "auto": by the suffix.
    has_ngrams : bool
        Whether ".bin" means fastText's format.

    Raises
    ------
    ValueError
        If the suffix says nothing, or the format cannot hold a word.
    FileNotFoundError
        If the folder does not exist.
    """
    path = os.path.abspath(os.path.expanduser(os.fspath(path)))
    if file_format == "auto":
        file_format = _format_of(path, has_ngrams)
    _check_words(table.words, file_format)
    packer = _PACKERS.get(os.path.splitext(path)[1], nullcontext)
    with _aside(path) as file, packer(file) as unpacked:
        _WRITERS[file_format](table, unpacked)


def _format_of(path, has_ngrams):
    stem, suffix = os.path.splitext(path)
    suffix = (os.path.splitext(stem)[1] if suffix in _PACKERS else suffix).lower()
    if suffix not in _SUFFIXES:
        raise ValueError(
            f"The suffix {suffix!r} of {path!r} says nothing of the format: use .txt, .vec or "
            f".bin, or set file_format to one of {sorted(_WRITERS)}."
        )
    found = _SUFFIXES[suffix]
    return "fasttext" if has_ngrams and found == "binary" else found


def _check_words(words, file_format):
    for word in words:
        if file_format == "fasttext":
            wrong = "" if word and "\0" not in word else "is empty or holds a zero byte"
        else:
            wrong = "has blanks" if _BLANKS.search(word) else "" if word else "is empty"
        if has_lone_surrogate(word):
            wrong = "contains a lone surrogate"
        elif len(word.encode()) >= LONGEST_WORD:
            wrong = f"has {LONGEST_WORD} bytes or more"
        if wrong:
            hint = ' file_format="fasttext" can hold blanks.' if "blanks" in wrong else ""
            raise ValueError(
                f"The word {word[:50]!r} {wrong}, which the format {file_format!r} cannot hold."
                f"{hint}"
            )
    if file_format == "glove" and words[0].startswith("\ufeff"):
        raise ValueError(
            f"The format 'glove' cannot begin with the byte order mark of {words[0]!r}."
        )


@contextmanager
def _aside(path):
    """Return a context of a file that takes the place of `path` when all has been written."""
    folder = os.path.dirname(path)
    if not os.path.isdir(folder):
        raise FileNotFoundError(f"{folder!r}, the folder to write to, does not exist.")
    if os.path.isdir(path):
        raise IsADirectoryError(f"{path!r} is a folder; name a file in it.")
    aside = os.path.join(folder, f".vectors-{secrets.token_hex(8)}")
    try:
        with open(aside, "xb") as file:
            yield file
        os.replace(aside, path)
    except BaseException:
        if os.path.exists(aside):
            os.unlink(aside)
        raise


# -- formats --------------------------------------------------------------------------------------


def _write_text(table, file):
    file.write(b"%d %d\n" % table.vectors.shape)
    _write_glove(table, file)


def _write_glove(table, file):
    line = "%s" + " %.9g" * table.vectors.shape[1] + "\n"  # nine digits are a float32
    for start in range(0, len(table.words), _ROWS):
        some = slice(start, start + _ROWS)
        rows = zip(table.words[some], table.vectors[some].tolist(), strict=True)
        file.write("".join([line % (word, *row) for word, row in rows]).encode())


def _write_binary(table, file):
    file.write(b"%d %d\n" % table.vectors.shape)
    for word, row in zip(table.words, table.vectors.astype("<f4", copy=False), strict=True):
        file.write(word.encode() + b" " + row.tobytes())


def _write_fasttext(table, file):
    state, subwords = table.state, table.subwords
    (n_words, n_dims), n_buckets = table.vectors.shape, 0
    own, min_n, max_n = own_vectors(table), 0, 0
    if subwords is not None:
        n_buckets, min_n, max_n = subwords.n_buckets, subwords.min_n, subwords.max_n
        if max_n > MAX_N:
            raise ValueError(f"n-grams of {max_n} characters are longer than {MAX_N}.")
        if END in table.vocabulary:  # has no n-grams in a file
            own = own.copy()
            own[table.vocabulary[END]] = table.vectors[table.vocabulary[END]]
    counts = falling(n_words) if state is None else state.counts
    trained = {} if state is None else state.settings
    settings = Settings(
        dim=n_dims,
        ws=trained.get("window", 5),
        epoch=trained.get("epochs", 5),
        min_count=trained.get("min_count", 1),
        neg=trained.get("negative", 5),
        word_ngrams=1,
        loss=1 if trained.get("hs") else 2,
        model=2 if trained.get("sg") else 1,
        bucket=n_buckets,
        minn=min_n,
        maxn=max_n,
        lr_update_rate=100,
        t=trained.get("sample", 1e-3),
    )
    n_tokens = trained.get("n_tokens", int(counts.sum()))
    file.write(MAGIC + VERSION.to_bytes(4, "little") + SETTINGS.pack(*settings))
    file.write(DICTIONARY.pack(n_words, n_words, 0, n_tokens, -1))
    for word, count in zip(table.words, counts.tolist(), strict=True):
        file.write(word.encode() + b"\0" + ENTRY.pack(count, 0))
    file.write(MATRIX.pack(False, n_words + n_buckets, n_dims))
    _write_rows(own, file)
    if subwords is not None:
        _write_buckets(subwords, file)
    file.write(MATRIX.pack(False, n_words, n_dims))
    if state is None or state.output is None:
        _write_zeros(n_words, n_dims, file)
    else:
        _write_rows(state.output, file)


def _write_rows(matrix, file):
    for start in range(0, len(matrix), _ROWS):
        rows = matrix[start : start + _ROWS]
        file.write(np.ascontiguousarray(rows, dtype="<f4").data.cast("B"))


def _write_zeros(n_rows, n_dims, file):
    for start in range(0, n_rows, _ROWS):
        file.write(bytes(4 * n_dims * min(_ROWS, n_rows - start)))


def _write_buckets(subwords, file):
    """Write the vectors of all buckets, without making room for those that are zeros."""
    if subwords.buckets is None:
        _write_rows(subwords.vectors, file)
        return
    n_dims = subwords.vectors.shape[1]
    for start in range(0, subwords.n_buckets, _ROWS):
        stop = min(start + _ROWS, subwords.n_buckets)
        first, last = np.searchsorted(subwords.buckets, [start, stop])
        rows = np.zeros((stop - start, n_dims), dtype=np.float32)
        rows[subwords.buckets[first:last] - start] = subwords.vectors[first:last]
        _write_rows(rows, file)


_WRITERS = {
    "text": _write_text,
    "binary": _write_binary,
    "glove": _write_glove,
    "fasttext": _write_fasttext,
}
FORMATS = ("auto", *_WRITERS)
