"""Where networks that skembed makes itself are kept: exports, random networks.

Imports only the lowest layer (`_config`, `exceptions`).
"""

import tempfile
import warnings
from functools import cache
from pathlib import Path

from skembed._config import get_config
from skembed.exceptions import RuntimeFallbackWarning

_scratch_folders = []


def kept_folder(name, complete):
    """Return the folder of a network under the cache folder; it need not exist.

    Parameters
    ----------
    name : str
        Names all that goes into the network.
    complete : str
        The file that is there when the network is: then a cache folder that cannot be written will
        do.

    Returns
    -------
    folder : pathlib.Path
    """
    folder = Path(get_config()["cache_folder"]) / "networks" / name
    if (folder / complete).exists():
        return folder
    return _writable(get_config()["cache_folder"]) / "networks" / name


@cache
def _writable(folder):
    """Return `folder`, or where it cannot be written, a temporary one for this process."""
    folder = Path(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with tempfile.TemporaryFile(dir=folder):
            return folder
    except OSError as error:
        warnings.warn(
            f"The cache folder {folder} cannot be written ({error.strerror}); exported networks "
            "are kept in a temporary folder and made anew by each process. Choose another with "
            "skembed.set_config(cache_folder=…).",
            RuntimeFallbackWarning,
            stacklevel=2,
        )
    return scratch_folder()


def scratch_folder():
    """Return a new temporary folder, which is removed when the process ends."""
    scratch = tempfile.TemporaryDirectory(prefix="skembed-")
    _scratch_folders.append(scratch)
    return Path(scratch.name)
