"""Embed texts: `BertEmbedder` and `StaticEmbedder`. Imports no other modality.

The names of the word-vector estimators in `skembed.words` are available here, too. Public names are
loaded on first use.
"""

from __future__ import annotations

import importlib

TYPE_CHECKING = False  # True for type checkers; `typing.TYPE_CHECKING` would require an import
if TYPE_CHECKING:
    from skembed.text._bert import BertEmbedder
    from skembed.text._static import StaticEmbedder
    from skembed.text._token_embeddings import TokenEmbeddings
    from skembed.words import FastTextVectorizer, GloVeVectorizer, Neighbor, Word2VecVectorizer

_LAZY = {
    "BertEmbedder": "skembed.text._bert",
    "FastTextVectorizer": "skembed.words._fasttext",
    "GloVeVectorizer": "skembed.words._glove",
    "Neighbor": "skembed.words._table",
    "StaticEmbedder": "skembed.text._static",
    "TokenEmbeddings": "skembed.text._token_embeddings",
    "Word2VecVectorizer": "skembed.words._word2vec",
}

__all__ = [
    "BertEmbedder",
    "FastTextVectorizer",
    "GloVeVectorizer",
    "Neighbor",
    "StaticEmbedder",
    "TokenEmbeddings",
    "Word2VecVectorizer",
]


if not TYPE_CHECKING:  # otherwise type checkers would accept any name

    def __getattr__(name):
        if name in _LAZY:
            return getattr(importlib.import_module(_LAZY[name]), name)
        raise AttributeError(f"module 'skembed.text' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
