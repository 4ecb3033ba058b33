"""The connection of this process to an SQLite file, and the handling of errors.

A damaged file is deleted and created again. If a file cannot be written (permissions, a full disk),
it is only read. After any other error this process stops using it. Each case causes one warning;
results do not change. Imports `base`, `exceptions`, `_owners` and `_sqlite`.
"""

import contextlib
import sqlite3
import threading
import time
import warnings
from functools import cache
from pathlib import Path

from skembed.base._files import shortened
from skembed.base._folders import warn_if_others_may_write, warn_of_network_file_system
from skembed.base._fork import after_fork_in_child
from skembed.base._warnings import callers_level
from skembed.cache import _owners, _sqlite
from skembed.exceptions import CacheWarning

_BUSY_SECONDS = 60
_MAX_CONNECTIONS = 16  # per process; each is an open file
_REMEDY = (
    "Free disk space, obtain the permission to write there, or choose another folder: "
    "EmbeddingCache(folder) or skembed.set_config(cache_folder=folder)."
)


def with_fallback(fallback):
    """Make a method return ``fallback(*args)`` if the file does not work; a decorator.

    The method runs under the lock of the file. It may run again after an error, so it must not
    change the object before its last access to the file.
    """

    def decorate(method):
        def attempted(self, *args):
            with self._lock:
                for _ in range(3):  # as it is; after it was created again; read only
                    if self._disabled:
                        break
                    try:
                        return method(self, *args)
                    except (sqlite3.Error, OSError, OverflowError, UnicodeError) as error:
                        self._on_error(error)
                return fallback(*args)

        attempted.__name__, attempted.__doc__ = method.__name__, method.__doc__
        return attempted

    return decorate


class ConnectedFile:
    """An SQLite file with one connection of this process, used by one thread at a time.

    Parameters
    ----------
    path : pathlib.Path
        The file; it is created when it is first used.
    """

    def __init__(self, path):
        self._path = path
        self._folder = path.parent
        self._lock = threading.RLock()
        self._connection = None
        self._opened = None  # identity of the file that the connection is to
        self._reset()

    def _reset(self):
        self._disabled = False
        self._read_only = False
        self._n_hits = 0
        self._described = None
        self._touched = time.monotonic()

    def _on_error(self, error):
        """Decide how the file is used after an error, and warn once."""
        replaced = self._was_replaced()
        self._close()
        if replaced:
            return  # another process deleted the file, which caused the error: try again
        if _sqlite.is_damage(error) and self._remove():
            self._warn(error, "It was deleted, and its rows are computed again.")
            return
        _owners.release_all(self._folder)  # nobody shall wait for rows that will not be written
        if not self._read_only and self._is_readable(error):
            self._read_only = True
            _warn_read_only(str(self._folder), str(error))
        else:
            self._disabled = True
            self._warn(error, f"Vectors are computed without it. {_REMEDY}")

    def _warn(self, error, remedy):
        # strerror, if there is one: it leaves out the path, which may be very long.
        reason = getattr(error, "strerror", None) or error
        warnings.warn(
            f"The cache {shortened(str(self._path), 200)} does not work ({reason}). {remedy}",
            CacheWarning,
            stacklevel=callers_level(),
        )

    def _is_readable(self, error):
        """Tell whether the file can still be read after an error."""
        if "locked" in str(error) or _sqlite.identity(self._path) is None:
            return False
        with contextlib.suppress(sqlite3.Error, OSError):
            connection = _sqlite.connect(self._path, read_only=True, busy_seconds=1)
            try:
                connection.execute("SELECT count(*) FROM counts").fetchone()
            finally:
                connection.close()
            return True
        return False

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
            with _connected_lock:
                _connected.pop(self, None)

    def _was_replaced(self):
        """Tell whether the connection is to a file that was deleted or replaced."""
        return self._connection is not None and _sqlite.identity(self._path) != self._opened

    def _open(self):
        if not self._folder.exists():
            self._folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._folder.mkdir(mode=0o700, exist_ok=True)
        warn_of_network_file_system(str(self._folder), CacheWarning)
        warn_if_others_may_write(str(self._folder), CacheWarning)
        connection = _sqlite.connect(
            self._path, read_only=self._read_only, busy_seconds=_BUSY_SECONDS
        )
        try:
            if not self._read_only:
                connection.executescript(_sqlite.SCHEMA)
        except BaseException:
            connection.close()
            raise
        return connection

    def _connect(self):
        """Return the connection; open it if there is none, or the file was replaced."""
        if self._was_replaced():
            self._close()
        if self._connection is None:
            self._connection = self._open()
            self._opened = _sqlite.identity(self._path)
            _close_others(self)
        return self._connection

    @contextlib.contextmanager
    def _transaction(self):
        """Return the context of a transaction; its value is the connection."""
        connection = self._connect()
        if connection.in_transaction:  # left by an interrupt
            connection.execute("ROLLBACK")
        try:
            connection.execute("BEGIN IMMEDIATE")
            yield connection
            if self._n_hits:
                _sqlite.count(connection, "hits", self._n_hits)
                self._n_hits = 0
            connection.execute("COMMIT")
        except BaseException:
            if self._connection is connection:  # else a child that was forked inside the block
                with contextlib.suppress(sqlite3.Error):
                    connection.execute("ROLLBACK")
            raise

    def delete(self):
        """Delete the file; raise an OSError if it cannot be deleted."""
        with self._lock:
            self._close()
            # The journal first: later it might belong to a new file of another process.
            for suffix in ("-journal", ""):
                Path(f"{self._path}{suffix}").unlink(missing_ok=True)
            self._reset()

    def flush(self):
        """Write the count of hits, unless the file is locked for long; close the connection."""
        if self._connection is not None and not self._was_replaced():
            with contextlib.suppress(sqlite3.Error, OSError):
                self._connection.execute("PRAGMA busy_timeout = 200")  # milliseconds
                if self._n_hits and not self._read_only:
                    with self._transaction():
                        pass
        self._close()


# -- connections of this process ------------------------------------------------------------------

_connected = {}  # files that have a connection, the oldest first; the values are not used
_connected_lock = threading.Lock()


def _close_others(file):
    """Close the oldest connections above the limit, unless they are in use."""
    with _connected_lock:
        _connected[file] = True
        others = list(_connected)[:-_MAX_CONNECTIONS]
    for other in others:
        if other._lock.acquire(blocking=False):
            try:
                other.flush()
            finally:
                other._lock.release()


@cache
def _warn_read_only(folder, reason):
    warnings.warn(
        f"The cache in {folder} cannot be written ({reason}). Its vectors are read, and new "
        f"vectors are not kept. {_REMEDY}",
        CacheWarning,
        stacklevel=callers_level(),
    )


@after_fork_in_child
def _forget_connections_of_parent():
    # A child must neither use nor close the connections of its parent: closing one inside a
    # transaction would roll back the parent's transaction.
    global _connected, _connected_lock
    for file in _connected:
        _sqlite.keep_open(file._connection)
        file._connection = None
    _connected, _connected_lock = {}, threading.Lock()
