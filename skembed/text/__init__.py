"""Texts to vectors: BertEmbedder. Imports no other modality.

The word-vector estimators live in `skembed.words`; their names work here, too. Public names are
loaded on first use.
"""

import importlib

_LAZY = {
    "BertEmbedder": "skembed.text._bert",
    "FastTextVectorizer": "skembed.words._fasttext",
    "GloVeVectorizer": "skembed.words._glove",
    "Neighbor": "skembed.words._table",
    "TokenEmbeddings": "skembed.text._bert",
    "Word2VecVectorizer": "skembed.words._word2vec",
}

__all__ = [*_LAZY]


def __getattr__(name):
    if name in _LAZY:
        return getattr(importlib.import_module(_LAZY[name]), name)
    raise AttributeError(f"module 'skembed.text' has no attribute {name!r}")


def __dir__():
    return sorted({*globals(), *__all__})
