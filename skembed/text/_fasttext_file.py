"""fastText's ``.bin`` files: settings, dictionary, vectors of words and of character n-grams.

The vectors stay in the file, mapped into memory; only those of the words that are asked for are
read. gensim's own parser would read on for ever where such a file is cut off in the dictionary.
"""

import struct

import numpy as np

from skembed.exceptions import VectorFileError
from skembed.text._word_table import Subwords, table_of_words

MAGIC = struct.pack("<i", 793712314)
_VERSIONS = (11, 12)
_SETTINGS = struct.Struct("<12id")  # dim ... lr_update_rate, t
_DICTIONARY = struct.Struct("<3iqq")  # entries, words, labels, tokens, pruned
_ENTRY = struct.Struct("<qb")  # after a word: its count, its type
_MATRIX = struct.Struct("<?qq")  # quantized, rows, columns
_WORDS = 10_000  # composed at a time


def read_fasttext(buffer, path, max_words):
    """Read a model trained without labels.

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
    if version not in _VERSIONS:
        raise VectorFileError(f"{path} is a fastText file of version {version}, not 11 or 12.")
    settings = _SETTINGS.unpack_from(buffer, 8)
    n_dims, (n_buckets, min_n, max_n) = settings[0], settings[8:11]
    place = 8 + _SETTINGS.size
    n_entries, n_words, n_labels, _, n_pruned = _DICTIONARY.unpack_from(buffer, place)
    if n_labels:
        raise VectorFileError(f"{path} is a classifier ({n_labels} labels), not word vectors.")
    words, place = _dictionary(buffer, place + _DICTIONARY.size, n_entries, path)
    place = min(place + 8 * max(n_pruned, 0), len(buffer))
    quantized, n_rows, n_columns = _MATRIX.unpack_from(buffer, place)
    place += _MATRIX.size
    if quantized:
        raise VectorFileError(f"{path} is quantized (.ftz); the .bin file is needed.")
    if max_n < min_n:
        n_buckets = 0
    expected = (n_dims, n_words + n_buckets)
    sound = n_dims > 0 and min(n_words, n_buckets, min_n, max_n) >= 0 and n_words == n_entries
    if (n_columns, n_rows) != expected or not sound:
        raise VectorFileError(
            f"{path} is damaged: a matrix of {n_rows} rows and {n_columns} columns for {n_words} "
            f"words and {n_buckets} buckets of {n_dims} dimensions, n-grams of {min_n} to {max_n}."
        )
    if len(buffer) < place + 4 * n_rows * n_columns:
        raise VectorFileError(f"{path} is cut off within its vectors.")
    matrix = np.frombuffer(buffer, "<f4", n_rows * n_columns, place).reshape(n_rows, n_columns)
    words = words[:max_words]
    if not n_buckets:
        return table_of_words(words, matrix[: len(words)])
    subwords = Subwords(matrix[n_words:], None, n_buckets, min_n, max_n)
    vectors = np.empty((len(words), n_dims), dtype=np.float32)
    for start in range(0, len(words), _WORDS):
        some = slice(start, start + _WORDS)
        sums, n_ngrams, _ = subwords.sums(words[some])
        vectors[some] = (matrix[: len(words)][some] + sums) / (n_ngrams[:, None] + 1)
    return table_of_words(words, vectors, subwords)


def _dictionary(buffer, place, n_entries, path):
    words = []
    for _ in range(n_entries):
        stop = buffer.find(b"\0", place)
        if stop < 0:
            raise VectorFileError(f"{path} is cut off after {len(words)} of {n_entries} words.")
        words.append(buffer[place:stop].decode(errors="backslashreplace"))
        _ENTRY.unpack_from(buffer, stop + 1)
        place = stop + 1 + _ENTRY.size
    return words, place
