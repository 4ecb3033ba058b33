"""Reading text, tokens, BertEmbedder, word vectors. Imports neither `image` nor `audio`.

Public names are loaded on first use, so that word vectors do not load what networks need.
"""

import importlib

_LAZY = {
    "BertEmbedder": "skembed.text._bert",
    "FastTextVectorizer": "skembed.text._fasttext",
    "GloVeVectorizer": "skembed.text._glove",
    "Neighbor": "skembed.text._word_table",
    "TokenEmbeddings": "skembed.text._bert",
    "Word2VecVectorizer": "skembed.text._word2vec",
}

__all__ = [*_LAZY]


def __getattr__(name):
    if name in _LAZY:
        return getattr(importlib.import_module(_LAZY[name]), name)
    raise AttributeError(f"module 'skembed.text' has no attribute {name!r}")


def __dir__():
    return sorted({*globals(), *__all__})
