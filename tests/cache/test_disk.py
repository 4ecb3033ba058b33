"""The cache on disk: whole rows or none, each computed once, and never an error to its user."""

import copy
import errno
import os
import pickle
import sqlite3
import subprocess
import sys
import textwrap
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sklearn.base import clone

import skembed
from skembed import BertEmbedder, EmbeddingCache
from skembed.cache import _file, _sqlite
from skembed.cache._alive import Alive, is_alive, lock_path, stopped_process
from skembed.cache._sqlite import LEAST_BYTES
from skembed.exceptions import CacheWarning
from skembed.text._bert import TEXTS

KEYS = [bytes([i]) * 32 for i in range(40)]
VALUES = [f"value {i}".encode() * 50 for i in range(40)]


@pytest.fixture
def cache(tmp_path):
    return EmbeddingCache(tmp_path / "cache")


def path_of(cache, fingerprint="f"):
    return os.path.join(cache.folder, "vectors", f"{fingerprint}.sqlite")


def reopen():
    """Forget this process's connections, as a new process would not have them."""
    for file in _file._files.values():
        file.flush()
        file._close()
    _file._files.clear()


def fill(cache, fingerprint="f"):
    assert cache.claim(fingerprint, KEYS) == [True] * len(KEYS)
    cache.write(fingerprint, KEYS, VALUES)


# -- reading and writing --------------------------------------------------------------------------


def test_rows_are_found_again_by_another_process(cache):
    fill(cache)
    reopen()
    assert cache.read("f", [*KEYS, b"x" * 32]) == [*VALUES, None]
    assert cache.read("g", KEYS) == [None] * len(KEYS)


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(rows=st.dictionaries(st.binary(min_size=1, max_size=64), st.binary(max_size=100)))
def test_what_is_written_is_read(cache, rows):
    fingerprint = str(abs(hash(frozenset(rows.items()))))
    cache.write(fingerprint, list(rows), list(rows.values()))
    assert cache.read(fingerprint, list(rows)) == list(rows.values())


def test_nothing_asked_nothing_done(cache):
    assert cache.claim("f", []) == []
    assert cache.read("f", []) == []
    cache.write("f", [], [])
    cache.release("f", [])


def test_the_folder_is_for_its_owner_alone(cache):
    fill(cache)
    assert os.stat(os.path.join(cache.folder, "vectors")).st_mode & 0o777 == 0o700


def test_info_verify_and_clear(cache):
    cache.describe("f", "a model")
    fill(cache)
    cache.read("f", KEYS[:3])
    (line,) = cache.info()
    size = os.path.getsize(path_of(cache))
    assert line == {
        "fingerprint": "f",
        "model": "a model",
        "rows": 40,
        "bytes": size,
        "hits": 3,
        "misses": 40,
    }
    assert (cache.info()["rows"], cache.info()["computed"]) == (40, 40)
    assert cache.verify() == {"rows": 40, "damaged": 0}
    cache.clear()
    assert cache.info() == []
    assert cache.read("f", KEYS[:1]) == [None]


def test_clones_and_pickles_are_the_same_cache(cache):
    fill(cache)
    for other in (copy.deepcopy(cache), pickle.loads(pickle.dumps(cache))):
        assert other == cache
        assert other.read("f", KEYS[:1]) == VALUES[:1]
    assert len(pickle.dumps(cache)) < 500


# -- claims ---------------------------------------------------------------------------------------


