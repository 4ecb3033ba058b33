"""Tell whether the process that made a file is still alive, whatever it died of.

The process holds a lock on the file, which the system releases when the process ends.
"""

import contextlib
import os
import uuid
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]


class Alive:
    """A file that is locked as long as this process lives.

    The lock files of processes that have died are deleted.

    Parameters
    ----------
    folder : path
        Where the file is made.

    Attributes
    ----------
    name : str
        Names the file, see `lock_path`.
    """

    def __init__(self, folder):
        for path in Path(folder).glob("*.lock"):
            is_alive(path)
        while not self._made(folder):
            pass  # another process deleted the file before it was locked

    def _made(self, folder):
        self.name = uuid.uuid4().hex
        self._path = lock_path(folder, self.name)
        self._handle = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            os.write(self._handle, str(os.getpid()).encode())
            _lock(self._handle)
        except BlockingIOError:
            pass
        except BaseException:
            self.end()
            raise
        else:
            if os.fstat(self._handle).st_nlink:
                return True
        os.close(self._handle)
        return False

    def exists(self):
        """Tell whether the file is still there."""
        return self._path.exists()

    def forget(self):
        """Let go in a forked child; the parent's lock stays."""
        os.close(self._handle)

    def end(self):
        """Let go and delete the file."""
        with contextlib.suppress(OSError):
            os.unlink(self._path)
        os.close(self._handle)


def lock_path(folder, name):
    """Return the path of the lock file called `name`."""
    return Path(folder) / f"{name}.lock"


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
        with contextlib.suppress(OSError):
            os.unlink(path)  # under the lock: who made it meanwhile sees that it is gone
    except OSError:
        return True
    finally:
        os.close(handle)
    if fcntl is None:  # Windows deletes no file that is open
        with contextlib.suppress(OSError):
            os.unlink(path)
    return False


def stopped_process(path):
    """Return the number of the process that made `path` if it is stopped, as by Ctrl-Z.

    Only Linux tells.
    """
    try:
        number = int(Path(path).read_text())
        state = Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[0]
    except (OSError, ValueError, IndexError):
        return None
    return number if state in "Tt" else None


def _lock(handle):
    """Lock an open file, or raise an OSError at once."""
    if fcntl is not None:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    else:
        import msvcrt

        os.lseek(handle, 0, os.SEEK_SET)
        msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
