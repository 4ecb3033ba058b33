"""Folders that cannot be written, processes that stand still, many networks, odd content."""

import contextlib
import os
import re
import sqlite3
import subprocess
import sys
import textwrap
import threading
import warnings

import pytest

from skembed import EmbeddingCache
from skembed.base import _folders
from skembed.cache import _connection, _file, _owners, _sqlite
from skembed.cache._sqlite import LEAST_BYTES
from skembed.exceptions import CacheWarning

KEYS = [bytes([i]) * 32 for i in range(40)]
VALUES = [f"value {i}".encode() * 50 for i in range(40)]
NEW = b"x" * 32


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


def reopen():
    for file in list(_file._files.values()):
        file.flush()
    _file._files.clear()
    for folder in list(_owners._owners):
        _owners.renounce(folder)


def path_of(cache, fingerprint="f"):
    return os.path.join(cache.folder, "vectors", f"{fingerprint}.sqlite")


def edit(cache, *statements):
    reopen()
    connection = sqlite3.connect(path_of(cache))
    with connection:
        for statement in statements:
            connection.execute(*statement) if isinstance(statement, tuple) else (
                connection.execute(statement)
            )
    connection.close()


def python(code, **kwargs):
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code)],
        stdout=subprocess.PIPE,
        stdin=subprocess.PIPE,
        text=True,
        **kwargs,
    )


# -- folders that cannot be written ---------------------------------------------------------------


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
    assert re.search("cannot be written .*new ones are not kept.*choose", str(warning.message))
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
    with pytest.warns(CacheWarning, match=r"\(database or disk is full\).*Free some space") as w:
        full.write("f", [NEW], [b"value"])
    assert len(w) == 1
    assert str(full.folder) in str(w[0].message)
    assert full.read("f", [*KEYS, NEW]) == [*VALUES, None]
    full.clear()  # tries again
    monkeypatch.undo()
    full.write("f", [NEW], [b"value"])
    assert full.read("f", [NEW]) == [b"value"]


# -- who else may write ---------------------------------------------------------------------------


@pytest.mark.skipif(os.name != "posix", reason="only POSIX systems tell who may write to a folder")
@pytest.mark.parametrize("inner", [False, True])
def test_a_folder_that_others_may_write_to_is_warned_of(full, inner):
    folder = os.path.join(full.folder, "vectors")
    os.chmod(full.folder, 0o755)
    os.chmod(folder if inner else full.folder, 0o777)
    _folders.warn_if_others_may_write.cache_clear()
    with pytest.warns(CacheWarning, match=r"may be written by everybody.*chmod go-w") as caught:
        assert full.read("f", KEYS) == VALUES
    assert len(caught) == 1
    reopen()
    full.read("f", KEYS)  # once a process


@pytest.mark.skipif(os.name != "posix", reason="only POSIX systems tell who may write to a folder")
@pytest.mark.parametrize(
    ("outer", "inner", "group", "owner", "who"),
    [
        (0o700, 0o777, 1234, 1234, None),  # others cannot enter
        (0o1777, 0o700, 1000, 1000, None),  # /tmp
        (0o1777, 0o700, 1000, 1234, "its owner, the user 1234"),
        (0o755, 0o775, 1000, 1000, None),  # the user's own group
        (0o755, 0o775, 1234, 1000, "the group 1234"),
        (0o755, 0o755, 1000, 0, None),  # root may anyway
        (0o755, 0o755, 1000, 1234, "its owner, the user 1234"),
    ],
)
def test_who_else_may_write(tmp_path, monkeypatch, outer, inner, group, owner, who):
    folder = tmp_path / "outer" / "inner"
    modes = {str(folder): (inner, owner, group), str(folder.parent): (outer, 0, 1000)}

    class Stat:
        def __init__(self, path):
            self.st_mode, self.st_uid, self.st_gid = modes[path]

    monkeypatch.setattr(_folders.os, "stat", Stat)
    monkeypatch.setattr(_folders.os, "geteuid", lambda: 1000)
    expected = pytest.warns(CacheWarning, match=who) if who else contextlib.nullcontext()
    with expected:
        _folders.warn_if_others_may_write(str(folder), CacheWarning)


# -- processes that stand still -------------------------------------------------------------------