def elsewhere(function, *args):
    """Call a function in another thread."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(function, *args).result()


def test_a_row_is_claimed_once(cache):
    assert cache.claim("f", KEYS[:2]) == [True, True]
    assert elsewhere(cache.claim, "f", KEYS[:3]) == [False, False, True]
    cache.write("f", KEYS[:1], VALUES[:1])
    elsewhere(cache.release, "f", KEYS[1:2])  # not its own
    assert elsewhere(cache.claim, "f", KEYS[:2]) == [False, False]
    cache.release("f", KEYS[1:2])
    assert elsewhere(cache.claim, "f", KEYS[:2]) == [False, True]


def test_a_claim_that_an_interrupt_left_behind_stops_nobody(cache):
    """A thread never waits while it computes, so a claim of its own is a leaked one."""
    for store in (cache, skembed.MemoryCache()):
        assert store.claim("f", KEYS[:2]) == [True, True]
        store.wait("f", KEYS[:2])
        assert store.claim("f", KEYS[:2]) == [True, True]


def test_many_keys_at_once(cache, monkeypatch):
    """More than SQLite before 3.32 takes variables."""
    keys = [i.to_bytes(32, "little") for i in range(3000)]
    if hasattr(sqlite3.Connection, "setlimit"):
        cache.read("f", keys[:1])
        connection = _file.file_at(cache._vectors / "f.sqlite")._connection
        connection.setlimit(sqlite3.SQLITE_LIMIT_VARIABLE_NUMBER, 999)
    assert all(cache.claim("f", keys))
    cache.write("f", keys, keys)
    assert cache.read("f", keys) == keys
    assert cache.verify() == {"rows": 3000, "damaged": 0}


def test_wait_ends_when_a_row_is_done(cache):
    cache.claim("f", KEYS[:2])
    thread = threading.Thread(target=cache.wait, args=("f", KEYS[:2]))
    thread.start()
    cache.write("f", KEYS[:1], VALUES[:1])
    thread.join(60)
    assert not thread.is_alive()


def run_python(code):
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, timeout=120
    )


def test_claims_die_with_their_owner(cache):
    done = run_python(
        f"""
        import os, signal
        from skembed import EmbeddingCache
        cache = EmbeddingCache({cache.folder!r})
        print(cache.claim("f", [b"a" * 32, b"b" * 32]), flush=True)
        os.kill(os.getpid(), signal.SIGKILL)
        """
    )
    assert done.stdout.strip() == "[True, True]"
    cache.wait("f", [b"a" * 32, b"b" * 32])
    assert cache.claim("f", [b"a" * 32, b"b" * 32]) == [True, True]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork on this system")
def test_after_a_fork_the_child_has_its_own_connection_and_claims(cache):
    done = run_python(
        f"""
        import os
        from skembed import EmbeddingCache
        cache = EmbeddingCache({cache.folder!r})
        a, b = b"a" * 32, b"b" * 32
        assert cache.claim("f", [a]) == [True]
        child = os.fork()
        if not child:
            right = cache.claim("f", [a, b]) == [False, True]
            cache.write("f", [b], [b"child's"])
            os._exit(0 if right else 1)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        from threading import Thread
        granted = []
        thread = Thread(target=lambda: granted.extend(cache.claim("f", [a])))
        thread.start()
        thread.join()
        print(status, granted, cache.read("f", [b]))
        """
    )
    assert done.stdout.strip() == '0 [False] [b"child\'s"]', done.stderr


def test_a_lock_tells_who_is_alive(tmp_path):
    (tmp_path / "dead.lock").write_text("")
    (tmp_path / "another.lock").write_text("1")
    assert not is_alive(tmp_path / "dead.lock")
    assert not (tmp_path / "dead.lock").exists()
    alive, other = Alive(tmp_path), Alive(tmp_path)
    names = {f"{alive.name}.lock", f"{other.name}.lock"}
    assert {path.name for path in tmp_path.iterdir()} == names  # the dead are swept
    assert is_alive(lock_path(tmp_path, alive.name))
    assert stopped_process(lock_path(tmp_path, alive.name)) is None
    alive.end()
    assert not is_alive(lock_path(tmp_path, alive.name))
    other.end()


# -- eviction -------------------------------------------------------------------------------------


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


@pytest.mark.parametrize("max_bytes", [10_000, LEAST_BYTES - 1, True])
def test_a_limit_below_an_empty_file_is_refused(tmp_path, max_bytes):
    with pytest.raises(ValueError, match=f"at least 114,688, .* got {max_bytes}"):
        EmbeddingCache(tmp_path, max_bytes=max_bytes)


@pytest.mark.parametrize("part", ["a" * 300, "/".join(["a" * 200] * 30)])
def test_a_folder_whose_path_is_too_long_costs_one_warning(tmp_path, part):
    cache = EmbeddingCache(tmp_path / part)
    with pytest.warns(CacheWarning, match="does not work .*too long.*choose another") as caught:
        assert cache.claim("f", KEYS) == [True] * len(KEYS)
    cache.write("f", KEYS, VALUES)
    assert cache.read("f", KEYS) == [None] * len(KEYS)
    assert len(caught) == 1
    assert len(str(caught[0].message)) < 600
    assert cache.info() == []
    assert cache.verify() == {"rows": 0, "damaged": 0}
    cache.clear()


def test_rows_written_twice_leave_no_orphans(cache):
    """As when a process takes over a stopped one's rows, which then goes on."""
    for _ in range(3):
        cache.write("f", KEYS, VALUES)
    connection = _file.file_at(cache._vectors / "f.sqlite")._connection
    assert connection.execute("SELECT count(*) FROM vectors").fetchone() == (40,)
    assert cache.read("f", KEYS) == VALUES


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


