"""Write word vectors in the usual formats, for skembed, gensim and other programs."""

import os
import re
from contextlib import nullcontext

import numpy as np

from skembed.base._batches import batches
from skembed.base._folders import written_whole
from skembed.base._text_rows import has_lone_surrogate
from skembed.words._fasttext_layout import (
    DICTIONARY,
    ENTRY,
    LONGEST_WORD,
    MAGIC,
    MATRIX,
    MAX_N,
    SETTINGS,
    VERSION,
    settings_from_gensim,
)
from skembed.words._keyed_vectors import descending_counts, own_vectors
from skembed.words._subwords import END

_BLANKS = re.compile(r"[ \t\n\r\v\f]")
_SUFFIXES = {".txt": "text", ".vec": "text", ".bin": "binary"}
_BATCH_ROWS = 4096  # written at a time


def _gzip(file):
    import gzip

    # Without name and time, so that equal vectors give equal files.
    return gzip.GzipFile("", "wb", fileobj=file, mtime=0)


# Python can be built without these modules, so they are imported on use.
def _bz2(file):
    import bz2

    return bz2.BZ2File(file, "wb")


def _xz(file):
    import lzma

    return lzma.LZMAFile(file, "wb")


_COMPRESSORS = {".gz": _gzip, ".bz2": _bz2, ".xz": _xz}


def write_vectors(table, path, file_format, has_ngrams):
    """Write a file of word vectors. On failure, nothing is written.

    Parameters
    ----------
    table : WordTable
        Words and vectors.
    path : str or path
        The file. An existing one is replaced.
    file_format : {"auto", "text", "binary", "glove", "fasttext"}
        "auto": by the suffix.
    has_ngrams : bool
        Whether ".bin" means fastText's format.

    Raises
    ------
    ValueError
        If the suffix is unknown, or the format cannot represent a word.
    FileNotFoundError
        If the folder does not exist.
    """
    path = os.path.abspath(os.path.expanduser(os.fspath(path)))
    if file_format == "auto":
        file_format = _format_of(path, has_ngrams)
    _check_words(table.words, file_format)
    compressor = _COMPRESSORS.get(os.path.splitext(path)[1], nullcontext)
    _check_target(path)
    with written_whole(path) as file, compressor(file) as plain:
        _WRITERS[file_format](table, plain)


def _format_of(path, has_ngrams):
    stem, suffix = os.path.splitext(path)
    suffix = (os.path.splitext(stem)[1] if suffix in _COMPRESSORS else suffix).lower()
    if suffix not in _SUFFIXES:
        raise ValueError(
            f"The suffix {suffix!r} of {path!r} does not determine the format: use .txt, .vec or "
            f".bin, or set file_format to one of {sorted(_WRITERS)}."
        )
    found = _SUFFIXES[suffix]
    return "fasttext" if has_ngrams and found == "binary" else found


def _check_words(words, file_format):
    """Raise a ValueError for a word that the format cannot represent."""
    for word in words:
        if file_format == "fasttext":
            problem = "" if word and "\0" not in word else "is empty or contains a zero byte"
        else:
            problem = "has blanks" if _BLANKS.search(word) else "" if word else "is empty"
        if has_lone_surrogate(word):
            problem = "contains a lone surrogate"
        elif len(word.encode()) >= LONGEST_WORD:
            problem = f"has {LONGEST_WORD} bytes or more"
        if problem:
            hint = ' file_format="fasttext" allows blanks.' if "blanks" in problem else ""
            raise ValueError(
                f"The word {word[:50]!r} {problem}, which the format {file_format!r} does not "
                f"allow.{hint}"
            )
    if file_format == "glove" and words[0].startswith("\ufeff"):
        raise ValueError(
            f"The format 'glove' cannot begin with the byte order mark of {words[0]!r}."
        )


