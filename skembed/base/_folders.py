"""Folders and files that skembed writes: under another name first, and warnings about unsafe ones.

Imports `_warnings`.
"""

import contextlib
import os
import shutil
import stat
import uuid
import warnings
from functools import cache
from pathlib import Path

from skembed.base._warnings import callers_level

_NETWORK_FILE_SYSTEMS = {
    *("nfs", "nfs4", "cifs", "smb3", "smbfs", "afs", "9p", "ceph", "lustre", "gpfs"),
    *("glusterfs", "beegfs", "fuse.sshfs", "fuse.glusterfs", "fuse.ceph"),
}


def check_empty(folder):
    """Raise a FileExistsError unless a folder is empty or does not exist.

    Parameters
    ----------
    folder : pathlib.Path
        The folder to be written.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise FileExistsError(f"{folder} is not an empty folder.")


@contextlib.contextmanager
def written_aside(folder, mode=0o777):
    """Write a folder under a temporary name beside it, and rename it at the end; a context manager.

    Nobody sees a half-written folder. If the block fails, nothing is left behind.

    Parameters
    ----------
    folder : str or path
        Must not exist yet, or be empty. Missing parents are created.
    mode : int, default=0o777
        Permissions of the folder, before the process's umask is applied.

    Yields
    ------
    aside : pathlib.Path
        The folder to write to.

    Raises
    ------
    FileExistsError
        If `folder` contains files, or is itself a file.

    Examples
    --------
    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp()) / "model"
    >>> with written_aside(folder) as aside:
    ...     _ = (aside / "config.json").write_text("{}")
    ...     folder.exists()
    False
    >>> [path.name for path in folder.iterdir()]
    ['config.json']
    """
    folder = Path(folder)
    check_empty(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    aside = folder.with_name(f".{folder.name}.{uuid.uuid4().hex}")
    aside.mkdir(mode=mode)
    try:
        yield aside
        if folder.exists():  # empty; Windows renames no folder to an existing one
            folder.rmdir()
        aside.rename(folder)
    finally:
        shutil.rmtree(aside, ignore_errors=True)


@contextlib.contextmanager
def written_whole(path):
    """Write a file under a temporary name beside it, and rename it at the end; a context manager.

    Nobody sees a half-written file. If the block fails, nothing is left behind, and an existing
    file keeps its content.

    Parameters
    ----------
    path : str or path
        The file. An existing one is replaced.

    Yields
    ------
    file : file object
        Open for writing bytes.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "vectors.txt"
    >>> with written_whole(path) as file:
    ...     _ = file.write(b"cat 1 0")
    ...     path.exists()
    False
    >>> path.read_text()
    'cat 1 0'
    """
    path = Path(path)
    aside = path.with_name(f".{uuid.uuid4().hex}.part")  # short, whatever the name of the file
    try:
        with open(aside, "xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())  # a full disk is an error before the file is replaced
        os.replace(aside, path)
    except BaseException:
        with contextlib.suppress(OSError):
            aside.unlink()
        raise


@cache
def warn_of_network_file_system(folder, category):
    """Warn, once per process, if a folder is on a network file system.

    Nothing is done on systems other than Linux.

    Parameters
    ----------
    folder : str
        The folder.
    category : type
        The class of the warning.
    """
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
            f"The cache folder {folder} is on a network file system, whose locks are unreliable. "
            f"Use a local folder, for instance EmbeddingCache({local!r}).",
            category,
            stacklevel=callers_level(),
        )


@cache
def warn_if_others_may_write(folder, category):
    """Warn, once per process, if other users may write to a folder or its parent.

    Parameters
    ----------
    folder : str
        A folder inside the folder that the user chose.
    category : type
        The class of the warning.
    """
    outer = os.path.dirname(folder)
    try:
        mode = os.stat(outer).st_mode
    except OSError:
        return
    if os.name != "posix" or not mode & (stat.S_IXGRP | stat.S_IXOTH):
        return  # other systems do not tell; or other users cannot enter the folder
    # If the sticky bit is set, as for /tmp, other users cannot replace the inner folder.
    for path in (folder,) if mode & stat.S_ISVTX else (outer, folder):
        who = _other_writers(path)
        if who:
            warnings.warn(
                f"The folder {path} may be written by {who}, who can change the vectors that are "
                f"read from it. Use a folder of your own, or run: chmod go-w {path!r}",
                category,
                stacklevel=callers_level(),
            )
            return


def _other_writers(path):
    """Return which other users may write to a folder, None if there are none."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    user = os.geteuid()
    if found.st_mode & stat.S_IWOTH:
        return "everybody"
    # By convention, a group with the number of the user contains no other user; umask 002 relies
    # on that.
    if found.st_mode & stat.S_IWGRP and found.st_gid != user:
        return f"the group {found.st_gid}"
    if found.st_uid not in (0, user) and user != 0:
        return f"its owner, the user {found.st_uid}"
    return None
