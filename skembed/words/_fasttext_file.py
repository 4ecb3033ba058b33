"""fastText's ``.bin`` files: settings, dictionary, vectors of words and of character n-grams.

The vectors stay in the file, mapped into memory; only those of the words that are asked for are
read. gensim's own parser would read on for ever where such a file is cut off in the dictionary.
"""

import struct

import numpy as np

from skembed.exceptions import VectorFileError
from skembed.words._fasttext_layout import (
    DICTIONARY,
    ENTRY,
    MATRIX,
    SETTINGS,
    SUPERVISED,
    VERSION,
    Settings,
)
from skembed.words._subwords import FastTextState, Subwords
from skembed.words._word2vec_file import table_of_bytes

MAX_N = 100  # characters of an n-gram; hashing longer ones could take for ever
LONGEST_WORD = 1 << 13  # bytes; so that its n-grams fit into memory
_WORDS = 10_000  # composed at a time


def read_fasttext(buffer, path, max_words):
    """Read a model; of a classifier the vectors of its words.

    Parameters
    ----------
    buffer : bytes or mmap
        The file.
    path : str
        Its name, for messages.
    max_words : int or None
        How many words to read. None: all.

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
        raise VectorFileError(f"{path} is cut off: its dictionary has no end.") from None


def _read(buffer, path, max_words):
    (version,) = struct.unpack_from("<i", buffer, 4)
    if version not in (11, VERSION):
        raise VectorFileError(f"{path} is a fastText file of version {version}, not 11 or 12.")
    settings = Settings(*SETTINGS.unpack_from(buffer, 8))
    place = 8 + SETTINGS.size
    n_entries, n_words, n_labels, n_tokens, n_pruned = DICTIONARY.unpack_from(buffer, place)
    place += DICTIONARY.size
    if version == 11 and settings.model == SUPERVISED:
        settings = settings._replace(maxn=0)  # as fastText itself does
    _check_settings(settings, n_entries, n_words, n_labels, path)
    if len(buffer) - place < n_entries * (2 + ENTRY.size):
        raise VectorFileError(f"{path} is cut off: it has no room for {n_entries} words.")
    words, counts, place = _dictionary(buffer, place, n_entries, n_words, path)
    matrix, place = _input(buffer, place, n_pruned, n_words, settings, path)
    words, counts = words[:max_words], counts[:max_words]
    own, output = matrix[: len(words)], None
    if settings.model != SUPERVISED:
        output = _output(buffer, place, n_words, settings.dim)
    if output is not None:
        output = output[: len(words)]
    state = FastTextState(own, counts, output, settings.for_gensim(n_tokens))
    if len(matrix) == n_words or settings.maxn < max(settings.minn, 1):
        return table_of_bytes(words, own, path, state=state)
    subwords = Subwords(matrix[n_words:], None, settings.bucket, settings.minn, settings.maxn)
    text = [word.decode(errors="backslashreplace") for word in words]
    vectors = np.empty(own.shape, dtype=np.float32)
    for start in range(0, len(words), _WORDS):
        some = slice(start, start + _WORDS)
        vectors[some] = subwords.composed(text[some], own[some])
    return table_of_bytes(words, vectors, path, subwords, state)


def _check_settings(settings, n_entries, n_words, n_labels, path):
    counts = (n_words, n_labels, settings.bucket, settings.minn, settings.maxn)
    if (
        min(counts) < 0
        or settings.dim < 1
        or settings.maxn > MAX_N
        or n_entries != n_words + n_labels
    ):
        raise VectorFileError(
            f"{path} is damaged: {n_entries} entries of {n_words} words and {n_labels} labels, "
            f"{settings.bucket} buckets of {settings.dim} dimensions, n-grams of {settings.minn} "
            f"to {settings.maxn}."
        )


def _dictionary(buffer, place, n_entries, n_words, path):
    """Return the words as bytes, their counts, and the place behind the dictionary."""
    words, counts = [], []
    for i in range(n_entries):
        stop = buffer.find(b"\0", place, place + LONGEST_WORD)
        if stop < 0:
            raise VectorFileError(f"{path} is cut off after {i} of {n_entries} words.")
        count, kind = ENTRY.unpack_from(buffer, stop + 1)
        if stop == place or kind != (i >= n_words):  # words come first, then labels
            raise VectorFileError(f"{path} is damaged in its dictionary, after {i} words.")
        words.append(buffer[place:stop])
        counts.append(count)
        place = stop + 1 + ENTRY.size
    return words[:n_words], np.array(counts[:n_words], dtype=np.int64), place


def _input(buffer, place, n_pruned, n_words, settings, path):
    """Return the vectors of words and buckets, and the place behind them."""
    if n_pruned > (len(buffer) - place) // 8:
        raise VectorFileError(f"{path} is cut off: it has no room for {n_pruned} pruned n-grams.")
    place += 8 * max(n_pruned, 0)
    (quantized,) = buffer[place : place + 1] or b"\0"
    if quantized or n_pruned > 0:
        raise VectorFileError(f"{path} is quantized (.ftz); the .bin file is needed.")
    if len(buffer) < place + MATRIX.size:
        raise VectorFileError(f"{path} is cut off: its vectors are not there.")
    _, n_rows, n_columns = MATRIX.unpack_from(buffer, place)
    place += MATRIX.size
    no_ngrams = settings.maxn < max(settings.minn, 1)
    fits = n_rows == n_words + settings.bucket or (no_ngrams and n_rows == n_words)
    if n_columns != settings.dim or not fits:
        raise VectorFileError(
            f"{path} is damaged: a matrix of {n_rows} rows and {n_columns} columns for {n_words} "
            f"words and {settings.bucket} buckets of {settings.dim} dimensions."
        )
    if len(buffer) < place + 4 * n_rows * n_columns:
        raise VectorFileError(f"{path} is cut off within its vectors.")
    matrix = np.frombuffer(buffer, "<f4", n_rows * n_columns, place)
    return matrix.reshape(n_rows, n_columns), place + matrix.nbytes


def _output(buffer, place, n_words, n_dims):
    """Return the weights that predict words, (n_words, n_dims), or None if they are not there."""
    if len(buffer) != place + MATRIX.size + 4 * n_words * n_dims:
        return None
    if MATRIX.unpack_from(buffer, place) != (False, n_words, n_dims):
        return None
    matrix = np.frombuffer(buffer, "<f4", n_words * n_dims, place + MATRIX.size)
    return matrix.reshape(n_words, n_dims)
