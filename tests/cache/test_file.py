"""The file of one network: claims, damaged and odd content, files that are replaced."""

import os
import sqlite3
import sys
import warnings

import pytest

import skembed
from cache.on_disk import KEYS, NEW, VALUES, edit, fill, path_of, reopen, run_python
from skembed import EmbeddingCache
from skembed.cache import _file


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


def test_rows_written_twice_leave_no_orphans(cache):
    """As when a process takes over a stopped one's rows, which then goes on."""
    for _ in range(3):
        cache.write("f", KEYS, VALUES)
    connection = _file.file_at(cache._vectors / "f.sqlite")._connection
    assert connection.execute("SELECT count(*) FROM vectors").fetchone() == (40,)
    assert cache.read("f", KEYS) == VALUES


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
