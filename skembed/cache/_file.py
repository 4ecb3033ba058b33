"""The vectors of one network in an SQLite file, shared by processes and runs.

Imports `base`, `exceptions`, `_connection`, `_owners` and `_sqlite`, which describes the tables.
"""

import atexit
import contextlib
import os
import sqlite3
import threading
import time
import warnings

from skembed.base._fork import after_fork_in_child
from skembed.base._warnings import callers_level
from skembed.cache import _owners, _sqlite
from skembed.cache._connection import ConnectedFile, with_fallback
from skembed.cache._sqlite import CHECKSUM_BYTES, DROP_ORPHANS, select_by_keys
from skembed.exceptions import CacheWarning

_POLL_SECONDS = 0.02
# Claims that have not changed for this time are taken over: those of stopped processes, all claims.
_STOPPED_SECONDS = 10
_STUCK_SECONDS = 600
_TOUCH_SECONDS = 20  # interval at which a file that is only read is marked as used
_EMPTY = 8 * _sqlite.PAGE  # maximum size of a file without rows
_NO_KEY = "typeof(key) <> 'blob' OR length(key) > 64"  # a damaged key
_checksum = _sqlite.checksum


class CacheFile(ConnectedFile):
    """The file of one network; its methods are those of `Store` without the fingerprint."""

    def _intact(self, connection, keys):
        """Return {key: (value, last use)} of the rows that are kept and not damaged."""
        found = {}
        query = "SELECT key, value, used FROM keys JOIN vectors USING (id) WHERE key IN"
        for key, value, used in select_by_keys(connection, query, keys):
            if (
                isinstance(value, bytes)
                and _checksum(key, value[:-CHECKSUM_BYTES]) == value[-CHECKSUM_BYTES:]
            ):
                found[key] = (value[:-CHECKSUM_BYTES], used)
        return found

    @with_fallback(lambda model: None)
    def describe(self, model):
        """Record the name of the model."""
        if model != self._described:
            row = self._connect().execute("SELECT value FROM counts WHERE name = 'model'")
            if row.fetchone() != (model,) and not self._read_only:
                with self._transaction() as connection:
                    connection.execute("REPLACE INTO counts VALUES ('model', ?)", (model,))
            self._described = model

    @with_fallback(lambda keys, max_bytes=None: [None] * len(keys))
    def read(self, keys, max_bytes=None):
        """Return the value of each row, or None; record the use if the file is near its limit."""
        connection = self._connect()
        found = self._intact(connection, keys)
        if found and not self._read_only:
            self._touch()
            if max_bytes is not None and self._path.stat().st_size > max_bytes / 4:
                self._record_use(connection, found)
        self._n_hits += len(found)
        return [found[key][0] if key in found else None for key in keys]

    def _touch(self):
        """Mark the file as used; the least recently used file is shrunk first."""
        if time.monotonic() - self._touched > _TOUCH_SECONDS:
            self._touched = time.monotonic()
            with contextlib.suppress(OSError):
                os.utime(self._path)

    def _record_use(self, connection, found):
        """Record that rows were used, unless their last recorded use is recent.

        Recent means that since then at most 1/8 as many rows were written as the file contains.
        Reading would otherwise cause a write each time.
        """
        last = _sqlite.last_id(connection)
        value, _ = next(iter(found.values()))
        n_rows = _sqlite.used_and_total_bytes(connection)[0] / _sqlite.row_bytes(len(value))
        recent = last - n_rows / 8
        old = [k for k, (_, used) in found.items() if not isinstance(used, int) or used < recent]
        if old:
            with self._transaction():
                connection.executemany(
                    "UPDATE keys SET used = ? WHERE key = ?", [(last, key) for key in old]
                )

    @with_fallback(lambda keys: [True] * len(keys))
    def claim(self, keys):
        """Claim rows that are neither kept nor claimed by a running process."""
        if not keys:
            return []
        connection = self._connect()
        if self._read_only:
            kept = self._intact(connection, keys)
            return [key not in kept for key in keys]
        with self._transaction():
            kept = self._intact(connection, keys)
            query = "SELECT key, owner FROM claims WHERE key IN"
            claims = list(select_by_keys(connection, query, keys))
            me = _owners.this_thread(self._folder)
            running = {o for o in {o for _, o in claims} if _owners.is_running(self._folder, o)}
            # A claim of this thread was left by an interrupt: no thread claims a row twice.
            taken = {key for key, owner in claims if owner in running and owner != me}
            granted = [key not in kept and key not in taken for key in keys]
            connection.executemany(
                "REPLACE INTO claims VALUES (?, ?)",
                [(key, me) for key, mine in zip(keys, granted, strict=True) if mine],
            )
        return granted

    @with_fallback(lambda keys, values: None)
    def write(self, keys, values):
        """Keep the values of rows; end the claims on them."""
        self._connect()
        if not keys or self._read_only:
            return
        with self._transaction() as connection:
            first = _sqlite.last_id(connection) + 1
            ids = range(first, first + len(keys))
            replaced = list(select_by_keys(connection, "SELECT id FROM keys WHERE key IN", keys))
            connection.executemany(
                "INSERT INTO vectors VALUES (?, ?)",
                [
                    (i, value + _checksum(key, value))
                    for i, key, value in zip(ids, keys, values, strict=True)
                ],
            )
            connection.executemany(
                "REPLACE INTO keys VALUES (?, ?, ?)",
                [(key, i, i) for i, key in zip(ids, keys, strict=True)],
            )
            if replaced:  # in a damaged file, other rows may use these vectors
                orphan = "DELETE FROM vectors WHERE id = ? AND id NOT IN (SELECT id FROM keys)"
                connection.executemany(orphan, replaced)
            self._unclaim(connection, keys)
            _sqlite.count(connection, "misses", len(keys))

    @with_fallback(lambda keys: None)
    def release(self, keys):
        """End claims of the calling thread."""
        self._connect()
        if keys and not self._read_only:
            with self._transaction() as connection:
                self._unclaim(connection, keys)

    def _unclaim(self, connection, keys):
        me = _owners.this_thread(self._folder)
        connection.executemany(
            "DELETE FROM claims WHERE key = ? AND owner = ?", [(key, me) for key in keys]
        )

    def wait(self, keys):
        """Block until another running process or thread no longer claims all of the rows.

        If the claims do not change for a long time, take them over.
        """
        seen, since = None, 0.0
        while len(claims := self._claims_of_others(keys)) == len(set(keys)) > 0:
            now = time.monotonic()
            if claims != seen:
                seen, since = claims, now
            if now - since > _STOPPED_SECONDS:
                owners = set(claims.values())
                stopped = {_owners.stopped_process_of(self._folder, owner) for owner in owners}
                if None not in stopped or now - since > _STUCK_SECONDS:
                    self._take_over(claims, sorted(stopped - {None}), round(now - since))
                    return
            time.sleep(_POLL_SECONDS)

    @with_fallback(lambda keys: {})
    def _claims_of_others(self, keys):
        """Return {key: owner} of the claims of other threads and of other running processes."""
        query = "SELECT key, owner FROM claims WHERE key IN"
        claims = {} if self._read_only else dict(select_by_keys(self._connect(), query, keys))
        owners = set(claims.values()) - {_owners.this_thread(self._folder)} if claims else set()
        running = {owner for owner in owners if _owners.is_running(self._folder, owner)}
        return {key: owner for key, owner in claims.items() if owner in running}

    @with_fallback(lambda claims, stopped, seconds: None)
    def _take_over(self, claims, stopped, seconds):
        """Delete claims of others, so that the rows can be claimed here; warn."""
        self._connect()
        if not self._read_only:
            with self._transaction() as connection:
                query = "DELETE FROM claims WHERE key = ? AND owner = ?"
                connection.executemany(query, list(claims.items()))
        who = "another process or thread"
        if stopped:
            who = f"the stopped process {', '.join(map(str, stopped))}"
        warnings.warn(
            f"{len(claims)} rows are claimed by {who}, which has written none of them for "
            f"{seconds} seconds. They are computed here.",
            CacheWarning,
            stacklevel=callers_level(),
        )

    # -- called by `_eviction` --------------------------------------------------------------------

    @with_fallback(lambda: (0, 0))
    def n_bytes(self):
        """Return how many bytes are in use, and the size of the file."""
        connection = self._connect()
        return (0, 0) if self._read_only else _sqlite.used_and_total_bytes(connection)

    @with_fallback(lambda n_bytes: None)
    def drop_rows(self, n_bytes):
        """Drop the least recently used rows until `n_bytes` fewer are in use."""
        self._connect()
        if n_bytes <= 0 or self._read_only:
            return
        with self._transaction() as connection:
            goal, parts = _sqlite.used_and_total_bytes(connection)[0] - n_bytes, 1
            (n_rows,) = connection.execute("SELECT count(*) FROM keys").fetchone()
            while n_rows > 0 and (used := _sqlite.used_and_total_bytes(connection)[0]) > goal:
                # A page is free when all its rows are dropped. Old rows may be scattered over
                # many pages, so each round drops more of them than the bytes suggest.
                n = min(n_rows, int(parts * n_rows * (used - goal) / used) + 1)
                old = "SELECT key, id FROM keys ORDER BY used, id LIMIT ?"
                rows = connection.execute(old, (n,)).fetchall()
                connection.executemany("DELETE FROM keys WHERE key = ?", [(k,) for k, _ in rows])
                connection.executemany("DELETE FROM vectors WHERE id = ?", [(i,) for _, i in rows])
                n_rows, parts = n_rows - n, parts * 2
            if n_rows <= 0:
                connection.execute(DROP_ORPHANS)

    @with_fallback(lambda n_bytes: None)
    def truncate(self, n_bytes):
        """Remove unused pages from the file until its size is at most `n_bytes`."""
        connection = self._connect()
        if self._read_only:
            return
        used, size = _sqlite.used_and_total_bytes(connection)
        n_pages = int(min(size - used, max(size - n_bytes, 0))) // _sqlite.PAGE + 1
        if size > max(used, n_bytes):
            # In parts of 256 pages, so that the lock is held briefly and the journal has 4 MiB.
            for _ in range(0, n_pages, 256):
                # Not `execute`, which would remove one page per call.
                connection.executescript("PRAGMA incremental_vacuum(256)")

    def shrink(self, n_bytes):
        """Shrink the file by `n_bytes`, or delete it; return by how many bytes it shrank."""
        used, size = self.n_bytes()
        if n_bytes < used - _EMPTY:
            self.drop_rows(n_bytes - (size - used))
            self.truncate(0)
            return size - self.n_bytes()[1]
        return size if self._remove() else 0

    # -- called by users --------------------------------------------------------------------------

    @with_fallback(lambda: None)
    def info(self):
        """Return the dict of this network for `EmbeddingCache.info`."""
        connection = self._connect()
        if self._n_hits and not self._read_only:
            with self._transaction():
                pass
        (n_rows,) = connection.execute("SELECT count(*) FROM keys").fetchone()
        counts = dict(connection.execute("SELECT name, value FROM counts").fetchall())
        return {
            "fingerprint": self._path.stem,
            "model": model if isinstance(model := counts.get("model"), str) else "",
            "rows": n_rows,
            "bytes": self._path.stat().st_size,
            **{
                name: n if isinstance(n := counts.get(name), int) else 0
                for name in ("hits", "misses")
            },
        }

    @with_fallback(lambda: {"rows": 0, "damaged": 0})
    def verify(self):
        """Check all rows; drop those that are damaged."""
        connection = self._connect()
        check = connection.execute("PRAGMA integrity_check").fetchone()
        if check != ("ok",):
            raise sqlite3.DatabaseError(str(check[0]))
        if self._read_only:
            return self._checked(connection)[0]
        with self._transaction():
            counts, damaged = self._checked(connection)
            connection.execute(f"DELETE FROM keys WHERE {_NO_KEY}")
            connection.executemany("DELETE FROM keys WHERE key = ?", [(key,) for key in damaged])
            connection.execute(DROP_ORPHANS)
        return counts

    def _checked(self, connection):
        """Return the counts of all rows and of damaged rows, and the keys of the latter."""
        (n_invalid,) = connection.execute(f"SELECT count(*) FROM keys WHERE {_NO_KEY}").fetchone()
        rows = connection.execute(f"SELECT key FROM keys WHERE NOT ({_NO_KEY})").fetchall()
        damaged = []
        for start in range(0, len(rows), 1000):
            keys = [key for (key,) in rows[start : start + 1000]]
            intact = self._intact(connection, keys)
            damaged += [key for key in keys if key not in intact]
        return {"rows": n_invalid + len(rows), "damaged": n_invalid + len(damaged)}, damaged


# -- files of this process ------------------------------------------------------------------------

_files = {}
_files_lock = threading.Lock()
_of_parents = []  # files inherited by a fork, kept so that their connections are never closed


def file_at(path):
    """Return the `CacheFile` of a path, the same object for the whole process."""
    with _files_lock:
        return _files.setdefault(str(path), CacheFile(path))


@after_fork_in_child
def _forget_files_of_parent():
    global _files, _files_lock
    _of_parents.append(_files)
    _files, _files_lock = {}, threading.Lock()


@atexit.register
def _flush_at_exit():
    for file in list(_files.values()):
        file.flush()
