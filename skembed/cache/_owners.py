"""Owners of claims: names of threads, and whether their processes are still running.

A process has one name in each folder. It is the name of a lock file, which the process keeps locked
as long as it runs. Imports `base` and `_process_lock`.
"""

import atexit
import re
import threading

from skembed.base._fork import after_fork_in_child
from skembed.cache._process_lock import ProcessLock, is_locked, lock_path, stopped_process

_locks = {}  # folder -> the lock of this process
_lock = threading.Lock()
_of_parents = []  # locks inherited by a fork, kept so that nothing closes them a second time


def this_thread(folder):
    """Return the name of the calling thread as an owner of claims in a folder.

    It is the name of the process's lock, a colon and the number of the thread.
    """
    with _lock:
        if folder in _locks and not _locks[folder].exists():
            _locks.pop(folder).release()  # the folder was deleted
        if folder not in _locks:
            _locks[folder] = ProcessLock(folder)
        return f"{_locks[folder].name}:{threading.get_ident()}"


def release_all(folder):
    """Let all claims of this process in a folder lapse, without access to its vector files."""
    with _lock:
        if folder in _locks:
            _locks.pop(folder).release()


def is_running(folder, owner):
    """Tell whether the process of an owner is running; False if `owner` is not a valid name."""
    path = _lock_path_of(folder, owner)
    return path is not None and is_locked(path)


def stopped_process_of(folder, owner):
    """Return the number of an owner's process if it is stopped, else None."""
    path = _lock_path_of(folder, owner)
    return path and stopped_process(path)


def _lock_path_of(folder, owner):
    match = re.fullmatch(r"([0-9a-f]{32}):\d+", owner) if isinstance(owner, str) else None
    return match and lock_path(folder, match[1])


@after_fork_in_child
def _forget_locks_of_parent():
    global _lock
    for lock in _locks.values():
        lock.close_in_child()
    _of_parents.append(dict(_locks))
    _locks.clear()
    _lock = threading.Lock()


@atexit.register
def _release_at_exit():
    for folder in list(_locks):
        release_all(folder)
