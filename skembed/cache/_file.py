"""One network's vectors in an SQLite file, shared by processes and runs.

A file's tables: ``vectors`` (a row's value and its checksum, appended), ``keys`` (key -> vector,
hour of last use; small, since a key goes anywhere in it), ``claims`` (keys that a process is
computing), ``counts``. The rollback journal is used, not the write-ahead log, which has a
corruption bug in versions that are still about. ``synchronous=OFF``: a killed process leaves a
whole file, a killed machine may not, and then the checksums tell: a lost or damaged cache costs
time, never a result.
"""

import contextlib
import os
import sqlite3
import threading
import time
import uuid
import warnings
from collections import Counter
from functools import cache, partial
from hashlib import blake2b
from pathlib import Path

from skembed.cache._alive import Alive, is_alive
from skembed.exceptions import CacheWarning

_SCHEMA = """
PRAGMA page_size = 16384;
PRAGMA auto_vacuum = INCREMENTAL;
BEGIN IMMEDIATE;
CREATE TABLE IF NOT EXISTS vectors (id INTEGER PRIMARY KEY, value BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS keys
    (key BLOB PRIMARY KEY, id INTEGER NOT NULL, used INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS claims (key BLOB PRIMARY KEY, owner TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS counts (name TEXT PRIMARY KEY, value) WITHOUT ROWID;
COMMIT;
"""
_DROP_ORPHANS = "DELETE FROM vectors WHERE id NOT IN (SELECT id FROM keys)"
_CHECKSUM_BYTES = 8
_PART = 500  # SQLite before 3.32 takes 999 variables
_BUSY_SECONDS = 60
_POLL_SECONDS = 0.02
_NETWORK_FILE_SYSTEMS = {
    *("nfs", "nfs4", "cifs", "smb3", "smbfs", "afs", "9p", "ceph", "lustre", "gpfs"),
    *("glusterfs", "beegfs", "fuse.sshfs", "fuse.glusterfs", "fuse.ceph"),
}


def _guarded(otherwise):
    """Make a method give `otherwise(*args)` where the file does not work; warn once."""

    def decorate(method):
        def guarded(self, *args):
            with self._lock:
                for _ in range(2):
                    if self._given_up:
                        break
                    try:
                        return method(self, *args)
                    except (sqlite3.Error, OSError, OverflowError, UnicodeError) as error:
                        self._on_error(error)
                return otherwise(*args)

        guarded.__name__, guarded.__doc__ = method.__name__, method.__doc__
        return guarded

    return decorate


