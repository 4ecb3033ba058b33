"""Where states are stored: in the folder of the vectors, or in memory beside them."""

import pytest

from skembed.cache import EmbeddingCache, MemoryCache, NoCache, Store, memory_cache
from skembed.cache._states import store_of_states


class OtherStore(Store):
    def read(self, fingerprint, keys):
        raise AssertionError("states are not for stores that know vectors only")

    write = read


def test_states_in_memory_have_a_cache_of_their_own():
    cache = MemoryCache(10_000)
    states, room = store_of_states(cache)
    assert states is store_of_states(cache)[0] is not cache
    assert (states.max_bytes, room) == (20_000, 15_000)
    cache.write("f", [b"row"], [b"vector"])
    for number in range(100):
        states.write("f", [bytes([number])], [bytes(1000)])
    assert states.info()["bytes"] <= 20_000
    assert cache.read("f", [b"row"]) == [b"vector"]
    cache.clear()
    assert store_of_states(cache)[0].info()["rows"] == 0


@pytest.mark.parametrize(("limit", "room"), [(4 * 2**20, 2**20), (None, float("inf"))])
def test_states_on_disk_share_the_folder_with_vectors(tmp_path, limit, room):
    cache = EmbeddingCache(tmp_path, max_bytes=limit)
    assert store_of_states(cache) == (cache, room)


def test_other_stores_get_no_states():
    assert store_of_states(OtherStore())[0] is memory_cache().states


def test_no_cache_keeps_none():
    states, room = store_of_states(NoCache())
    assert isinstance(states, NoCache)
    assert room == 0