# -- damage and faults ----------------------------------------------------------------------------


def test_a_damaged_value_is_not_served_and_computed_again(cache):
    fill(cache)
    reopen()
    with sqlite3.connect(path_of(cache)) as connection:
        value = bytearray(
            connection.execute("SELECT value FROM vectors WHERE id = 1").fetchone()[0]
        )
        value[3] ^= 1
        connection.execute("UPDATE vectors SET value = ? WHERE id = 1", (bytes(value),))
        connection.execute("UPDATE keys SET id = 5 WHERE id = 4")  # another row's whole value
    connection.close()
    values = cache.read("f", KEYS)
    wrong = [i for i, value in enumerate(values) if value is None]
    assert wrong == [0, 3]
    assert cache.claim("f", KEYS) == [i in wrong for i in range(40)]
    cache.write("f", [KEYS[0], KEYS[3]], [VALUES[0], VALUES[3]])
    assert cache.read("f", KEYS) == VALUES
    assert cache.verify() == {"rows": 40, "damaged": 0}


def test_verify_drops_damaged_rows(cache):
    fill(cache)
    reopen()
    with sqlite3.connect(path_of(cache)) as connection:
        connection.execute("UPDATE vectors SET value = zeroblob(30) WHERE id IN (2, 3)")
    connection.close()
    assert cache.verify() == {"rows": 40, "damaged": 2}
    assert cache.verify() == {"rows": 38, "damaged": 0}


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE vectors SET value = CAST(x'ff41' AS TEXT)",
        "UPDATE keys SET key = CAST(x'ff41' AS TEXT) WHERE id = 3",
        "UPDATE keys SET key = zeroblob(65) WHERE id = 3",
        "UPDATE claims SET owner = CAST(x'ff41' AS TEXT)",
        "UPDATE claims SET owner = CAST(x'4100' AS TEXT)",
        "UPDATE counts SET name = CAST(x'ff41' AS TEXT)",
        "UPDATE vectors SET id = 9223372036854775807 WHERE id = 40",
        "ALTER TABLE keys RENAME COLUMN used TO usec",
    ],
)
def test_what_is_not_of_its_kind_is_mended(cache, damage):
    """A flipped bit can make anything of a value: text of bytes, or text that is not UTF-8."""
    if damage.startswith("ALTER") and sys.version_info < (3, 11):
        pytest.skip("Python 3.10 does not tell SQLite's codes")
    fill(cache)
    assert cache.claim("f", [b"x" * 32]) == [True]
    reopen()
    with sqlite3.connect(path_of(cache)) as connection:
        connection.execute(damage)
    connection.close()
    for _ in range(2):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            cache.claim("f", [*KEYS, b"x" * 32])
            cache.write("f", KEYS, VALUES)
            cache.verify()
            assert cache.read("f", KEYS) == VALUES
            assert cache.info()[0]["rows"] == len(KEYS)
        assert all("was deleted" in str(warning.message) for warning in caught)
    assert not caught
    assert cache.verify() == {"rows": 40, "damaged": 0}


def test_a_file_that_another_process_made_anew_is_used(cache):
    fill(cache)
    done = run_python(
        f"""
        from skembed import EmbeddingCache
        cache = EmbeddingCache({cache.folder!r})
        cache.clear()
        cache.write("f", [b"x" * 32], [b"other's"])
        """
    )
    assert done.returncode == 0, done.stderr
    cache.write("f", KEYS[:1], VALUES[:1])
    assert cache.read("f", [b"x" * 32, *KEYS[:2]]) == [b"other's", VALUES[0], None]