class VectorFile:
    """One network's file: a connection of this process, used by one thread at a time."""

    def __init__(self, path):
        self._path = path
        self._lock = threading.RLock()
        self._connection = None
        self._opened = None  # which file the connection is to
        self._given_up = False
        self._n_hits = 0
        self._described = None

    def _on_error(self, error):
        """Start anew after damage; give the file up for this process otherwise. Warn once."""
        moved = self._is_moved()
        self._close()
        if moved:
            return  # what another process deletes is made again, here or there
        if _is_damage(error) and self._remove():
            remedy = "It was deleted, and its rows are computed again."
        else:
            self._given_up = True
            _renounce(self._path)  # nobody is to wait for rows that will not be written
            remedy = "Vectors are computed without it."
        warnings.warn(
            f"The cache {self._path} does not work ({error}). {remedy}", CacheWarning, stacklevel=5
        )

    def _remove(self):
        try:
            self.delete()
        except OSError:
            return False
        return True

    def _close(self):
        if self._connection is not None:
            with contextlib.suppress(sqlite3.Error):
                self._connection.close()
            self._connection = self._described = None

    def _is_moved(self):
        """Tell whether the connection is to a file that is no longer there."""
        return self._connection is not None and _identity(self._path) != self._opened

    def _connected(self):
        if self._is_moved():
            self._close()  # somebody cleared the folder
        if self._connection is None:
            if not self._path.parent.exists():
                self._path.parent.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                self._path.parent.mkdir(mode=0o700, exist_ok=True)
            _warn_of_network_file_system(self._path.parent)
            connection = _connect(self._path)
            try:
                connection.executescript(_SCHEMA)
            except BaseException:
                connection.close()
                raise
            self._connection, self._opened = connection, _identity(self._path)
        return self._connection

    @contextlib.contextmanager
    def _transaction(self):
        connection = self._connected()
        if connection.in_transaction:  # left by an interrupt
            connection.execute("ROLLBACK")
        try:
            connection.execute("BEGIN IMMEDIATE")
            yield connection
            if self._n_hits:
                _count(connection, "hits", self._n_hits)
                self._n_hits = 0
            connection.execute("COMMIT")
        except BaseException:
            with contextlib.suppress(sqlite3.Error):
                connection.execute("ROLLBACK")
            raise

    def _readable(self, connection, keys):
        """Return {key: (value, hour of last use)} of the keys whose rows are whole."""
        found = {}
        query = "SELECT key, value, used FROM keys JOIN vectors USING (id) WHERE key IN"
        for key, value, used in _of_keys(connection, query, keys):
            if (
                isinstance(value, bytes)
                and _checksum(key, value[:-_CHECKSUM_BYTES]) == (value[-_CHECKSUM_BYTES:])
            ):
                found[key] = (value[:-_CHECKSUM_BYTES], used)
        return found

    @_guarded(lambda model: None)
    def describe(self, model):
        """Note the model's name."""
        if model != self._described:
            row = self._connected().execute("SELECT value FROM counts WHERE name = 'model'")
            if row.fetchone() != (model,):
                with self._transaction() as connection:
                    connection.execute("REPLACE INTO counts VALUES ('model', ?)", (model,))
            self._described = model

    @_guarded(lambda keys: [None] * len(keys))
    def read(self, keys):
        """Return what is kept under each key, or None."""
        connection = self._connected()
        found = self._readable(connection, keys)
        hour = int(time.time() // 3600)
        old = [key for key, (_, used) in found.items() if used != hour]
        self._n_hits += len(found)
        if old:  # at most once an hour: reading must not become writing
            with self._transaction():
                connection.executemany(
                    "UPDATE keys SET used = ? WHERE key = ?", [(hour, key) for key in old]
                )
        return [found[key][0] if key in found else None for key in keys]

    @_guarded(lambda keys: [True] * len(keys))
    def claim(self, keys):
        """Claim rows that are neither readable nor claimed by a process that lives."""
        if not keys:
            return []
        with self._transaction() as connection:
            there = self._readable(connection, keys)
            query = "SELECT key, owner FROM claims WHERE key IN"
            claims = list(_of_keys(connection, query, keys))
            me = _me(self._path)
            living = {owner for owner in {o for _, o in claims} if self._lives(owner)}
            # One's own claim was left behind by an interrupt: nobody claims twice.
            taken = {key for key, owner in claims if owner in living and owner != me}
            granted = [key not in there and key not in taken for key in keys]
            connection.executemany(
                "REPLACE INTO claims VALUES (?, ?)",
                [(key, me) for key, mine in zip(keys, granted, strict=True) if mine],
            )
        return granted

    def _lives(self, owner):
        return is_alive(_lock_of(self._path, owner.partition(":")[0]))

    @_guarded(lambda keys, values: None)
    def write(self, keys, values):
        """Keep rows, and end the claims on them."""
        if not keys:
            return
        hour = int(time.time() // 3600)
        with self._transaction() as connection:
            (last,) = connection.execute("SELECT max(id) FROM vectors").fetchone()
            ids = range((last or 0) + 1, (last or 0) + 1 + len(keys))
            connection.executemany(
                "INSERT INTO vectors VALUES (?, ?)",
                [
                    (i, value + _checksum(key, value))
                    for i, key, value in zip(ids, keys, values, strict=True)
                ],
            )
            connection.executemany(
                "REPLACE INTO keys VALUES (?, ?, ?)",
                [(key, i, hour) for i, key in zip(ids, keys, strict=True)],
            )
            self._unclaim(connection, keys)
            _count(connection, "misses", len(keys))

    @_guarded(lambda keys: None)
    def release(self, keys):
        """End claims of this process."""
        if keys:
            with self._transaction() as connection:
                self._unclaim(connection, keys)

    def _unclaim(self, connection, keys):
        me = _me(self._path)
        connection.executemany(
            "DELETE FROM claims WHERE key = ? AND owner = ?", [(key, me) for key in keys]
        )

    def wait(self, keys):
        """Wait until one of the rows is claimed by nobody who lives."""
        while self._all_claimed(keys):
            time.sleep(_POLL_SECONDS)

    @_guarded(lambda keys: False)
    def _all_claimed(self, keys):
        query = "SELECT owner FROM claims WHERE key IN"
        owners = Counter(owner for (owner,) in _of_keys(self._connected(), query, keys))
        owners.pop(_me(self._path), None)
        return sum(n for owner, n in owners.items() if self._lives(owner)) >= len(keys)

    def keep_within(self, max_bytes):
        """Delete what was used longest ago until the folder takes at most `max_bytes`."""
        # Not under this file's lock: the thread that has the other's may be after this one.
        if self._given_up:
            return
        found = {path: _stat(path) for path in self._path.parent.glob("*.sqlite")}
        sizes = {path: stat.st_size for path, stat in found.items() if stat}
        others = sorted(sizes.keys() - {self._path}, key=lambda path: found[path].st_mtime)
        while others and sum(sizes.values()) > max_bytes:
            oldest = others.pop(0)
            file_at(oldest).delete()
            del sizes[oldest]
        if sizes.get(self._path, 0) > max_bytes:
            self._drop_rows(0.9 * max_bytes / sizes[self._path])

    @_guarded(lambda share: None)
    def _drop_rows(self, share):
        """Keep a share of the rows, those used last."""
        with self._transaction() as connection:
            connection.execute(_DROP_ORPHANS)
            (n_rows,) = connection.execute("SELECT count(*) FROM vectors").fetchone()
            n_old = min(n_rows, int(n_rows * (1 - share)) + 1)
            old = "SELECT key, id FROM keys ORDER BY used, id LIMIT ?"
            rows = connection.execute(old, (n_old,)).fetchall()
            connection.executemany("DELETE FROM keys WHERE key = ?", [(k,) for k, _ in rows])
            connection.executemany("DELETE FROM vectors WHERE id = ?", [(i,) for _, i in rows])
        connection.execute("PRAGMA incremental_vacuum").fetchall()

    @_guarded(lambda: None)
    def info(self):
        """Return the file's line of `EmbeddingCache.info`."""
        with self._transaction() as connection:
            (n_rows,) = connection.execute("SELECT count(*) FROM keys").fetchone()
        counts = dict(connection.execute("SELECT name, value FROM counts").fetchall())
        return {
            "fingerprint": self._path.stem,
            "model": counts.get("model", ""),
            "rows": n_rows,
            "bytes": self._path.stat().st_size,
            "hits": counts.get("hits", 0),
            "misses": counts.get("misses", 0),
        }

    @_guarded(lambda: {"rows": 0, "damaged": 0})
    def verify(self):
        """Check all rows; drop those that are not whole."""
        damaged = []
        with self._transaction() as connection:
            check = connection.execute("PRAGMA integrity_check").fetchone()
            if check != ("ok",):
                raise sqlite3.DatabaseError(str(check[0]))
            no_keys = "DELETE FROM keys WHERE typeof(key) <> 'blob' OR length(key) > 64"
            n_rows = n_damaged = connection.execute(no_keys).rowcount
            rows = connection.execute("SELECT key FROM keys").fetchall()
            for start in range(0, len(rows), 1000):
                keys = [key for (key,) in rows[start : start + 1000]]
                whole = self._readable(connection, keys)
                damaged += [key for key in keys if key not in whole]
                n_rows += len(keys)
            connection.executemany("DELETE FROM keys WHERE key = ?", [(key,) for key in damaged])
            connection.execute(_DROP_ORPHANS)
        return {"rows": n_rows, "damaged": n_damaged + len(damaged)}

    def delete(self):
        """Delete the file; raise an OSError if that cannot be done."""
        with self._lock:
            self._close()
            for suffix in ("-journal", ""):  # never the journal of a file made after this one
                Path(f"{self._path}{suffix}").unlink(missing_ok=True)
            self._given_up = False
            self._n_hits = 0

    def flush(self):
        """Write the count of hits when the process ends, if that takes no time; then close."""
        if self._connection is not None and not self._is_moved():
            with contextlib.suppress(sqlite3.Error, OSError):
                self._connection.execute("PRAGMA busy_timeout = 200")  # milliseconds
                if self._n_hits:
                    with self._transaction():
                        pass
        self._close()


def _connect(path):
    connection = sqlite3.connect(
        path, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False
    )
    connection.text_factory = partial(str, encoding="utf-8", errors="replace")  # damage may be text
    connection.execute("PRAGMA synchronous = OFF")
    connection.execute("PRAGMA cache_size = -8192")  # KiB
    return connection


def _is_damage(error):
    """Tell whether a file's content is at fault; if not, it is the disk, the rights or a lock."""
    if isinstance(error, sqlite3.OperationalError):
        return str(error).startswith(("no such table", "no such column", "table "))
    return not isinstance(error, (OSError, sqlite3.ProgrammingError, sqlite3.InterfaceError))


def _stat(path):
    try:
        return os.stat(path)
    except OSError:
        return None


def _identity(path):
    stat = _stat(path)
    return stat and (stat.st_dev, stat.st_ino)


def _count(connection, name, n):
    connection.execute(
        "INSERT INTO counts VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = value + ?",
        (name, n, n),
    )


def _of_keys(connection, query, keys):
    """Yield the rows of a query that ends in ``key IN``, in parts that any SQLite takes."""
    for start in range(0, len(keys), _PART):
        part = keys[start : start + _PART]
        yield from connection.execute(f"{query} ({','.join('?' * len(part))})", part).fetchall()


def _checksum(key, value):
    # Keyed by the row's key: another row's whole value is not taken for this one's.
    return blake2b(value, key=key, digest_size=_CHECKSUM_BYTES).digest()


# -- of the process -------------------------------------------------------------------------------

_files = {}
_owners = {}
_files_lock = threading.Lock()
_left_behind = []


def file_at(path):
    with _files_lock:
        return _files.setdefault(str(path), VectorFile(path))


def _lock_of(path, name):
    return path.with_name(f"{path.stem}.{name}.lock")


def _me(path):
    """Return this thread's name as an owner of claims on a file's rows.

    The part before the colon is the process's, which holds a lock that dies with it.
    """
    with _files_lock:
        if path in _owners and not _lock_of(path, _owners[path][0]).exists():
            _owners.pop(path)[1].end()  # somebody deleted the folder
        if path not in _owners:
            name = uuid.uuid4().hex
            _owners[path] = (name, Alive(_lock_of(path, name)))
        return f"{_owners[path][0]}:{threading.get_ident()}"


def _renounce(path):
    """Give up all claims of this process on a file's rows, without touching the file."""
    with _files_lock:
        if path in _owners:
            _owners.pop(path)[1].end()


def _after_fork():
    # SQLite's connections and locks must not be used, nor closed, on the other side of a fork.
    global _files, _owners, _files_lock
    for _, alive in _owners.values():
        alive.forget()
    _left_behind.append((_files, _owners))
    _files, _owners, _files_lock = {}, {}, threading.Lock()


def _at_exit():
    for file in list(_files.values()):
        file.flush()
    for _, alive in _owners.values():
        alive.end()


@cache
def _warn_of_network_file_system(folder):
    """Warn if a folder is on a network file system; only Linux tells."""
    try:
        with open("/proc/mounts", encoding="utf-8", errors="surrogateescape") as mounts:
            points = [line.split()[1:3] for line in mounts]
    except OSError:
        return
    real = os.path.realpath(folder)
    inside = [(p, kind) for p, kind in points if os.path.commonpath([p, real]) == p]
    if inside and max(inside, key=lambda item: len(item[0]))[1] in _NETWORK_FILE_SYSTEMS:
        import tempfile

        local = os.path.join(tempfile.gettempdir(), "skembed")
        warnings.warn(
            f"The cache folder {folder} is on a network file system, whose locks are not to be "
            f"relied on. Use a local one, for instance EmbeddingCache({local!r}).",
            CacheWarning,
            stacklevel=8,
        )


def _register():
    import atexit

    atexit.register(_at_exit)
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=_after_fork)


_register()