CLAIM = """
    import os, sys
    from skembed import EmbeddingCache
    cache = EmbeddingCache({folder!r})
    print(cache.claim("f", [b"x" * 32]), os.getpid(), flush=True)
    sys.stdin.readline()
    cache.write("f", [b"x" * 32], [b"late"])
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux tells who is stopped")
def test_rows_of_a_stopped_process_are_taken_over(cache, monkeypatch):
    """After a while, with a warning; what the process writes when it goes on does no harm."""
    import signal

    monkeypatch.setattr(_file, "_STOPPED_SECONDS", 0.05)
    with python(CLAIM.format(folder=cache.folder)) as other:
        assert other.stdout.readline().split() == ["[True]", str(other.pid)]
        assert cache.claim("f", [NEW]) == [False]
        os.kill(other.pid, signal.SIGSTOP)
        try:
            with pytest.warns(CacheWarning, match=rf"process {other.pid}, which is stopped.*here"):
                cache.wait("f", [NEW])
            assert cache.claim("f", [NEW]) == [True]
            cache.write("f", [NEW], [b"early"])
        finally:
            os.kill(other.pid, signal.SIGCONT)
        other.stdin.write("\n")
        other.stdin.flush()
        assert other.wait(60) == 0
    assert cache.read("f", [NEW]) == [b"late"]
    assert cache.verify() == {"rows": 1, "damaged": 0}


def test_rows_of_a_thread_that_hangs_are_taken_over(cache, monkeypatch):
    """After a long while; nothing tells a slow owner from one that hangs."""
    monkeypatch.setattr(_file, "_STOPPED_SECONDS", 0)
    monkeypatch.setattr(_file, "_STUCK_SECONDS", 0.05)
    thread = threading.Thread(target=cache.claim, args=("f", [NEW]))
    thread.start()
    thread.join()
    with pytest.warns(CacheWarning, match="another process or thread, and nothing has come of it"):
        cache.wait("f", [NEW])
    assert cache.claim("f", [NEW]) == [True]


def test_lock_files_of_the_dead_are_swept(cache):
    """Also where no claim of theirs is met."""
    with python(CLAIM.format(folder=cache.folder)) as other:
        other.stdout.readline()
        other.kill()
    cache.claim("g", [NEW])
    locks = [name for name in os.listdir(cache._vectors) if name.endswith(".lock")]
    assert locks == [f"{_owners._owners[cache._vectors].name}.lock"]


# -- many networks, forks -------------------------------------------------------------------------


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


# -- odd content ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "owner", [b"blob", 5, 1.5, "", ":", "../../x:1", "/x:1", "a\0b:1", "x" * 5000, "é:1", "\ud800"]
)
def test_odd_owners_are_nobody(full, owner):
    if owner == "\ud800":
        owner = b"\xed\xa0\x80"
    edit(full, ("INSERT INTO claims VALUES (?, ?)", (NEW, owner)))
    full.wait("f", [NEW])
    assert full.claim("f", [NEW, KEYS[0]]) == [True, False]
    full.write("f", [NEW], [b"value"])
    assert full.read("f", [NEW, KEYS[0]]) == [b"value", VALUES[0]]


@pytest.mark.parametrize("value", [b"", b"\0", b"12345678", bytes(5000), "text", 12, 1.5])
def test_odd_values_are_damage(full, value):
    edit(full, ("UPDATE vectors SET value = ? WHERE id = 3", (value,)))
    assert full.read("f", KEYS) == [*VALUES[:2], None, *VALUES[3:]]
    assert full.claim("f", KEYS[:4]) == [False, False, True, False]
    full.write("f", KEYS[2:3], VALUES[2:3])
    assert full.verify() == {"rows": 40, "damaged": 0}


@pytest.mark.parametrize("used", ["'text'", "x'00'", "1e300", "-5", "9223372036854775807"])
def test_odd_uses_are_dropped_like_others(full, used):
    edit(full, f"UPDATE keys SET used = {used}")
    small = EmbeddingCache(full.folder, max_bytes=200_000)
    for i in range(20):
        keys = [bytes([i, j]) * 16 for j in range(20)]
        small.write("f", keys, [bytes(1537)] * 20)
        small.read("f", keys)
    assert os.path.getsize(path_of(full)) <= 200_000
    assert small.verify()["damaged"] == 0


@pytest.mark.parametrize("count", ["'text'", "x'00'", "NULL", "1e300", "-5"])
def test_odd_counts_do_no_harm(full, count):
    edit(full, f"UPDATE counts SET value = {count}")
    full.read("f", KEYS)
    full.write("f", [NEW], [b"value"])
    (line,) = full.info()
    assert line["rows"] == 41
    assert all(isinstance(line[name], int) for name in ("hits", "misses"))
    assert isinstance(line["model"], str)