def test_a_file_deleted_while_it_is_written_is_written_again(cache, monkeypatch):
    fill(cache)
    real = _file._checksum

    def clear(key, value):
        monkeypatch.undo()
        for path in (path_of(cache), path_of(cache) + "-journal"):
            if os.path.exists(path):
                os.unlink(path)
        raise sqlite3.OperationalError("disk I/O error")

    monkeypatch.setattr(_file, "_checksum", clear)
    cache.write("f", [b"x" * 32], [b"value"])
    assert _file._checksum is real
    assert cache.read("f", [b"x" * 32, KEYS[0]]) == [b"value", None]


@pytest.mark.parametrize("content", [b"", b"not a database at all" * 100, b"SQLite format 3\0"])
def test_a_file_that_is_no_cache_is_replaced(cache, content):
    fill(cache)
    reopen()
    with open(path_of(cache), "wb") as file:
        file.write(content)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        values = cache.read("f", KEYS)
        assert all(value is None for value in values)
        cache.write("f", KEYS, VALUES)
        assert cache.read("f", KEYS) == VALUES
    assert len(caught) == (1 if content else 0)  # SQLite takes an empty file for a new one
    assert all("was deleted" in str(warning.message) for warning in caught)


@pytest.mark.parametrize(
    "error",
    [
        sqlite3.OperationalError("database or disk is full"),
        sqlite3.OperationalError("attempt to write a readonly database"),
        sqlite3.OperationalError("disk I/O error"),
        sqlite3.OperationalError("database is locked"),
        OSError(errno.ENOSPC, "No space left on device"),
        PermissionError(errno.EACCES, "Permission denied"),
    ],
    ids=str,
)
def test_faults_cost_one_warning_and_no_result(cache, tiny_bert, texts, monkeypatch, error):
    expected = BertEmbedder(tiny_bert, cache=None).fit_transform(texts)

    def fail(*_, **__):
        raise error

    monkeypatch.setattr(_sqlite, "connect", fail)
    embedder = BertEmbedder(tiny_bert, cache=cache)
    with pytest.warns(CacheWarning, match="computed without it") as caught:
        vectors = embedder.fit_transform(texts)
    assert len(caught) == 1
    np.testing.assert_array_equal(vectors, expected)
    np.testing.assert_array_equal(embedder.transform(texts), expected)  # no second warning


def test_a_fault_in_the_middle(cache, tiny_bert, texts, monkeypatch):
    """The disk fills up while rows are written: they are computed, and nothing is half there."""
    monkeypatch.setattr(BertEmbedder, "_modality", replace(TEXTS, chunk=5))
    expected = BertEmbedder(tiny_bert, cache=None).fit_transform(texts)
    real, written = _file._checksum, []

    def fill_up(key, value):
        written.append(key)
        if len(written) == 12:
            raise sqlite3.OperationalError("database or disk is full")
        return real(key, value)

    with monkeypatch.context() as patch:
        patch.setattr(_file, "_checksum", fill_up)
        with pytest.warns(CacheWarning, match="disk is full"):
            vectors = BertEmbedder(tiny_bert, cache=cache).fit_transform(texts)
    np.testing.assert_array_equal(vectors, expected)
    reopen()
    assert cache.verify()["damaged"] == 0
    np.testing.assert_array_equal(
        BertEmbedder(tiny_bert, cache=cache).fit_transform(texts), expected
    )


def test_a_network_file_system_is_warned_of(cache, tmp_path, monkeypatch):
    mounts = tmp_path / "mounts"
    mounts.write_text(
        f"/dev/sda / ext4 rw 0 0\nserver:/x {os.path.realpath(tmp_path)} nfs4 rw 0 0\n"
    )
    real_open = open
    monkeypatch.setattr(
        "builtins.open",
        lambda path, *a, **k: real_open(mounts if path == "/proc/mounts" else path, *a, **k),
    )
    with pytest.warns(
        CacheWarning, match=r"network file system.*Use a local one, .*EmbeddingCache"
    ):
        cache.read("f", KEYS)


# -- with an embedder -----------------------------------------------------------------------------


def test_an_embedder_keeps_its_vectors_in_a_folder(tiny_bert, texts, tmp_path):
    n_unique = len(set(texts))
    expected = BertEmbedder(tiny_bert, cache=None).fit_transform(texts)
    for cache in (str(tmp_path), tmp_path, EmbeddingCache(tmp_path)):
        vectors = BertEmbedder(tiny_bert, cache=cache).fit_transform(texts)
        np.testing.assert_array_equal(vectors, expected)
        reopen()
    (line,) = EmbeddingCache(tmp_path).info()
    assert line["model"] == str(tiny_bert)
    assert (line["misses"], line["hits"]) == (n_unique, 2 * n_unique)
    assert skembed.memory_cache().info()["rows"] == 0