def _check_target(path):
    """Raise an OSError if a file cannot be written at a path."""
    folder = os.path.dirname(path)
    if not os.path.isdir(folder):
        raise FileNotFoundError(f"{folder!r}, the folder to write to, does not exist.")
    if os.path.isdir(path):
        raise IsADirectoryError(f"{path!r} is a folder; pass the path of a file.")


# -- formats --------------------------------------------------------------------------------------


def _write_text(table, file):
    file.write(b"%d %d\n" % table.vectors.shape)
    _write_glove(table, file)


def _write_glove(table, file):
    line = "%s" + " %.9g" * table.vectors.shape[1] + "\n"  # nine digits identify a float32
    for batch in batches(len(table.words), _BATCH_ROWS):
        rows = zip(table.words[batch], table.vectors[batch].tolist(), strict=True)
        file.write("".join([line % (word, *row) for word, row in rows]).encode())


def _write_binary(table, file):
    file.write(b"%d %d\n" % table.vectors.shape)
    for word, row in zip(table.words, table.vectors.astype("<f4", copy=False), strict=True):
        file.write(word.encode() + b" " + row.tobytes())


def _write_fasttext(table, file):
    state, subwords = table.state, table.subwords
    n_words, n_dims = table.vectors.shape
    vectors = own_vectors(table)
    n_buckets = min_n = max_n = 0
    if subwords is not None:
        n_buckets, min_n, max_n = subwords.n_buckets, subwords.min_n, subwords.max_n
        if max_n > MAX_N:
            raise ValueError(f"n-grams of {max_n} characters are longer than {MAX_N}.")
        if END in table.vocabulary:  # has n-grams in gensim, but none in a file
            vectors = vectors.copy()
            vectors[table.vocabulary[END]] = table.vectors[table.vocabulary[END]]
    counts = descending_counts(n_words) if state is None else state.counts
    trained = {} if state is None else state.settings
    settings = settings_from_gensim(
        trained, n_dims=n_dims, n_buckets=n_buckets, min_n=min_n, max_n=max_n
    )
    n_tokens = trained.get("n_tokens", int(counts.sum()))
    file.write(MAGIC + VERSION.to_bytes(4, "little") + SETTINGS.pack(*settings))
    file.write(DICTIONARY.pack(n_words, n_words, 0, n_tokens, -1))
    for word, count in zip(table.words, counts.tolist(), strict=True):
        file.write(word.encode() + b"\0" + ENTRY.pack(count, 0))
    file.write(MATRIX.pack(False, n_words + n_buckets, n_dims))
    _write_rows(vectors, file)
    if subwords is not None:
        _write_buckets(subwords, file)
    file.write(MATRIX.pack(False, n_words, n_dims))
    if state is None or state.output is None:
        _write_zeros(n_words, n_dims, file)
    else:
        _write_rows(state.output, file)


def _write_rows(matrix, file):
    for batch in batches(len(matrix), _BATCH_ROWS):
        file.write(np.ascontiguousarray(matrix[batch], dtype="<f4").data.cast("B"))


def _write_zeros(n_rows, n_dims, file):
    for batch in batches(n_rows, _BATCH_ROWS):
        file.write(bytes(4 * n_dims * (batch.stop - batch.start)))


def _write_buckets(subwords, file):
    """Write the vectors of all buckets, without allocating those that are zeros at once."""
    if subwords.buckets is None:
        _write_rows(subwords.vectors, file)
        return
    n_dims = subwords.vectors.shape[1]
    for batch in batches(subwords.n_buckets, _BATCH_ROWS):
        first, last = np.searchsorted(subwords.buckets, [batch.start, batch.stop])
        rows = np.zeros((batch.stop - batch.start, n_dims), dtype=np.float32)
        rows[subwords.buckets[first:last] - batch.start] = subwords.vectors[first:last]
        _write_rows(rows, file)


_WRITERS = {
    "text": _write_text,
    "binary": _write_binary,
    "glove": _write_glove,
    "fasttext": _write_fasttext,
}
FORMATS = ("auto", *_WRITERS)
