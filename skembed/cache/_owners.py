"""Who claims rows: this process, under one name for each folder, as long as it lives."""

import atexit
import re
import threading

from skembed.base._fork import after_fork_in_child
from skembed.cache._alive import Alive, is_alive, lock_path, stopped_process

_owners = {}
_lock = threading.Lock()
_left_behind = []


def me(folder):
    """Return this thread's name as an owner of claims in a folder.

    The part before the colon is the process's, which holds a lock that dies with it.
    """
    with _lock:
        if folder in _owners and not _owners[folder].exists():
            _owners.pop(folder).end()  # somebody deleted the folder
        if folder not in _owners:
            _owners[folder] = Alive(folder)
        return f"{_owners[folder].name}:{threading.get_ident()}"


def renounce(folder):
    """Give up all claims of this process in a folder, without touching its files."""
    with _lock:
        if folder in _owners:
            _owners.pop(folder).end()


def lives(folder, owner):
    """Tell whether an owner of claims is a process that lives; what is no owner's name is not."""
    path = _path(folder, owner)
    return path is not None and is_alive(path)


def stopped(folder, owner):
    """Return the number of the process that is an owner if it is stopped, else None."""
    path = _path(folder, owner)
    return path and stopped_process(path)


def _path(folder, owner):
    match = re.fullmatch(r"([0-9a-f]{32}):\d+", owner) if isinstance(owner, str) else None
    return match and lock_path(folder, match[1])


@after_fork_in_child
def _after_fork():
    global _lock
    for alive in _owners.values():
        alive.forget()
    _left_behind.append(dict(_owners))
    _owners.clear()
    _lock = threading.Lock()


def _at_exit():
    for folder in list(_owners):
        renounce(folder)


atexit.register(_at_exit)
