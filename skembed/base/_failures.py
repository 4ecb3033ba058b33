"""Convert errors of the libraries that read and run models to errors that name the model.

Imports only `exceptions`.
"""

import contextlib

from skembed.exceptions import ModelFormatError

# Passed on unchanged: errors of parameters, of the disk, of missing packages.
_CLEAR = (ValueError, OSError, MemoryError, ImportError, Warning)
_MAX_LENGTH = 300


def first_line(error):
    r"""Return the first line of an error's message; the name of its class if the message is empty.

    Examples
    --------
    >>> first_line(OSError("disk full\nat byte 7")), first_line(KeyError())
    ('disk full', 'KeyError')
    """
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


def reason_of(error):
    """Return in one line why something failed: the first error of a chain of causes.

    Examples
    --------
    >>> try:
    ...     try:
    ...         {}["weights"]
    ...     except KeyError as error:
    ...         raise RuntimeError("Step 1 of 3 failed. Please report this.") from error
    ... except RuntimeError as error:
    ...     reason_of(error)
    "KeyError: 'weights'"
    """
    seen = []
    while error is not None and error not in seen:
        seen.append(error)
        error = error.__cause__
    name, line = type(seen[-1]).__name__, first_line(seen[-1])
    return name if line == name else f"{name}: {line[:_MAX_LENGTH]}"


@contextlib.contextmanager
def naming(path):
    """Convert errors that do not name the model to a ModelFormatError that does.

    Parameters
    ----------
    path : str or path
        The model.
    """
    try:
        yield
    except BaseException as error:
        ours = type(error).__module__.startswith("skembed.")
        # A panic of a library written in Rust is a BaseException, but no reason to exit.
        ends = not isinstance(error, Exception) and type(error).__name__ != "PanicException"
        if ours or ends or isinstance(error, _CLEAR) or "out of memory" in str(error):
            raise
        raise ModelFormatError(f"{path} cannot be used as a model: {reason_of(error)}") from error