def test_set_config_makes_a_folder_the_default(tiny_bert, texts, tmp_path):
    with skembed.config_context(cache_folder=tmp_path):
        BertEmbedder(tiny_bert).fit_transform(texts)
        (line,) = EmbeddingCache().info()
    assert line["rows"] == len(set(texts))


def test_warm_computes_what_is_missing(tiny_bert, texts, tmp_path, capsys):
    embedder = BertEmbedder(tiny_bert, cache=tmp_path, verbose=1)
    assert embedder.warm(texts) is embedder
    assert "BertEmbedder: 100%" in capsys.readouterr().err
    BertEmbedder(tiny_bert, cache=tmp_path).fit(texts).transform(texts)
    (line,) = EmbeddingCache(tmp_path).info()
    assert line["misses"] == len(set(texts))
    with pytest.raises(ValueError, match=r"warm\(\) fills a cache, but cache=None"):
        BertEmbedder(tiny_bert, cache=None).warm(texts)


def test_a_process_whose_rows_are_all_there_loads_no_network(tiny_bert, texts, tmp_path):
    for backend in ("onnx", "torch"):
        embedder = BertEmbedder(tiny_bert, backend=backend, cache=tmp_path).warm(texts)
        expected = embedder.transform(texts)
        np.save(tmp_path / "expected.npy", expected)
        done = run_python(
            f"""
            import sys
            import numpy as np
            from skembed import BertEmbedder
            from skembed.network._load import _runners
            parameters = {{"backend": {backend!r}, "cache": {str(tmp_path)!r}}}
            vectors = BertEmbedder({str(tiny_bert)!r}, **parameters).fit_transform({texts!r})
            assert np.array_equal(vectors, np.load({str(tmp_path / "expected.npy")!r}))
            assert "transformers" not in sys.modules
            print(len(_runners._items), "torch" in sys.modules)
            """
        )
        assert done.stdout.split()[0] == "0", done.stderr
        if backend == "onnx":
            assert done.stdout.split()[1] == "False"


def test_racing_processes_compute_each_row_once(tiny_bert, tmp_path):
    code = f"""
    import sys
    from dataclasses import replace
    from skembed import BertEmbedder
    BertEmbedder._modality = replace(BertEmbedder._modality, chunk=16)
    rows = [f"the {{i}} cat" for i in range(200)]
    BertEmbedder({str(tiny_bert)!r}, cache={str(tmp_path)!r}, n_threads=1).fit_transform(rows)
    """
    racers = [
        subprocess.Popen([sys.executable, "-c", textwrap.dedent(code)], stderr=subprocess.PIPE)
        for _ in range(3)
    ]
    for racer in racers:
        _, errors = racer.communicate(timeout=240)
        assert racer.returncode == 0, errors.decode()
    (line,) = EmbeddingCache(tmp_path).info()
    assert (line["rows"], line["misses"]) == (200, 200)


def test_a_search_with_worker_processes_computes_each_row_once(tiny_bert, texts, tmp_path):
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import GridSearchCV
    from sklearn.pipeline import make_pipeline

    rows = list(dict.fromkeys(texts))
    y = np.arange(len(rows)) % 2
    pipeline = make_pipeline(BertEmbedder(tiny_bert, cache=tmp_path), LogisticRegression())
    grid = {"logisticregression__C": [0.1, 1, 10]}
    search = GridSearchCV(pipeline, grid, cv=3, n_jobs=2, error_score="raise").fit(rows, y)
    (line,) = EmbeddingCache(tmp_path).info()
    assert line["misses"] == len(rows)
    uncached = clone(pipeline).set_params(bertembedder__cache=None)
    plain = GridSearchCV(uncached, grid, cv=3).fit(rows, y)
    for name in ("mean_test_score", "std_test_score"):
        np.testing.assert_array_equal(search.cv_results_[name], plain.cv_results_[name])
    np.testing.assert_array_equal(search.best_estimator_[-1].coef_, plain.best_estimator_[-1].coef_)
