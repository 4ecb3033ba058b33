"""Where networks that skembed makes itself are kept: exports, random networks.

Imports only `_config`, `base` and `exceptions`.
"""

import errno
import os
import shutil
import tempfile
import warnings
from functools import cache
from pathlib import Path

from skembed._config import get_config
from skembed.base._folders import warn_if_others_may_write
from skembed.exceptions import CacheWarning, RuntimeFallbackWarning

_scratch_folders = []
_LEAST_FREE = 32 * 2**20  # bytes that a network may take whose weights are not known
_PROBE = bytes(2**16)  # written to find out whether the folder can be written


def kept_folder(name, complete, weights=None):
    """Return the folder of a network under the cache folder; it need not exist.

    Where the cache folder cannot be written, or its disk is full, the network's folder is in a
    temporary folder of this process.

    Parameters
    ----------
    name : str
        Names all that goes into the network.
    complete : str
        The file that is there when the network is: then a cache folder that cannot be written will
        do.
    weights : path, default=None
        A folder whose weights will be written again, more than once meanwhile.

    Returns
    -------
    folder : pathlib.Path

    Raises
    ------
    OSError
        If the temporary folder's disk is full, too.
    """
    chosen = get_config()["cache_folder"]
    networks = Path(chosen) / "networks"
    warn_if_others_may_write(str(networks), CacheWarning)
    if os.path.exists(networks / name / complete):  # Path's method raises for a name too long
        return networks / name
    other = _scratch_for(chosen) / "networks" / name if chosen in _fallbacks else None
    if other is not None and os.path.exists(other / complete):
        return other
    n_bytes = _needed(weights)
    problem = _problem(chosen) or _lack_of_space(networks.parent, n_bytes)
    if problem is None:
        return networks / name
    _warn(chosen, problem)
    scratch = _scratch_for(chosen)
    lack = _lack_of_space(scratch, n_bytes)
    if lack:
        raise OSError(
            errno.ENOSPC,
            f"The network cannot be kept in {chosen} ({problem}) nor in {scratch} ({lack}). Free "
            "some space, or choose a folder on another disk with "
            "skembed.set_config(cache_folder=folder)",
        )
    return scratch / "networks" / name


def scratch_folder():
    """Return a new temporary folder, which is removed when the process ends."""
    scratch = tempfile.TemporaryDirectory(prefix="skembed-")
    _scratch_folders.append(scratch)
    return Path(scratch.name)


_fallbacks = {}  # cache folder -> the temporary folder that is used in its place


def _scratch_for(folder):
    if folder not in _fallbacks:
        _fallbacks[folder] = scratch_folder()
    return _fallbacks[folder]


def _needed(weights):
    """Return how many bytes a network may take that has the weights of a folder."""
    if weights is None:
        return _LEAST_FREE
    sizes = [path.stat().st_size for path in Path(weights).glob("*.safetensors")]
    return max(_LEAST_FREE, int(2.2 * sum(sizes)))


@cache
def _problem(folder):
    """Return why a folder cannot be written, or None."""
    folder = Path(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with tempfile.TemporaryFile(dir=folder, buffering=0) as file:
            file.write(_PROBE)
    except OSError as error:
        return error.strerror or str(error)
    return None


def _lack_of_space(folder, n_bytes):
    """Return that a folder's disk has less than `n_bytes`, or None."""
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
        f"The cache folder {folder} cannot be written ({problem}). Exported networks are kept in a "
        "temporary folder and made anew by each process. Choose another folder with "
        "skembed.set_config(cache_folder=folder).",
        RuntimeFallbackWarning,
        stacklevel=3,
    )
