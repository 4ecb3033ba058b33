"""How fastText's ``.bin`` is laid out: for its parser, its writer, and the limit of packed files.

Imports nothing of skembed.
"""

import struct
from typing import NamedTuple

MAGIC = struct.pack("<i", 793712314)
VERSION = 12
SETTINGS = struct.Struct("<12id")  # see `Settings`
DICTIONARY = struct.Struct("<3iqq")  # entries, words, labels, tokens, pruned
ENTRY = struct.Struct("<qb")  # after a word: its count, its type
MATRIX = struct.Struct("<?qq")  # quantized, rows, columns
START = 8 + SETTINGS.size + DICTIONARY.size  # bytes before the first word
HIERARCHICAL, SKIP_GRAM, SUPERVISED = 1, 2, 3


class Settings(NamedTuple):
    """The settings in the order of the file, under fastText's names."""

    dim: int
    ws: int
    epoch: int
    min_count: int
    neg: int
    word_ngrams: int
    loss: int
    model: int
    bucket: int
    minn: int
    maxn: int
    lr_update_rate: int
    t: float

    def for_gensim(self, n_tokens):
        """Return what `FastTextState` holds."""
        return {
            "window": self.ws,
            "epochs": self.epoch,
            "min_count": self.min_count,
            "negative": self.neg,
            "hs": int(self.loss == HIERARCHICAL),
            "sg": int(self.model == SKIP_GRAM),
            "sample": self.t,
            "n_tokens": n_tokens,
        }


def stated_size(start):
    """Return how many bytes a file's numbers take by its header; its words come in addition.

    Parameters
    ----------
    start : bytes
        The file's first bytes.

    Returns
    -------
    n_bytes : int
        0 where the header is cut off.
    """
    if len(start) < START:
        return 0
    settings = Settings(*SETTINGS.unpack_from(start, 8))
    n_entries = DICTIONARY.unpack_from(start, 8 + SETTINGS.size)[0]
    n_entries, n_buckets, n_dims = (max(n, 0) for n in (n_entries, settings.bucket, settings.dim))
    n_rows = 2 * n_entries + n_buckets  # words, labels and buckets; weights that predict
    return START + n_entries * (1 + ENTRY.size) + 2 * MATRIX.size + 4 * n_rows * n_dims
