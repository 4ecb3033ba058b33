"""Stores of vectors that have been computed. Imports only `_config`, `base` and `exceptions`.

A store keeps bytes under (fingerprint of a network, key of a row). `Store` documents the methods
that all of them have.
"""

from skembed.cache._disk import EmbeddingCache
from skembed.cache._info import CacheInfo
from skembed.cache._memory import MemoryCache, NoCache, memory_cache
from skembed.cache._store import Store

__all__ = ["CacheInfo", "EmbeddingCache", "MemoryCache", "NoCache", "Store", "memory_cache"]
