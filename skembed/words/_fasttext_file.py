"""Parser of fastText's ``.bin`` files: settings, dictionary, vectors of words and of n-grams.

The vectors stay in the file, which is mapped into memory; only those that are asked for are read.
gensim's parser is not used: it reads forever where a file is truncated within the dictionary.
"""

import struct

import numpy as np

from skembed.base._batches import batches
from skembed.exceptions import VectorFileError
from skembed.words._fasttext_layout import (
    DICTIONARY,
    ENTRY,
    LONGEST_WORD,
    MATRIX,
    MAX_N,
    SETTINGS,
    SUPERVISED,
    VERSION,
    Settings,
)
from skembed.words._subwords import FastTextState, Subwords
from skembed.words._word2vec_file import table_from_bytes

_COMPOSED_WORDS = 10_000  # words composed of their n-grams at a time


def read_fasttext(buffer, path, max_words):
    """Read a model. Of a classifier, the vectors of its words are read.

    Parameters
    ----------
    buffer : bytes or mmap
        The content of the file.
    path : str
        Its name, for messages.
    max_words : int or None
        Maximum number of words. None: all.

    Returns
    -------
    table : WordTable
        With subwords, whose vectors are a view of `buffer`.

    Raises
    ------
    VectorFileError
        If the file is damaged, or of another kind.
    """
    try:
        return _read(buffer, path, max_words)
    except struct.error:
        raise VectorFileError(f"{path} is truncated within its dictionary.") from None


def _read(buffer, path, max_words):
    (version,) = struct.unpack_from("<i", buffer, 4)
    if version not in (11, VERSION):
        raise VectorFileError(f"{path} is a fastText file of version {version}, not 11 or 12.")
    settings = Settings(*SETTINGS.unpack_from(buffer, 8))
    offset = 8 + SETTINGS.size
    n_entries, n_words, n_labels, n_tokens, n_pruned = DICTIONARY.unpack_from(buffer, offset)
    offset += DICTIONARY.size
    if version == 11 and settings.model == SUPERVISED:
        settings = settings._replace(maxn=0)  # as fastText itself does
    _check_settings(settings, n_entries, n_words, n_labels, path)
    if len(buffer) - offset < n_entries * (2 + ENTRY.size):
        raise VectorFileError(f"{path} is truncated: it is too small for {n_entries} words.")
    words, counts, offset = _read_dictionary(buffer, offset, n_entries, n_words, path)
    matrix, offset = _read_vectors(buffer, offset, n_pruned, n_words, settings, path)
    words, counts = words[:max_words], counts[:max_words]
    own_vectors, output = matrix[: len(words)], None
    if settings.model != SUPERVISED:
        output = _read_output(buffer, offset, n_words, settings.dim)
    if output is not None:
        output = output[: len(words)]
    state = FastTextState(own_vectors, counts, output, settings.for_gensim(n_tokens))
    if len(matrix) == n_words or not settings.has_ngrams:
        return table_from_bytes(words, own_vectors, path, state=state)
    subwords = Subwords(matrix[n_words:], None, settings.bucket, settings.minn, settings.maxn)
    vectors = _compose(words, own_vectors, subwords)
    return table_from_bytes(words, vectors, path, subwords, state)


def _check_settings(settings, n_entries, n_words, n_labels, path):
    sizes = (n_words, n_labels, settings.bucket, settings.minn, settings.maxn)
    if (
        min(sizes) < 0
        or settings.dim < 1
        or settings.maxn > MAX_N
        or n_entries != n_words + n_labels
    ):
        raise VectorFileError(
            f"{path} is damaged: {n_entries} entries of {n_words} words and {n_labels} labels, "
            f"{settings.bucket} buckets of {settings.dim} dimensions, n-grams of {settings.minn} "
            f"to {settings.maxn} characters."
        )


def _read_dictionary(buffer, offset, n_entries, n_words, path):
    """Return the words as bytes, their counts, and the offset after the dictionary."""
    words, counts = [], []
    for i in range(n_entries):
        stop = buffer.find(b"\0", offset, offset + LONGEST_WORD)
        if stop < 0:
            raise VectorFileError(f"{path} is truncated after {i} of {n_entries} words.")
        count, entry_type = ENTRY.unpack_from(buffer, stop + 1)
        if stop == offset or entry_type != (i >= n_words):  # words come first, then labels
            raise VectorFileError(f"{path} is damaged in its dictionary, after {i} words.")
        words.append(buffer[offset:stop])
        counts.append(count)
        offset = stop + 1 + ENTRY.size
    return words[:n_words], np.array(counts[:n_words], dtype=np.int64), offset


def _read_vectors(buffer, offset, n_pruned, n_words, settings, path):
    """Return the vectors of words and then of buckets, and the offset after them."""
    if n_pruned > (len(buffer) - offset) // 8:
        raise VectorFileError(f"{path} is truncated: too small for {n_pruned} pruned n-grams.")
    offset += 8 * max(n_pruned, 0)
    (quantized,) = buffer[offset : offset + 1] or b"\0"
    if quantized or n_pruned > 0:
        raise VectorFileError(f"{path} is quantized (.ftz); the .bin file is needed.")
    if len(buffer) < offset + MATRIX.size:
        raise VectorFileError(f"{path} is truncated before its vectors.")
    _, n_rows, n_columns = MATRIX.unpack_from(buffer, offset)
    has_no_buckets = not settings.has_ngrams and n_rows == n_words
    if n_columns != settings.dim or not (n_rows == n_words + settings.bucket or has_no_buckets):
        raise VectorFileError(
            f"{path} is damaged: a matrix of {n_rows} rows and {n_columns} columns for {n_words} "
            f"words and {settings.bucket} buckets of {settings.dim} dimensions."
        )
    if len(buffer) < offset + MATRIX.size + 4 * n_rows * n_columns:
        raise VectorFileError(f"{path} is truncated within its vectors.")
    matrix = _matrix_at(buffer, offset, n_rows, n_columns)
    return matrix, offset + MATRIX.size + matrix.nbytes


def _read_output(buffer, offset, n_words, n_dims):
    """Return the output weights (n_words, n_dims), or None if the file lacks them."""
    if len(buffer) != offset + MATRIX.size + 4 * n_words * n_dims:
        return None
    if MATRIX.unpack_from(buffer, offset) != (False, n_words, n_dims):
        return None
    return _matrix_at(buffer, offset, n_words, n_dims)


def _matrix_at(buffer, offset, n_rows, n_columns):
    """Return the matrix whose header is at `offset`, as a view of the buffer."""
    matrix = np.frombuffer(buffer, "<f4", n_rows * n_columns, offset + MATRIX.size)
    return matrix.reshape(n_rows, n_columns)


def _compose(words, own_vectors, subwords):
    """Return the vectors of words, (n_words, n_dims): means of own vectors and n-grams."""
    text = [word.decode(errors="backslashreplace") for word in words]
    vectors = np.empty(own_vectors.shape, dtype=np.float32)
    for batch in batches(len(words), _COMPOSED_WORDS):
        vectors[batch] = subwords.compose(text[batch], own_vectors[batch])
    return vectors
