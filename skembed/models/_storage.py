"""Choose the folders of networks that skembed writes: exports, random weights, conversions.

Imports only `_config`, `base` and `exceptions`.
"""

import errno
import os
import shutil
import tempfile
import warnings
from functools import cache
from pathlib import Path

from filelock import FileLock

from skembed._config import get_config
from skembed.base._folders import warn_if_others_may_write, written_aside
from skembed.base._progress import step
from skembed.base._warnings import callers_level
from skembed.exceptions import CacheWarning, RuntimeFallbackWarning

_scratch_folders = []
_MIN_FREE = 32 * 2**20  # bytes of free space that a network requires at least
_COPIES = 2.2  # free space of an export, in sizes of its weights: they are written twice
_PROBE = bytes(2**16)  # written to a folder to test whether it is writable


def kept_folder(name, complete, weights=None):
    """Return the folder of a network under the cache folder; it may not exist.

    If the cache folder is not writable, or its disk is full, the folder is in a temporary folder of
    this process.

    Parameters
    ----------
    name : str
        Name that identifies the content of the network.
    complete : str
        Name of the file that is written last. If it exists, the network is only read.
    weights : path, default=None
        A folder or an ``.onnx`` file whose weights will be exported; it determines the required
        space.

    Returns
    -------
    folder : pathlib.Path

    Raises
    ------
    OSError
        If the disk of the temporary folder is full, too.
    """
    chosen = get_config()["cache_folder"]
    networks = Path(chosen) / "networks"
    warn_if_others_may_write(str(networks), CacheWarning)
    existing = _existing(chosen, name, complete)
    if existing is not None:
        return existing
    n_bytes = _required(weights)
    problem = _problem(chosen) or _lack_of_space(networks.parent, n_bytes)
    if problem is None:
        return networks / name
    _warn(chosen, problem)
    scratch = _scratch_for(chosen)
    lack = _lack_of_space(scratch, n_bytes)
    if lack:
        raise OSError(
            errno.ENOSPC,
            f"The network cannot be stored in {chosen} ({problem}) nor in {scratch} ({lack}). Free "
            "some space, or choose a folder on another disk with "
            "skembed.set_config(cache_folder=folder)",
        )
    return scratch / "networks" / name


def written_once(name, write, title):
    """Return the folder of a network with ``config.json``; write it if it does not exist.

    Parameters
    ----------
    name : str
        Name that identifies the content of the network.
    write : callable
        Called with an empty folder to write to. Other processes wait meanwhile.
    title : str
        What it does, for `step`.

    Returns
    -------
    folder : pathlib.Path
    """
    folder = kept_folder(name, "config.json")
    if not folder.exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{folder}.lock"):
            if not folder.exists():
                with step(title), written_aside(folder, mode=0o700) as aside:
                    write(aside)
    return folder


def _existing(chosen, name, complete):
    """Return the folder of a network that was written before, None if there is none."""
    folders = [Path(chosen), *([_fallbacks[chosen]] if chosen in _fallbacks else [])]
    candidates = [folder / "networks" / name for folder in folders]
    # `Path.exists` raises an error if the name is too long.
    return next((path for path in candidates if os.path.exists(path / complete)), None)


def scratch_folder():
    """Return a new temporary folder, which is deleted when the process ends."""
    scratch = tempfile.TemporaryDirectory(prefix="skembed-")
    _scratch_folders.append(scratch)
    return Path(scratch.name)


_fallbacks = {}  # cache folder -> temporary folder that replaces it


def _scratch_for(folder):
    if folder not in _fallbacks:
        _fallbacks[folder] = scratch_folder()
    return _fallbacks[folder]


def _required(weights):
    """Return the free space in bytes that an export of a folder's weights requires."""
    if weights is None:
        return _MIN_FREE
    weights = Path(weights)
    files = weights.glob("*.safetensors")
    if weights.suffix == ".onnx" and not weights.is_dir():  # and, beside it, model.onnx_data
        files = weights.parent.glob(f"{weights.name}*")
    sizes = [path.stat().st_size for path in files]
    return max(_MIN_FREE, int(_COPIES * sum(sizes)))


@cache
def _problem(folder):
    """Return why a folder is not writable, None if it is."""
    folder = Path(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with tempfile.TemporaryFile(dir=folder, buffering=0) as file:
            file.write(_PROBE)
    except OSError as error:
        return error.strerror or str(error)
    return None


def _lack_of_space(folder, n_bytes):
    """Return a message if the disk of a folder has less than `n_bytes` bytes, else None."""
    try:
        free = shutil.disk_usage(folder).free
    except OSError:
        return None
    if free >= n_bytes:
        return None
    return f"{os.strerror(errno.ENOSPC)}: {free // 2**20} MiB of {-(-n_bytes // 2**20)} are free"


@cache
def _warn(folder, problem):
    warnings.warn(
        f"The cache folder {folder} cannot be written ({problem}). Exported networks are stored in "
        "a temporary folder and exported again by each process. Choose another folder with "
        "skembed.set_config(cache_folder=folder).",
        RuntimeFallbackWarning,
        stacklevel=callers_level(),
    )
