"""Word vectors: Word2VecVectorizer, FastTextVectorizer, GloVeVectorizer.

Public names are loaded on first use. Imports neither `text`, `image` nor `audio`.
"""

from __future__ import annotations

import importlib

TYPE_CHECKING = False  # true for type checkers; `typing`'s own would cost an import
if TYPE_CHECKING:
    from skembed.words._fasttext import FastTextVectorizer
    from skembed.words._glove import GloVeVectorizer
    from skembed.words._table import Neighbor
    from skembed.words._word2vec import Word2VecVectorizer

_LAZY = {
    "FastTextVectorizer": "skembed.words._fasttext",
    "GloVeVectorizer": "skembed.words._glove",
    "Neighbor": "skembed.words._table",
    "Word2VecVectorizer": "skembed.words._word2vec",
}

__all__ = [
    "FastTextVectorizer",
    "GloVeVectorizer",
    "Neighbor",
    "Word2VecVectorizer",
]


if not TYPE_CHECKING:  # a type checker would take any name for a public one

    def __getattr__(name):
        if name in _LAZY:
            return getattr(importlib.import_module(_LAZY[name]), name)
        raise AttributeError(f"module 'skembed.words' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
