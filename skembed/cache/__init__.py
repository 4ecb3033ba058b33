"""Vectors already computed, by network and row. Imports only the lowest layer.

A store keeps bytes under (fingerprint, key). All stores have the same methods: `describe`, `read`,
`claim`, `write`, `release`, `wait`, `info`.
"""

from skembed.cache._disk import EmbeddingCache
from skembed.cache._memory import MemoryCache, NoCache, memory_cache

__all__ = ["EmbeddingCache", "MemoryCache", "NoCache", "memory_cache"]
