"""SQLite for `_file`: the schema, connections, queries by many keys, kinds of errors.

A file has four tables. ``vectors`` contains the value of each row and its checksum; rows are
appended. ``keys`` maps a key to a vector; its column ``used`` is the highest id of ``vectors`` at
the time of the last use. It is a table of its own because it must be small: keys are inserted at
random places. ``claims`` contains the keys that a process is computing, ``counts`` some numbers.

The journal is a rollback journal. The write-ahead log has a bug that corrupts files, in versions
of SQLite that are still in use. With ``synchronous=OFF`` a file is intact after its process is
killed. After a crash of the machine it may not be. The checksums detect that, so a damaged cache
costs time, but never changes a result. Imports nothing of skembed.
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
# Size of a file with a few rows: six pages without rows, and one for rows.
LEAST_BYTES = 7 * PAGE
DROP_ORPHANS = "DELETE FROM vectors WHERE id NOT IN (SELECT id FROM keys)"
CHECKSUM_BYTES = 8
_KEY_BYTES = 80  # of a row in the table `keys`
_PART = 500  # keys per query; SQLite before 3.32 allows 999 variables


def connect(path, *, read_only=False, busy_seconds=60):
    """Open a connection without automatic transactions."""
    connection = sqlite3.connect(
        f"{Path(path).as_uri()}?mode=ro" if read_only else path,
        timeout=busy_seconds,
        isolation_level=None,
        check_same_thread=False,
        uri=read_only,
    )
    connection.text_factory = partial(str, encoding="utf-8", errors="replace")  # damaged files
    connection.execute("PRAGMA synchronous = OFF")
    connection.execute("PRAGMA cache_size = -8192")  # KiB
    return connection


def keep_open(connection):
    """Keep a connection from ever being closed, for a forked child that inherited it."""
    import ctypes

    if sys.implementation.name == "cpython":
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(connection))


def is_damage(error):
    """Tell whether an error is due to the content of a file, not to disk, permissions or locks."""
    if isinstance(error, sqlite3.OperationalError):
        return str(error).startswith(("no such table", "no such column", "table "))
    return not isinstance(error, (OSError, sqlite3.ProgrammingError, sqlite3.InterfaceError))


def stat_of(path):
    """Return the status of a file, None if it does not exist."""
    try:
        return os.stat(path)
    except OSError:
        return None


def identity(path):
    """Return what distinguishes a file from a later one of the same name; None without a file."""
    stat = stat_of(path)
    return stat and (stat.st_dev, stat.st_ino)


def count(connection, name, n):
    """Add `n` to a number in the table `counts`."""
    connection.execute(
        "INSERT INTO counts VALUES (?1, ?2) ON CONFLICT (name) DO UPDATE SET value = "
        # A damaged count, which may be text, starts again.
        "CASE typeof(value) WHEN 'integer' THEN value + ?2 ELSE ?2 END",
        (name, n),
    )


def select_by_keys(connection, query, keys):
    """Yield the rows of a query that ends in ``key IN``, for any number of keys."""
    for start in range(0, len(keys), _PART):
        part = keys[start : start + _PART]
        yield from connection.execute(f"{query} ({','.join('?' * len(part))})", part).fetchall()


def checksum(key, value):
    """Return a digest of a value and the key of its row.

    As the key is part of it, the value of another row does not pass the check either.
    """
    return blake2b(value, key=key, digest_size=CHECKSUM_BYTES).digest()


def last_id(connection):
    """Return the highest id in the table `vectors`, 0 if it is empty."""
    return connection.execute("SELECT max(id) FROM vectors").fetchone()[0] or 0


def used_and_total_bytes(connection):
    """Return how many bytes of a file are in use, and its size."""
    values = [
        connection.execute(f"PRAGMA {name}").fetchone()[0]
        for name in ("page_size", "page_count", "freelist_count")
    ]
    return values[0] * (values[1] - values[2]), values[0] * values[1]


def row_bytes(n_bytes):
    """Estimate the bytes that a row takes in a file.

    A page contains whole rows only. A row longer than a page takes whole pages.

    Parameters
    ----------
    n_bytes : int
        Length of its value.

    Returns
    -------
    n_bytes : int
        Including the checksum, the key and unused parts of pages.

    Examples
    --------
    >>> row_bytes(1537)
    1718
    >>> row_bytes(10_000)
    16464
    """
    n_bytes += CHECKSUM_BYTES + 12
    per_page = (PAGE - 40) // n_bytes
    return _KEY_BYTES + (PAGE // per_page if per_page else PAGE * (n_bytes // PAGE + 2))
