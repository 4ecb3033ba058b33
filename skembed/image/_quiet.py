"""Silence Pillow's warnings and log and libtiff's messages while an image is read.

These messages do not name a row. skembed reports the reason of each bad row itself.
"""

import ctypes
import logging
import re
import threading
import warnings

from PIL import Image

from skembed.base._fork import after_fork_in_child

_log = logging.getLogger("PIL.TiffImagePlugin")  # the only logger of Pillow that logs errors


def _reject(record):
    """Filter out every log record."""
    return False


class _Quiet:
    """A context manager that threads can enter and leave in any order.

    `warnings.catch_warnings` replaces the filters of the whole process, so overlapping threads
    would restore each other's filters. Here the first thread adds a filter for Pillow's modules,
    and the last thread removes it.
    """

    _filter = ("ignore", None, Warning, re.compile(r"PIL(\.|$)"), 0)

    def __init__(self):
        self.renew()

    def renew(self):
        """Reset the count of threads; a forked process has none of them."""
        self._lock = threading.Lock()
        self._n_inside = 0
        self._handlers = ()

    def __enter__(self):
        with self._lock:
            if self._n_inside == 0:
                self._handlers = [(setter, setter(None)) for setter in _setters()]
                _log.addFilter(_reject)
            # Code elsewhere may have added filters since; only the first match is applied.
            if self._filter not in warnings.filters[:1]:
                warnings.filters.insert(0, self._filter)
            self._n_inside += 1

    def __exit__(self, *_):
        with self._lock:
            self._n_inside -= 1
            if self._n_inside == 0:
                while self._filter in warnings.filters:
                    warnings.filters.remove(self._filter)
                _log.removeFilter(_reject)
                for setter, handler in self._handlers:
                    setter(handler)


def _setters():
    """Return the functions of libtiff that set the handlers of its errors and warnings.

    They are found if Pillow is linked with libtiff as a shared library, as in the wheels for Linux
    and macOS. Otherwise the list is empty.
    """
    global _found
    if _found is None:
        _found = []
        try:
            library = ctypes.CDLL(Image.core.__file__)
            for name in ("TIFFSetErrorHandler", "TIFFSetWarningHandler"):
                setter = getattr(library, name)
                setter.argtypes, setter.restype = [ctypes.c_void_p], ctypes.c_void_p
                _found.append(setter)
        except (AttributeError, OSError):  # linked statically, or without libtiff
            pass
    return _found


_found = None
quiet_pillow = _Quiet()
after_fork_in_child(quiet_pillow.renew)
