"""Layout of fastText's ``.bin`` files.

The parser, the writer and the limit of compressed files use it. Imports nothing of skembed.
"""

import struct
from typing import NamedTuple

MAGIC = struct.pack("<i", 793712314)
VERSION = 12
SETTINGS = struct.Struct("<12id")  # see `Settings`
DICTIONARY = struct.Struct("<3iqq")  # entries, words, labels, tokens, pruned n-grams
ENTRY = struct.Struct("<qb")  # after a word: its count, its type
MATRIX = struct.Struct("<?qq")  # quantized, rows, columns
START = 8 + SETTINGS.size + DICTIONARY.size  # bytes before the first word
MAX_N = 100  # longest n-gram in characters; hashing longer ones could take forever
LONGEST_WORD = 1 << 13  # bytes; so that the n-grams of a word fit into memory
# fastText's codes of losses and models.
HIERARCHICAL, NEGATIVE_SAMPLING = 1, 2
CBOW, SKIP_GRAM, SUPERVISED = 1, 2, 3


class Settings(NamedTuple):
    """The settings in the order of the file, with fastText's names."""

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

    @property
    def has_ngrams(self):
        """Whether words have character n-grams."""
        return self.maxn >= max(self.minn, 1)

    def for_gensim(self, n_tokens):
        """Return ``FastTextState.settings``, which have gensim's names."""
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


def settings_from_gensim(settings, *, n_dims, n_buckets, min_n, max_n):
    """Return the `Settings` of a file; the inverse of `Settings.for_gensim`.

    Parameters
    ----------
    settings : dict of str to int or float
        ``FastTextState.settings``; fastText's defaults stand in for missing ones.
    n_dims, n_buckets, min_n, max_n : int
        Length of vectors, number of buckets, lengths of n-grams.

    Examples
    --------
    >>> settings = settings_from_gensim({"sg": 1}, n_dims=9, n_buckets=0, min_n=0, max_n=0)
    >>> settings.model == SKIP_GRAM, settings.ws, settings.has_ngrams
    (True, 5, False)
    """
    return Settings(
        dim=n_dims,
        ws=settings.get("window", 5),
        epoch=settings.get("epochs", 5),
        min_count=settings.get("min_count", 1),
        neg=settings.get("negative", 5),
        word_ngrams=1,
        loss=HIERARCHICAL if settings.get("hs") else NEGATIVE_SAMPLING,
        model=SKIP_GRAM if settings.get("sg") else CBOW,
        bucket=n_buckets,
        minn=min_n,
        maxn=max_n,
        lr_update_rate=100,
        t=settings.get("sample", 1e-3),
    )


def stated_size(start):
    """Return the number of bytes that a file's header accounts for, without the words' letters.

    Parameters
    ----------
    start : bytes
        The first bytes of the file.

    Returns
    -------
    n_bytes : int
        0 if the header is truncated.
    """
    if len(start) < START:
        return 0
    settings = Settings(*SETTINGS.unpack_from(start, 8))
    n_entries = DICTIONARY.unpack_from(start, 8 + SETTINGS.size)[0]
    n_entries, n_buckets, n_dims = (max(n, 0) for n in (n_entries, settings.bucket, settings.dim))
    n_rows = 2 * n_entries + n_buckets  # words and labels, buckets; the output weights
    return START + n_entries * (1 + ENTRY.size) + 2 * MATRIX.size + 4 * n_rows * n_dims
