"""A folder stays within its limit; the least recently used rows are dropped."""

import os
import threading

import pytest

from cache.on_disk import KEYS, elsewhere, fill, path_of
from skembed import EmbeddingCache
from skembed.cache import _sqlite
from skembed.cache._sqlite import LEAST_BYTES


def test_the_network_used_longest_ago_goes_first(tmp_path):
    cache = EmbeddingCache(tmp_path)
    for age, fingerprint in ((300, "old"), (200, "middle"), (100, "new")):
        fill(cache, fingerprint)
        stamp = os.stat(path_of(cache, fingerprint)).st_mtime - age
        os.utime(path_of(cache, fingerprint), (stamp, stamp))
    size = os.path.getsize(path_of(cache, "old"))
    small = EmbeddingCache(tmp_path, max_bytes=int(2.5 * size))
    small.write("new", [b"x" * 32], [b"value"])
    assert [line["fingerprint"] for line in cache.info()] == ["middle", "new"]


def test_rows_used_longest_ago_go_next(tmp_path):
    cache = EmbeddingCache(tmp_path, max_bytes=1_500_000)
    values = [os.urandom(10_000) for _ in range(40)]
    cache.write("f", KEYS, values)
    more = [bytes([100 + i]) * 32 for i in range(120)]
    for i in range(0, 120, 10):
        assert cache.read("f", KEYS[:5]) == values[:5]  # written first, but in use
        cache.write("f", more[i : i + 10], [os.urandom(10_000) for _ in range(10)])
        assert os.path.getsize(path_of(cache)) <= 1_500_000
        assert cache.read("f", more[i : i + 10]) != [None] * 10
    kept = [value is not None for value in cache.read("f", KEYS)]
    assert kept == [True] * 5 + [False] * 35
    assert cache.verify()["damaged"] == 0


def sizes_and_rows(cache):
    folder = cache._vectors
    return sum(path.stat().st_size for path in folder.iterdir()), cache.info()


def test_a_file_over_its_limit_a_hundred_times_keeps_its_newest_rows(tmp_path):
    """It is never larger than the limit, and never loses more than the rows that make room."""
    limit = 2 * 2**20
    EmbeddingCache(tmp_path).write("f", *rows_of(0, 3000))
    cache, fits = EmbeddingCache(tmp_path, max_bytes=limit), limit / _sqlite.row_bytes(1537)
    for turn in range(1, 101):
        keys, values = rows_of(3000 * turn, 3000 * turn + 256)
        assert all(cache.claim("f", keys))
        cache.write("f", keys, values)
        assert cache.read("f", keys) == values
        size, (line,) = sizes_and_rows(cache)
        assert size <= limit
        assert 0.7 * fits <= line["rows"] <= fits
    newest = [k for turn in range(98, 101) for k in rows_of(3000 * turn, 3000 * turn + 256)[0]]
    assert None not in cache.read("f", newest)
    assert cache.verify()["damaged"] == 0


def rows_of(start, stop, size=1537):
    keys = [i.to_bytes(32, "little") for i in range(start, stop)]
    return keys, [key[:8] * (size // 8) + bytes(size % 8) for key in keys]


def test_a_lower_limit_shrinks_the_file_at_the_next_write(tmp_path):
    """Whatever was kept: rows or pages that nobody uses."""
    EmbeddingCache(tmp_path).write("f", *rows_of(0, 2000))
    cache = EmbeddingCache(tmp_path, max_bytes=2**20)
    cache.write("f", *rows_of(2000, 2001))
    size, (line,) = sizes_and_rows(cache)
    assert size <= 2**20
    assert line["rows"] > 400
    assert cache.read("f", rows_of(1999, 2001)[0]) == rows_of(1999, 2001)[1]


def test_networks_in_use_together_share_the_room(tmp_path):
    """None pushes the other's file out, as the one used longest ago would be."""
    limit = 2 * 2**20
    cache = EmbeddingCache(tmp_path, max_bytes=limit)
    for turn in range(12):
        for fingerprint in "fg":
            cache.write(fingerprint, *rows_of(256 * turn, 256 * turn + 256))
            assert sizes_and_rows(cache)[0] <= 1.02 * limit
    rows = [line["rows"] for line in cache.info()]
    assert min(rows) > 300
    assert sum(rows) > 800


def test_a_limit_below_one_write_keeps_the_rows_that_fit(tmp_path):
    """Those written last; claims on the others end, too."""
    cache = EmbeddingCache(tmp_path, max_bytes=300_000)
    keys, values = rows_of(0, 500)
    assert all(cache.claim("f", keys))
    cache.write("f", keys, values)
    kept = [value is not None for value in cache.read("f", keys)]
    assert kept == sorted(kept)
    assert 50 < sum(kept) < 200
    assert elsewhere(cache.claim, "f", keys) == [not k for k in kept]
    assert os.path.getsize(path_of(cache)) <= 300_000
    few = EmbeddingCache(tmp_path / "tiny", max_bytes=LEAST_BYTES)
    few.write("f", keys, values)
    assert 0 < sum(value is not None for value in few.read("f", keys)) < 20
    assert os.path.getsize(path_of(few)) <= LEAST_BYTES


def test_threads_that_evict_each_others_files_do_not_lock_each_other_out(tmp_path):
    cache = EmbeddingCache(tmp_path, max_bytes=LEAST_BYTES)

    def write(fingerprint):
        for i in range(100):
            cache.write(fingerprint, [i.to_bytes(32, "big")], [b"v" * 1000])

    threads = [threading.Thread(target=write, args=(f,), daemon=True) for f in "fg"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not any(thread.is_alive() for thread in threads)


def test_a_file_that_vanishes_while_others_are_evicted_is_no_fault(cache):
    fill(cache)
    os.symlink("nowhere", path_of(cache, "g"))  # listed, and then not there
    cache.write("f", [b"x" * 32], [b"value"])
    assert cache.read("f", [b"x" * 32]) == [b"value"]


@pytest.mark.parametrize("max_bytes", [10_000, LEAST_BYTES - 1, True])
def test_a_limit_below_an_empty_file_is_refused(tmp_path, max_bytes):
    with pytest.raises(ValueError, match=f"at least 114,688, .*Got {max_bytes}"):
        EmbeddingCache(tmp_path, max_bytes=max_bytes)
