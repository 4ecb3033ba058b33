"""Tell whether the process that made a file is still alive, whatever it died of.

The process holds a lock on the file, which the system lets go when the process ends.
"""

import contextlib
import os

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None


class Alive:
    """A file that is locked as long as this process lives.

    Parameters
    ----------
    path : path
        Made new.
    """

    def __init__(self, path):
        self._path = path
        self._handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        _lock(self._handle)

    def forget(self):
        """Let go in a forked child; the parent's lock stays."""
        os.close(self._handle)

    def end(self):
        """Let go and delete the file."""
        with contextlib.suppress(OSError):
            os.unlink(self._path)
        os.close(self._handle)


def is_alive(path):
    """Tell whether the process that made `path` lives; delete the file if not."""
    try:
        handle = os.open(path, os.O_RDWR)
    except (FileNotFoundError, ValueError):  # not there, or not a name
        return False
    except OSError:  # not ours to open, or no handle free
        return True
    try:
        _lock(handle)
    except OSError:
        return True
    finally:
        os.close(handle)
    with contextlib.suppress(OSError):
        os.unlink(path)
    return False


def _lock(handle):
    """Lock an open file, or raise an OSError at once."""
    if fcntl is not None:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    else:
        import msvcrt

        msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
