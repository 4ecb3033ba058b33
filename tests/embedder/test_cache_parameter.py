"""The parameter `cache`: which store each value stands for."""

from pathlib import Path

import pytest
from sklearn.utils._param_validation import InvalidParameterError

import skembed
from skembed import EmbeddingCache, MemoryCache
from skembed.cache import NoCache, Store
from skembed.cache._store import METHODS
from skembed.embedder._cache_parameter import CACHE_CONSTRAINTS, _IsStore, store_of


def test_memory_is_one_cache_for_the_process(monkeypatch):
    monkeypatch.delenv("SKEMBED_CACHE")
    assert store_of("memory") is store_of("memory") is skembed.memory_cache()


def test_memory_is_a_folder_where_one_was_set(tmp_path):
    with skembed.config_context(cache_folder=tmp_path):
        store = store_of("memory")
        assert isinstance(store, EmbeddingCache)
        assert Path(store.folder) == tmp_path


@pytest.mark.parametrize("as_type", [str, Path])
def test_a_path_is_a_cache_on_disk(tmp_path, as_type):
    store = store_of(as_type(tmp_path / "mine"))
    assert isinstance(store, EmbeddingCache)
    assert Path(store.folder) == tmp_path / "mine"


def test_none_keeps_nothing():
    assert isinstance(store_of(None), NoCache)


def test_a_store_stands_for_itself():
    own = MemoryCache()
    assert store_of(own) is own


class Half:
    """A store without three of the methods."""


for _name in METHODS[:-3]:
    setattr(Half, _name, lambda self: None)


class Whole(Store):
    def read(self, fingerprint, keys):
        return [None] * len(keys)

    def write(self, fingerprint, keys, values):
        pass


@pytest.mark.parametrize(
    ("value", "accepted"),
    [(MemoryCache(), True), (Whole(), True), (MemoryCache, False), (3, False), ({}, False)],
    ids=str,
)
def test_what_is_a_store(value, accepted):
    assert _IsStore().is_satisfied_by(value) is accepted


def test_half_a_store_is_told_what_it_lacks():
    missing = ", ".join(f"{name}()" for name in METHODS[-3:])
    with pytest.raises(InvalidParameterError) as raised:
        _IsStore().is_satisfied_by(Half())
    assert f"Half lacks {missing}." in str(raised.value)


def test_the_constraint_names_the_documentation():
    assert [str(item) for item in CACHE_CONSTRAINTS if isinstance(item, _IsStore)] == [
        "a store (see skembed.cache.Store)"
    ]
