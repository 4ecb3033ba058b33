"""One network's vectors in an SQLite file, shared by processes and runs; see `_sqlite`."""

import atexit
import contextlib
import os
import sqlite3
import threading
import time
import warnings

from skembed.base._fork import after_fork_in_child
from skembed.cache import _owners, _sqlite
from skembed.cache._connection import ConnectedFile, guarded
from skembed.cache._sqlite import CHECKSUM_BYTES, DROP_ORPHANS, of_keys
from skembed.exceptions import CacheWarning

_POLL_SECONDS = 0.02
# Claims that do not change for so long are taken over: of a stopped process, of any process.
_STOPPED_SECONDS = 10
_STUCK_SECONDS = 600
_TOUCH_SECONDS = 20  # a file that is only read is marked as used so often
_EMPTY = 8 * _sqlite.PAGE  # bytes of a file without rows, at most
_NO_KEY = "typeof(key) <> 'blob' OR length(key) > 64"  # damage made it something else
_checksum = _sqlite.checksum


class VectorFile(ConnectedFile):
    """One network's file: a connection of this process, used by one thread at a time."""

    def _readable(self, connection, keys):
        """Return {key: (value, last use)} of the keys whose rows are whole."""
        found = {}
        query = "SELECT key, value, used FROM keys JOIN vectors USING (id) WHERE key IN"
        for key, value, used in of_keys(connection, query, keys):
            if (
                isinstance(value, bytes)
                and _checksum(key, value[:-CHECKSUM_BYTES]) == value[-CHECKSUM_BYTES:]
            ):
                found[key] = (value[:-CHECKSUM_BYTES], used)
        return found

    @guarded(lambda model: None)
    def describe(self, model):
        """Note the model's name."""
        if model != self._described:
            row = self._use().execute("SELECT value FROM counts WHERE name = 'model'")
            if row.fetchone() != (model,) and not self._read_only:
                with self._transaction() as connection:
                    connection.execute("REPLACE INTO counts VALUES ('model', ?)", (model,))
            self._described = model

    @guarded(lambda keys, max_bytes=None: [None] * len(keys))
    def read(self, keys, max_bytes=None):
        """Return what is kept under each key, or None; note the use where a limit is near."""
        connection = self._use()
        found = self._readable(connection, keys)
        if found and not self._read_only:
            self._touch()
            if max_bytes is not None and self._path.stat().st_size > max_bytes / 4:
                self._note_use(connection, found)
        self._n_hits += len(found)
        return [found[key][0] if key in found else None for key in keys]

    def _touch(self):
        """Mark the file as used: the file used longest ago goes first."""
        if time.monotonic() - self._touched > _TOUCH_SECONDS:
            self._touched = time.monotonic()
            with contextlib.suppress(OSError):
                os.utime(self._path)

    def _note_use(self, connection, found):
        """Note that rows were used, unless they were when few of the rows had not been written.

        So a row is noted a few times while all rows are replaced: reading must not become writing.
        """
        last = _sqlite.last_id(connection)
        value, _ = next(iter(found.values()))
        recent = last - _sqlite.bytes_of(connection)[0] / _sqlite.row_bytes(len(value)) / 8
        old = [k for k, (_, used) in found.items() if not isinstance(used, int) or used < recent]
        if old:
            with self._transaction():
                connection.executemany(
                    "UPDATE keys SET used = ? WHERE key = ?", [(last, key) for key in old]
                )

    @guarded(lambda keys: [True] * len(keys))
    def claim(self, keys):
        """Claim rows that are neither readable nor claimed by a process that lives."""
        if not keys:
            return []
        connection = self._use()
        if self._read_only:
            there = self._readable(connection, keys)
            return [key not in there for key in keys]
        with self._transaction():
            there = self._readable(connection, keys)
            claims = list(of_keys(connection, "SELECT key, owner FROM claims WHERE key IN", keys))
            me = _owners.me(self._folder)
            living = {o for o in {o for _, o in claims} if _owners.lives(self._folder, o)}
            # One's own claim was left behind by an interrupt: nobody claims twice.
            taken = {key for key, owner in claims if owner in living and owner != me}
            granted = [key not in there and key not in taken for key in keys]
            connection.executemany(
                "REPLACE INTO claims VALUES (?, ?)",
                [(key, me) for key, mine in zip(keys, granted, strict=True) if mine],
            )
        return granted

    @guarded(lambda keys, values: None)
    def write(self, keys, values):
        """Keep rows, and end the claims on them."""
        self._use()
        if not keys or self._read_only:
            return
        with self._transaction() as connection:
            first = _sqlite.last_id(connection) + 1
            ids = range(first, first + len(keys))
            replaced = list(of_keys(connection, "SELECT id FROM keys WHERE key IN", keys))
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
            if replaced:  # damage may have made them other rows' vectors, too
                orphan = "DELETE FROM vectors WHERE id = ? AND id NOT IN (SELECT id FROM keys)"
                connection.executemany(orphan, replaced)
            self._unclaim(connection, keys)
            _sqlite.count(connection, "misses", len(keys))

    @guarded(lambda keys: None)
    def release(self, keys):
        """End claims of this process."""
        self._use()
        if keys and not self._read_only:
            with self._transaction() as connection:
                self._unclaim(connection, keys)

    def _unclaim(self, connection, keys):
        me = _owners.me(self._folder)
        connection.executemany(
            "DELETE FROM claims WHERE key = ? AND owner = ?", [(key, me) for key in keys]
        )

    def wait(self, keys):
        """Wait until one of the rows is claimed by nobody who lives; take over if nothing moves."""
        seen, since = None, 0.0
        while len(claims := self._claims_of_others(keys)) == len(set(keys)) > 0:
            now = time.monotonic()
            if claims != seen:
                seen, since = claims, now
            if now - since > _STOPPED_SECONDS:
                owners = set(claims.values())
                stopped = {_owners.stopped(self._folder, owner) for owner in owners}
                if None not in stopped or now - since > _STUCK_SECONDS:
                    self._take_over(claims, sorted(stopped - {None}), round(now - since))
                    return
            time.sleep(_POLL_SECONDS)

    @guarded(lambda keys: {})
    def _claims_of_others(self, keys):
        """Return {key: owner} of the claims of others who live."""
        query = "SELECT key, owner FROM claims WHERE key IN"
        claims = {} if self._read_only else dict(of_keys(self._use(), query, keys))
        owners = set(claims.values()) - {_owners.me(self._folder)} if claims else set()
        living = {owner for owner in owners if _owners.lives(self._folder, owner)}
        return {key: owner for key, owner in claims.items() if owner in living}

    @guarded(lambda claims, stopped, seconds: None)
    def _take_over(self, claims, stopped, seconds):
        """Delete claims of others, so that the rows can be claimed here; say so."""
        self._use()
        if not self._read_only:
            with self._transaction() as connection:
                query = "DELETE FROM claims WHERE key = ? AND owner = ?"
                connection.executemany(query, list(claims.items()))
        who = "another process or thread"
        if stopped:
            who = f"process {', '.join(map(str, stopped))}, which is stopped"
        warnings.warn(
            f"{len(claims)} rows were being computed by {who}, and nothing has come of it for "
            f"{seconds} seconds. They are computed here.",
            CacheWarning,
            stacklevel=5,
        )

    # -- keeping within a limit, see `_eviction` --------------------------------------------------

    @guarded(lambda: (0, 0))
    def n_bytes(self):
        """Return how many bytes are in use, and how many the file has."""
        connection = self._use()
        return (0, 0) if self._read_only else _sqlite.bytes_of(connection)

    @guarded(lambda n_bytes: None)
    def drop_rows(self, n_bytes):
        """Drop the rows used longest ago until `n_bytes` more of the file are not in use."""
        self._use()
        if n_bytes <= 0 or self._read_only:
            return
        with self._transaction() as connection:
            goal, parts = _sqlite.bytes_of(connection)[0] - n_bytes, 1
            (n_rows,) = connection.execute("SELECT count(*) FROM keys").fetchone()
            while n_rows > 0 and (used := _sqlite.bytes_of(connection)[0]) > goal:
                # Rows that lie scattered free few pages: each time more of them are taken.
                n = min(n_rows, int(parts * n_rows * (used - goal) / used) + 1)
                old = "SELECT key, id FROM keys ORDER BY used, id LIMIT ?"
                rows = connection.execute(old, (n,)).fetchall()
                connection.executemany("DELETE FROM keys WHERE key = ?", [(k,) for k, _ in rows])
                connection.executemany("DELETE FROM vectors WHERE id = ?", [(i,) for _, i in rows])
                n_rows, parts = n_rows - n, parts * 2
            if n_rows <= 0:
                connection.execute(DROP_ORPHANS)

    @guarded(lambda n_bytes: None)
    def truncate(self, n_bytes):
        """Give unused bytes back to the disk as long as the file is larger than `n_bytes`."""
        connection = self._use()
        if self._read_only:
            return
        used, size = _sqlite.bytes_of(connection)
        n_pages = int(min(size - used, max(size - n_bytes, 0))) // _sqlite.PAGE + 1
        if size > max(used, n_bytes):
            for _ in range(0, n_pages, 256):  # a lock held for a moment, a journal of 4 MiB
                # Not `execute`, which frees one page a call.
                connection.executescript("PRAGMA incremental_vacuum(256)")

    def shrink(self, n_bytes):
        """Make the file smaller by `n_bytes`, or delete it; return by how much it is smaller."""
        used, size = self.n_bytes()
        if n_bytes < used - _EMPTY:
            self.drop_rows(n_bytes - (size - used))
            self.truncate(0)
            return size - self.n_bytes()[1]
        return size if self._remove() else 0

    # -- what a person calls ----------------------------------------------------------------------

    @guarded(lambda: None)
    def info(self):
        """Return the file's line of `EmbeddingCache.info`."""
        connection = self._use()
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

    @guarded(lambda: {"rows": 0, "damaged": 0})
    def verify(self):
        """Check all rows; drop those that are not whole."""
        connection = self._use()
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
        """Return the counts of all rows and of damaged ones, and the keys of the latter."""
        (n_odd,) = connection.execute(f"SELECT count(*) FROM keys WHERE {_NO_KEY}").fetchone()
        rows = connection.execute(f"SELECT key FROM keys WHERE NOT ({_NO_KEY})").fetchall()
        damaged = []
        for start in range(0, len(rows), 1000):
            keys = [key for (key,) in rows[start : start + 1000]]
            whole = self._readable(connection, keys)
            damaged += [key for key in keys if key not in whole]
        return {"rows": n_odd + len(rows), "damaged": n_odd + len(damaged)}, damaged


# -- of the process -------------------------------------------------------------------------------

_files = {}
_files_lock = threading.Lock()
_left_behind = []


def file_at(path):
    """Return the process's `VectorFile` of a path."""
    with _files_lock:
        return _files.setdefault(str(path), VectorFile(path))


@after_fork_in_child
def _after_fork():
    global _files, _files_lock
    _left_behind.append(_files)
    _files, _files_lock = {}, threading.Lock()


def _at_exit():
    for file in list(_files.values()):
        file.flush()


atexit.register(_at_exit)
