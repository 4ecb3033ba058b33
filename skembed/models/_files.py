"""Read files of a model's folder, after checks of path, type and size.

Imports only `exceptions`.
"""

import contextlib
import json
import os
import stat
from pathlib import Path, PureWindowsPath

from skembed.exceptions import ModelFormatError

# Larger than any published tokenizer.json; a file of settings has some kilobytes.
_MAX_JSON_BYTES = 256 * 2**20


def inside(folder, name):
    """Return a path inside a folder.

    Links may point to other places in the folder. In a snapshot of the hub's local cache, they may
    also point to the blobs of this cache.

    Parameters
    ----------
    folder : pathlib.Path
        The folder.
    name : str
        A relative path, as given in a file of the folder.

    Returns
    -------
    path : pathlib.Path
        The path; it may not exist.

    Raises
    ------
    ModelFormatError
        If the path leaves the folder, or is not a valid path.
    """
    # Rules of Windows on all systems: backslashes separate parts, colons denote drives and streams.
    parts = PureWindowsPath(name).parts if isinstance(name, str) and "\0" not in name else (":",)
    if ".." in parts or any(":" in part or part in ("/", "\\") for part in parts):
        raise ModelFormatError(
            f"{folder}: the path {name!r} leaves the model's folder. Files of a model must be "
            "inside its folder."
        )
    path = folder / name
    try:
        root, target = folder.resolve(), path.resolve()
    except (OSError, RuntimeError) as error:  # a loop of links
        raise ModelFormatError(f"{path} cannot be followed: {error}") from error
    if not any(target.is_relative_to(allowed) for allowed in (root, *_blobs_of(root))):
        raise ModelFormatError(
            f"{path} is a link to {target}, outside the model's folder. Replace it with a copy of "
            "the file."
        )
    return path


def _blobs_of(folder):
    """Return the folders that links of a snapshot in the hub's local cache may point to."""
    for snapshot in (folder, *folder.parents):
        if snapshot.parent.name == "snapshots":
            repository = snapshot.parent.parent
            # Files shared by several repositories are one level higher.
            return repository / "blobs", repository.parent / "blobs"
    return ()


def file_in(folder, name):
    """Return the path of a regular file inside a folder; None if there is none.

    Raises
    ------
    ModelFormatError
        If the path leaves the folder, or is a folder, a device, a pipe or another special file.
    """
    path = inside(folder, name)
    try:
        status = os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError) as error:
        raise ModelFormatError(f"{path} cannot be read: {error}") from error
    if not stat.S_ISREG(status.st_mode):
        raise ModelFormatError(f"{path} is not a regular file.")
    return path


@contextlib.contextmanager
def checked_settings(path):
    """Convert errors of wrong settings to a ModelFormatError that names the file.

    Parameters
    ----------
    path : path
        The file that holds the settings.
    """
    try:
        yield
    except ModelFormatError:
        raise
    except (TypeError, ValueError, KeyError, ArithmeticError, AttributeError) as error:
        raise ModelFormatError(f"{path} has invalid settings: {error!r}") from error


def read_json(path, default=None, kind=dict):
    """Return the content of a JSON file; `default` if the file does not exist.

    Parameters
    ----------
    path : path
        Path of the file.
    default : object, default=None
        Returned if the file does not exist.
    kind : type or tuple of type, default=dict
        Required type of the content.

    Raises
    ------
    ModelFormatError
        If the file is not JSON, its content has another type, or it is a link out of its folder.
    """
    path = Path(path)
    if file_in(path.parent, path.name) is None:
        return default
    try:
        if path.stat().st_size > _MAX_JSON_BYTES:
            raise ModelFormatError(f"{path} is larger than {_MAX_JSON_BYTES // 2**20} MiB.")
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ModelFormatError(f"{path} cannot be read: {error.strerror or error}") from error
    except RecursionError as error:
        raise ModelFormatError(f"{path} is not JSON: it is nested too deeply.") from error
    except ModelFormatError:
        raise
    except ValueError as error:  # invalid JSON, invalid UTF-8, numbers with too many digits
        raise ModelFormatError(f"{path} is not JSON: {error}") from error
    if not isinstance(content, kind):
        expected = "a list" if kind is list else "an object"
        found = type(content).__name__
        raise ModelFormatError(f"{path} must contain {expected}. Got {found} instead.")
    return content
