"""What `_file` needs of SQLite: the schema, connections, queries of many keys, kinds of errors.

A file's tables: ``vectors`` (a row's value and its checksum, appended), ``keys`` (key -> vector;
``used`` is the highest id of ``vectors`` when the row was last used; small, since a key goes
anywhere in it), ``claims`` (keys that a process is computing), ``counts``. The rollback journal is
used, not the write-ahead log, which has a corruption bug in versions that are still about.
``synchronous=OFF``: a killed process leaves a whole file, a killed machine may not, and then the
checksums tell: a lost or damaged cache costs time, never a result.
"""

import os
import sqlite3
import sys
from functools import partial
from hashlib import blake2b
from pathlib import Path

PAGE = 16384
SCHEMA = f"""
PRAGMA page_size = {PAGE};
PRAGMA auto_vacuum = INCREMENTAL;
BEGIN IMMEDIATE;
CREATE TABLE IF NOT EXISTS vectors (id INTEGER PRIMARY KEY, value BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS keys
    (key BLOB PRIMARY KEY, id INTEGER NOT NULL, used INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS claims (key BLOB PRIMARY KEY, owner TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS counts (name TEXT PRIMARY KEY, value) WITHOUT ROWID;
COMMIT;
"""
# What a file takes: six pages without rows, and one for rows.
LEAST_BYTES = 7 * PAGE
DROP_ORPHANS = "DELETE FROM vectors WHERE id NOT IN (SELECT id FROM keys)"
CHECKSUM_BYTES = 8
_KEY_BYTES = 80  # that a key takes in its table
_PART = 500  # SQLite before 3.32 takes 999 variables


def connect(path, *, read_only=False, busy_seconds=60):
    """Return a connection that leaves transactions to the caller."""
    connection = sqlite3.connect(
        f"{Path(path).as_uri()}?mode=ro" if read_only else path,
        timeout=busy_seconds,
        isolation_level=None,
        check_same_thread=False,
        uri=read_only,
    )
    connection.text_factory = partial(str, encoding="utf-8", errors="replace")  # damage may be text
    connection.execute("PRAGMA synchronous = OFF")
    connection.execute("PRAGMA cache_size = -8192")  # KiB
    return connection


def leak(connection):
    """Keep a connection for ever, so that a forked child does not close its parent's."""
    import ctypes

    if sys.implementation.name == "cpython":
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(connection))


def is_damage(error):
    """Tell whether a file's content is at fault; if not, it is the disk, the rights or a lock."""
    if isinstance(error, sqlite3.OperationalError):
        return str(error).startswith(("no such table", "no such column", "table "))
    return not isinstance(error, (OSError, sqlite3.ProgrammingError, sqlite3.InterfaceError))


def stat_of(path):
    """Return a file's stat, or None if it is not there."""
    try:
        return os.stat(path)
    except OSError:
        return None


def identity(path):
    """Return what tells a file from one made later under its name."""
    stat = stat_of(path)
    return stat and (stat.st_dev, stat.st_ino)


def count(connection, name, n):
    """Add to one of the counts."""
    connection.execute(
        "INSERT INTO counts VALUES (?1, ?2) ON CONFLICT (name) DO UPDATE SET value = "
        "CASE typeof(value) WHEN 'integer' THEN value + ?2 ELSE ?2 END",  # damage may be text
        (name, n),
    )


def of_keys(connection, query, keys):
    """Yield the rows of a query that ends in ``key IN``, in parts that any SQLite takes."""
    for start in range(0, len(keys), _PART):
        part = keys[start : start + _PART]
        yield from connection.execute(f"{query} ({','.join('?' * len(part))})", part).fetchall()


def checksum(key, value):
    """Return a digest of a value under its row's key.

    Another row's whole value is not taken for this one's.
    """
    return blake2b(value, key=key, digest_size=CHECKSUM_BYTES).digest()


def last_id(connection):
    """Return the highest id of a vector, 0 if there are none."""
    return connection.execute("SELECT max(id) FROM vectors").fetchone()[0] or 0


def bytes_of(connection):
    """Return how many bytes of a file are in use, and how many it has."""
    values = [
        connection.execute(f"PRAGMA {name}").fetchone()[0]
        for name in ("page_size", "page_count", "freelist_count")
    ]
    return values[0] * (values[1] - values[2]), values[0] * values[1]


def row_bytes(n_bytes):
    """Return about how many bytes of a file a row takes whose value has `n_bytes`.

    Pages hold whole rows; of a row longer than a page the last page is partly empty.

    >>> row_bytes(1537)
    1718
    >>> row_bytes(10_000)
    16464
    """
    n_bytes += CHECKSUM_BYTES + 12
    per_page = (PAGE - 40) // n_bytes
    return _KEY_BYTES + (PAGE // per_page if per_page else PAGE * (n_bytes // PAGE + 2))
