"""Queries by many keys, kinds of errors, sizes."""

import sqlite3

import pytest

from skembed.cache import _sqlite


@pytest.fixture
def connection(tmp_path):
    connection = _sqlite.connect(tmp_path / "file.sqlite")
    connection.executescript(_sqlite.SCHEMA)
    yield connection
    connection.close()


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (sqlite3.DatabaseError("file is not a database"), True),
        (sqlite3.OperationalError("no such table: keys"), True),
        (sqlite3.IntegrityError("datatype mismatch"), True),
        (UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid"), True),
        (sqlite3.OperationalError("database is locked"), False),
        (sqlite3.OperationalError("database or disk is full"), False),
        (sqlite3.ProgrammingError("Cannot operate on a closed database."), False),
        (PermissionError(13, "Permission denied"), False),
    ],
)
def test_is_damage(error, expected):
    assert _sqlite.is_damage(error) == expected


def test_counts_add_up_and_start_again_after_damage(connection):
    for n in (3, 4):
        _sqlite.count(connection, "hits", n)
    query = "SELECT value FROM counts WHERE name = 'hits'"
    assert connection.execute(query).fetchone() == (7,)
    connection.execute("UPDATE counts SET value = 'text'")
    _sqlite.count(connection, "hits", 5)
    assert connection.execute(query).fetchone() == (5,)


def test_the_checksum_depends_on_the_key():
    assert _sqlite.checksum(b"a", b"value") != _sqlite.checksum(b"b", b"value")
    assert len(_sqlite.checksum(b"a", b"value")) == _sqlite.CHECKSUM_BYTES


def test_a_file_with_a_few_rows_has_the_stated_size(connection, tmp_path):
    assert _sqlite.last_id(connection) == 0
    connection.execute("INSERT INTO vectors VALUES (7, ?)", (b"value",))
    assert _sqlite.last_id(connection) == 7
    used, size = _sqlite.used_and_total_bytes(connection)
    assert used == size == (tmp_path / "file.sqlite").stat().st_size <= _sqlite.LEAST_BYTES


def test_identity_distinguishes_files_of_one_name(tmp_path):
    path = tmp_path / "file"
    assert _sqlite.identity(path) is None
    path.touch()
    before = _sqlite.identity(path)
    (tmp_path / "other").touch()
    (tmp_path / "other").replace(path)
    assert _sqlite.identity(path) != before
