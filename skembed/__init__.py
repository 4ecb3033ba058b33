"""Text, images and sounds as scikit-learn features.

Public names are loaded on first use, so that ``import skembed`` costs next to nothing and imports
neither torch, transformers, gensim nor onnxruntime.
"""

import importlib

from skembed._config import config_context, get_config, set_config
from skembed._version import __version__

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
    "TokenEmbeddings": "skembed.text",
    "Word2VecVectorizer": "skembed.words",
    "memory_cache": "skembed.cache",
}

# Public submodules, which `skembed.<name>` loads as well.
_SUBMODULES = ("audio", "cache", "evaluation", "exceptions", "image", "text", "words")

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
    "TokenEmbeddings",
    "Word2VecVectorizer",
    "__version__",
    "config_context",
    "get_config",
    "memory_cache",
    "set_config",
]


def __getattr__(name):
    if name in _LAZY:
        return getattr(importlib.import_module(_LAZY[name]), name)
    if name in _SUBMODULES:
        return importlib.import_module(f"skembed.{name}")
    raise AttributeError(f"module 'skembed' has no attribute {name!r}")


def __dir__():
    return sorted({*globals(), *__all__, *_SUBMODULES})
