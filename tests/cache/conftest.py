"""Caches on disk."""

import pytest

from cache.on_disk import KEYS, VALUES, reopen
from skembed import EmbeddingCache


@pytest.fixture
def cache(tmp_path):
    return EmbeddingCache(tmp_path / "cache")


@pytest.fixture
def full(cache):
    """A cache with rows, as a new process finds it."""
    cache.describe("f", "a model")
    cache.write("f", KEYS, VALUES)
    reopen()
    return cache
