"""Text, images and sounds as scikit-learn features.

Public names are loaded on first use, so that ``import skembed`` costs next to nothing and imports
neither torch, transformers, gensim nor onnxruntime.
"""

from __future__ import annotations

import importlib

from skembed._config import config_context, get_config, set_config
from skembed._version import __version__

TYPE_CHECKING = False  # true for type checkers; `typing`'s own would cost an import
if TYPE_CHECKING:
    from skembed import audio as audio
    from skembed import cache as cache
    from skembed import evaluation as evaluation
    from skembed import exceptions as exceptions
    from skembed import image as image
    from skembed import text as text
    from skembed import training as training
    from skembed import words as words
    from skembed.audio import AudioEmbedder
    from skembed.base._bad_rows import BadRow
    from skembed.cache import EmbeddingCache, MemoryCache, memory_cache
    from skembed.image import CNNImageEmbedder
    from skembed.text import BertEmbedder, StaticEmbedder, TokenEmbeddings
    from skembed.training import Training
    from skembed.words import (
        FastTextVectorizer,
        GloVeVectorizer,
        Neighbor,
        Word2VecVectorizer,
    )

_LAZY = {
    "AudioEmbedder": "skembed.audio",
    "BadRow": "skembed.base._bad_rows",
    "BertEmbedder": "skembed.text",
    "CNNImageEmbedder": "skembed.image",
    "EmbeddingCache": "skembed.cache",
    "FastTextVectorizer": "skembed.words",
    "GloVeVectorizer": "skembed.words",
    "MemoryCache": "skembed.cache",
    "Neighbor": "skembed.words",
    "StaticEmbedder": "skembed.text",
    "TokenEmbeddings": "skembed.text",
    "Training": "skembed.training",
    "Word2VecVectorizer": "skembed.words",
    "memory_cache": "skembed.cache",
}

# Public submodules, which `skembed.<name>` loads as well.
_SUBMODULES = ("audio", "cache", "evaluation", "exceptions", "image", "text", "training", "words")

__all__ = [
    "AudioEmbedder",
    "BadRow",
    "BertEmbedder",
    "CNNImageEmbedder",
    "EmbeddingCache",
    "FastTextVectorizer",
    "GloVeVectorizer",
    "MemoryCache",
    "Neighbor",
    "StaticEmbedder",
    "TokenEmbeddings",
    "Training",
    "Word2VecVectorizer",
    "__version__",
    "config_context",
    "get_config",
    "memory_cache",
    "set_config",
]


if not TYPE_CHECKING:  # a type checker would take any name for a public one

    def __getattr__(name):
        if name in _LAZY:
            return getattr(importlib.import_module(_LAZY[name]), name)
        if name in _SUBMODULES:
            return importlib.import_module(f"skembed.{name}")
        raise AttributeError(f"module 'skembed' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, *_SUBMODULES})
