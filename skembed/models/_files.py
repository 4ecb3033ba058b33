"""Files of a model's folder: they lie inside it, are regular files, and have a size that fits.

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
    """Return the path of something inside a folder.

    Links may point to other places in the folder and, from a snapshot in the hub's local cache, to
    that cache's blobs.

    Parameters
    ----------
    folder : pathlib.Path
        The folder.
    name : str
        A relative path, as a file of the folder states it.

    Returns
    -------
    path : pathlib.Path
        It need not exist.

    Raises
    ------
    ModelFormatError
        If the path leaves the folder, or is no path.
    """
    parts = PureWindowsPath(name).parts if isinstance(name, str) and "\0" not in name else (":",)
    if ".." in parts or any(":" in part or part in ("/", "\\") for part in parts):
        raise ModelFormatError(
            f"{folder}: the path {name!r} leaves the model's folder. Files of a model must lie "
            "inside its folder."
        )
    path = folder / name
    try:
        root, target = folder.resolve(), path.resolve()
    except (OSError, RuntimeError) as error:  # a loop of links
        raise ModelFormatError(f"{path} cannot be followed: {error}") from error
    if not any(target.is_relative_to(allowed) for allowed in (root, *_blobs_of(root))):
        raise ModelFormatError(
            f"{path} is a link to {target}, outside of the model's folder. Replace it by a copy of "
            "the file."
        )
    return path


def _blobs_of(folder):
    """Return where the files of a snapshot in the hub's local cache may lie."""
    for snapshot in (folder, *folder.parents):
        if snapshot.parent.name == "snapshots":
            repository = snapshot.parent.parent
            # Files that several repositories share lie one level higher.
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
    """Return the content of a JSON file; `default` if there is no such file.

    Parameters
    ----------
    path : path
        Of the file.
    default : object, default=None
        Returned if there is no file.
    kind : type or tuple of type, default=dict
        What the content must be.

    Raises
    ------
    ModelFormatError
        If the file is not JSON, is of another kind, or lies outside of the folder that it is in.
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
    except ValueError as error:  # of JSON, of UTF-8, of numbers with too many digits
        raise ModelFormatError(f"{path} is not JSON: {error}") from error
    if not isinstance(content, kind):
        wanted = "a list" if kind is list else "an object"
        raise ModelFormatError(f"{path} must hold {wanted}; it holds {type(content).__name__}.")
    return content
