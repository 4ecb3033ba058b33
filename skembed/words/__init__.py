"""Word vectors: Word2VecVectorizer, FastTextVectorizer, GloVeVectorizer.

Public names are loaded on first use. Imports neither `text`, `image` nor `audio`.
"""

import importlib

_LAZY = {
    "FastTextVectorizer": "skembed.words._fasttext",
    "GloVeVectorizer": "skembed.words._glove",
    "Neighbor": "skembed.words._table",
    "Word2VecVectorizer": "skembed.words._word2vec",
}

__all__ = [*_LAZY]


def __getattr__(name):
    if name in _LAZY:
        return getattr(importlib.import_module(_LAZY[name]), name)
    raise AttributeError(f"module 'skembed.words' has no attribute {name!r}")


def __dir__():
    return sorted({*globals(), *__all__})
