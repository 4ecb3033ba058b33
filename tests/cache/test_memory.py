"""The cache in memory: bounded, shared by threads, each row computed once."""

import copy
import gc
import os
import pickle
import threading
import weakref

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.base import clone

import skembed
from skembed.cache import MemoryCache
from skembed.cache._memory import _OVERHEAD, memory_cache

ROW = _OVERHEAD + 10  # bytes that a value of ten bytes takes up


def write(cache, *keys, fingerprint="f"):
    cache.write(fingerprint, list(keys), [b"0123456789"] * len(keys))


def kept(cache, keys, fingerprint="f"):
    return [value is not None for value in cache.read(fingerprint, keys)]


def test_rows_used_longest_ago_go_first():
    """A row that was read again outlives one that was not."""
    cache = MemoryCache(max_bytes=3 * ROW)
    write(cache, b"a", b"b", b"c")
    assert kept(cache, [b"a"]) == [True]
    write(cache, b"d")
    assert kept(cache, [b"a", b"b", b"c", b"d"]) == [True, False, True, True]


def test_a_network_of_long_vectors_pushes_out_others():
    """The bound is one for all networks, in bytes."""
    cache = MemoryCache(max_bytes=3 * ROW)
    write(cache, b"a", b"b", b"c", fingerprint="f")
    cache.write("g", [b"a"], [bytes(2 * ROW)])
    assert kept(cache, [b"a", b"b", b"c"], "f") == [False, False, False]
    assert kept(cache, [b"a"], "g") == [True]


def test_what_is_larger_than_the_cache_is_not_kept():
    """The write succeeds, the claim ends, and the cache is empty again."""
    cache = MemoryCache(max_bytes=10)
    assert cache.claim("f", [b"a"]) == [True]
    write(cache, b"a")
    (line,) = cache.info()
    assert (line["rows"], line["bytes"], line["misses"]) == (0, 0, 1)
    assert cache.claim("f", [b"a"]) == [True]


@given(
    st.lists(st.tuples(st.sampled_from("abcdefgh"), st.integers(0, 40)), max_size=30),
    st.integers(0, 4 * ROW),
)
def test_bytes_never_exceed_the_bound_and_are_counted_right(writes, max_bytes):
    """Whatever is written, and written again: the count is that of the rows that are there."""
    cache = MemoryCache(max_bytes)
    for key, size in writes:
        cache.write("f", [key.encode()], [bytes(size)])
        assert cache.info()["bytes"] <= max_bytes
    values = [v for v in cache.read("f", [c.encode() for c in "abcdefgh"]) if v is not None]
    info = cache.info()
    assert info["rows"] == len(values)
    assert info["bytes"] == sum(len(value) + _OVERHEAD for value in values)


def test_info_counts_what_was_computed_and_served():
    """And `clear` sets the counts to zero."""
    cache = MemoryCache(max_bytes=3 * ROW)
    cache.describe("f", "a model")
    write(cache, b"a", b"b")
    cache.read("f", [b"a", b"a", b"x"])
    write(cache, b"a", b"c", fingerprint="g")
    f = {"fingerprint": "f", "model": "a model", "rows": 1, "bytes": ROW, "hits": 2, "misses": 2}
    g = {"fingerprint": "g", "model": "", "rows": 2, "bytes": 2 * ROW, "hits": 0, "misses": 2}
    info = cache.info()
    assert info == [f, g]
    assert (info["rows"], info["bytes"], info["computed"], info["misses"]) == (3, 3 * ROW, 4, 4)
    assert info["from_cache"] == info["hits"] == 2
    with pytest.raises(KeyError, match="model"):
        info["model"]
    cache.clear()
    assert cache.info() == []
    assert cache.info()["computed"] == 0
    assert kept(cache, [b"a"]) == [False]


def test_embedders_in_two_threads_compute_each_text_once(tiny_bert):
    """The whole path: equal vectors in both threads, and as many computed rows as texts."""
    texts = [f"the cat sat on {number}" for number in range(40)]
    cache = MemoryCache()
    embedder = skembed.BertEmbedder(tiny_bert, backend="torch", cache=cache, n_threads=1).fit(texts)
    answers = {}
    start = threading.Barrier(2)

    def work(name):
        start.wait(30)
        answers[name] = embedder.transform(texts)

    threads = [threading.Thread(target=work, args=(name,), daemon=True) for name in "ab"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert (answers["a"] == answers["b"]).all()
    info = cache.info()
    assert info["computed"] == info["rows"] == info["from_cache"] == len(texts)


def test_claims_are_released_when_computing_fails(tiny_bert, monkeypatch):
    """The next transform computes the rows instead of waiting for ever."""
    cache = MemoryCache()
    embedder = skembed.BertEmbedder(tiny_bert, backend="torch", cache=cache).fit(["a"])
    with monkeypatch.context() as patch:
        patch.setattr(skembed.BertEmbedder, "_run", lambda *args: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            embedder.transform(["the cat"])
    assert cache.info()["rows"] == 0
    assert embedder.transform(["the cat"]).shape == (1, 16)


def test_clones_share_a_cache(tiny_bert):
    """A search clones its estimator for each fold; the folds compute nothing twice."""
    cache = MemoryCache()
    embedder = skembed.BertEmbedder(tiny_bert, backend="torch", cache=cache)
    assert clone(embedder).cache is cache
    assert copy.copy(cache) is cache
    clone(embedder).fit_transform(["a", "b"])
    clone(embedder).fit_transform(["a", "b"])
    assert cache.info()["computed"] == 2


def test_a_pickle_carries_the_bound_and_no_rows():
    """Another process starts with an empty cache."""
    cache = MemoryCache(max_bytes=12345)
    write(cache, b"a")
    other = pickle.loads(pickle.dumps(cache))
    assert other.max_bytes == 12345
    assert other.info()["rows"] == 0
    assert other.claim("f", [b"a"]) == [True]


def in_fork(function):
    """Run `function` in a forked child; return its exit status (0 where it returned True)."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            status = 0 if function() else 2
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system has no fork")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
@pytest.mark.parametrize("cache", [memory_cache(), MemoryCache()], ids=["process", "own"])
def test_claims_and_locks_do_not_outlive_a_fork(cache):
    """The threads that held them are not there in the child; the rows are."""
    cache.clear()
    write(cache, b"kept")
    cache.claim("f", [b"a"])

    def child():
        cache.wait("f", [b"a"])
        return cache.claim("f", [b"a"]) == [True] and kept(cache, [b"kept"]) == [True]

    with cache._changed:  # as a thread in the middle of a write holds it
        assert in_fork(child) == 0
    cache.release("f", [b"a"])


def test_a_cache_is_freed_with_its_last_user():
    """Nothing that skembed keeps about it holds it."""
    cache = MemoryCache()
    watch = weakref.ref(cache)
    del cache
    gc.collect()
    assert watch() is None
