"""Errors of files cost one warning and no result; connections are bounded, and survive forks."""

import errno
import os
import re
import sqlite3
import warnings
from dataclasses import replace

import numpy as np
import pytest

from cache.on_disk import KEYS, NEW, VALUES, python, reopen, run_python
from skembed import BertEmbedder, EmbeddingCache
from skembed.cache import _connection, _file, _sqlite
from skembed.cache._sqlite import LEAST_BYTES
from skembed.exceptions import CacheWarning


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
    assert [item.filename for item in caught] == [__file__]  # and not a line of skembed
    np.testing.assert_array_equal(vectors, expected)
    np.testing.assert_array_equal(embedder.transform(texts), expected)  # no second warning


def test_a_fault_in_the_middle(cache, tiny_bert, texts, monkeypatch):
    """The disk fills up while rows are written: they are computed, and nothing is half there."""
    monkeypatch.setattr(BertEmbedder, "_modality", replace(BertEmbedder._modality, chunk=5))
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


@pytest.fixture
def read_only(full, monkeypatch):
    """Files cannot be written: root, who runs tests in containers, may write anywhere else."""
    connect = _sqlite.connect
    monkeypatch.setattr(
        _sqlite, "connect", lambda path, **options: connect(path, **{**options, "read_only": True})
    )


@pytest.mark.usefixtures("read_only")
def test_a_read_only_cache_is_read(full):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        full.describe("f", "a model")
        assert full.read("f", [*KEYS, NEW]) == [*VALUES, None]
        assert full.claim("f", [*KEYS, NEW]) == [False] * 40 + [True]
        full.write("f", [NEW], [b"value"])
        full.wait("f", KEYS)
        full.release("f", [NEW])
        assert full.read("f", [NEW]) == [None]
        assert full.verify() == {"rows": 40, "damaged": 0}
    (line,) = full.info()
    (warning,) = caught
    assert re.search("cannot be written .*new vectors are not kept.*choose", str(warning.message))
    assert (line["model"], line["rows"]) == ("a model", 40)
    reopen()
    with warnings.catch_warnings():  # once a process and folder
        warnings.simplefilter("error")
        assert full.read("f", KEYS) == VALUES


@pytest.mark.usefixtures("read_only")
def test_a_read_only_cache_with_a_limit_drops_nothing(full):
    small = EmbeddingCache(full.folder, max_bytes=LEAST_BYTES)
    with pytest.warns(CacheWarning, match="cannot be written"):
        small.write("f", [NEW], [b"value"])
    assert small.read("f", KEYS) == VALUES


def test_a_disk_that_fills_up_is_read_on(full, monkeypatch):
    """Rows that are kept are not computed again because new ones cannot be."""
    real = _file._checksum

    def fill_up(key, value):
        if key == NEW:
            raise sqlite3.OperationalError("database or disk is full")
        return real(key, value)

    monkeypatch.setattr(_file, "_checksum", fill_up)
    assert full.claim("f", [NEW]) == [True]
    with pytest.warns(CacheWarning, match=r"\(database or disk is full\).*Free disk space") as w:
        full.write("f", [NEW], [b"value"])
    assert len(w) == 1
    assert str(full.folder) in str(w[0].message)
    assert full.read("f", [*KEYS, NEW]) == [*VALUES, None]
    full.clear()  # tries again
    monkeypatch.undo()
    full.write("f", [NEW], [b"value"])
    assert full.read("f", [NEW]) == [b"value"]


def test_open_files_are_bounded_however_many_networks_there_are(cache):
    if not os.path.isdir("/proc/self/fd"):
        pytest.skip("the system does not list open files")
    before = len(os.listdir("/proc/self/fd"))
    for i in range(100):
        assert cache.claim(f"f{i}", KEYS[:2]) == [True, True]
        cache.write(f"f{i}", KEYS[:2], VALUES[:2])
        cache.read(f"f{i}", KEYS[:2])
    assert len(os.listdir("/proc/self/fd")) <= before + _connection._MAX_CONNECTIONS + 4
    assert [line["hits"] for line in cache.info()] == [2] * 100
    assert sum(name.endswith(".lock") for name in os.listdir(cache._vectors)) == 1


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork on this system")
@pytest.mark.parametrize("thread", ["the same", "another"])
def test_a_child_forked_inside_a_transaction_leaves_its_parents_alone(cache, thread):
    """It ends as a Python program does, which closes everything that it can."""
    code = f"""
    import os, sys, threading, warnings
    from skembed import EmbeddingCache
    from skembed.cache import _file
    warnings.simplefilter("ignore", DeprecationWarning)
    cache = EmbeddingCache({cache.folder!r})
    path = str(cache._file("f")._path)
    inside, forked = threading.Event(), threading.Event()

    def fork():
        child = os.fork()
        if not child:
            sys.exit(0)
        os.waitpid(child, 0)
        print(os.path.exists(path + "-journal"))
        forked.set()

    def write():
        with cache._file("f")._transaction() as connection:
            connection.execute("INSERT INTO vectors VALUES (7, zeroblob(30000000))")
            assert os.path.exists(path + "-journal")
            inside.set()
            fork() if {thread == "the same"} else forked.wait(60)

    if {thread == "the same"}:
        write()
    else:
        writing = threading.Thread(target=write)
        writing.start()
        inside.wait(60)
        fork()
        writing.join()
    connection = cache._file("f")._connection
    print(connection.execute("SELECT count(*) FROM vectors").fetchone(), threading.active_count())
    """
    with python(code) as done:
        assert done.stdout.read().split("\n") == ["True", "(1,) 1", ""]


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
