"""Lock files that tell whether the process that made them is still running.

A process holds a lock on its file. The system releases the lock when the process ends, whatever
ended it. Imports nothing of skembed.
"""

import contextlib
import os
import uuid
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]


class ProcessLock:
    """A file that stays locked as long as this process runs.

    Creating one deletes the lock files of processes that have ended.

    Parameters
    ----------
    folder : path
        The folder of the file.

    Attributes
    ----------
    name : str
        Name of the lock, see `lock_path`.
    """

    def __init__(self, folder):
        for path in Path(folder).glob("*.lock"):
            is_locked(path)
        while not self._create(folder):
            pass  # another process deleted the file before it was locked

    def _create(self, folder):
        self.name = uuid.uuid4().hex
        self._path = lock_path(folder, self.name)
        self._handle = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            os.write(self._handle, str(os.getpid()).encode())
            _lock(self._handle)
        except BlockingIOError:
            pass
        except BaseException:
            self.release()
            raise
        else:
            if os.fstat(self._handle).st_nlink:
                return True
        os.close(self._handle)
        return False

    def exists(self):
        """Tell whether the file still exists."""
        return self._path.exists()

    def close_in_child(self):
        """Close the file in a forked child; the parent keeps its lock."""
        os.close(self._handle)

    def release(self):
        """Delete the file and release the lock."""
        with contextlib.suppress(OSError):
            os.unlink(self._path)
        os.close(self._handle)


def lock_path(folder, name):
    """Return the path of the lock file called `name`."""
    return Path(folder) / f"{name}.lock"


def is_locked(path):
    """Tell whether the process that made a lock file is running; delete the file if not."""
    try:
        handle = os.open(path, os.O_RDWR)
    except (FileNotFoundError, ValueError):  # no such file, or a name that no file can have
        return False
    except OSError:  # no permission to open it, or too many open files
        return True
    try:
        _lock(handle)
        with contextlib.suppress(OSError):
            os.unlink(path)  # while it is locked: a process that is creating it notices this
    except OSError:
        return True
    finally:
        os.close(handle)
    if fcntl is None:  # Windows cannot delete open files
        with contextlib.suppress(OSError):
            os.unlink(path)
    return False


def stopped_process(path):
    """Return the number of the process that made a lock file if it is stopped, as by Ctrl-Z.

    Else return None, also on systems other than Linux.
    """
    try:
        number = int(Path(path).read_text())
        state = Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[0]
    except (OSError, ValueError, IndexError):
        return None
    return number if state in "Tt" else None


def _lock(handle):
    """Lock an open file; raise an OSError if it is locked already."""
    if fcntl is not None:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    else:
        import msvcrt

        os.lseek(handle, 0, os.SEEK_SET)
        msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
