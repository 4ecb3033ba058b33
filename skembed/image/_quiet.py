"""Silence of Pillow's warnings and log, and of libtiff's messages, while an image is read.

They name no row, and what makes a row bad is reported as its reason.
"""

import ctypes
import logging
import re
import threading
import warnings

from PIL import Image

from skembed.base._fork import after_fork_in_child

_log = logging.getLogger("PIL.TiffImagePlugin")  # the one that logs errors


def _nothing(record):
    return False


class _Quiet:
    """A context manager that threads enter and leave in any order.

    `warnings.catch_warnings` exchanges the filters of the whole process, so that threads would put
    back one another's. Here one filter for Pillow's modules is added by the first thread, and taken
    away by the last.
    """

    _filter = ("ignore", None, Warning, re.compile(r"PIL(\.|$)"), 0)

    def __init__(self):
        self.renew()

    def renew(self):
        """Forget the threads inside; a forked process has none of them."""
        self._lock = threading.Lock()
        self._n_inside = 0
        self._handlers = ()

    def __enter__(self):
        with self._lock:
            if self._n_inside == 0:
                self._handlers = [(setter, setter(None)) for setter in _setters()]
                _log.addFilter(_nothing)
            if self._filter not in warnings.filters[:1]:
                warnings.filters.insert(0, self._filter)
            self._n_inside += 1

    def __exit__(self, *_):
        with self._lock:
            self._n_inside -= 1
            if self._n_inside == 0:
                while self._filter in warnings.filters:
                    warnings.filters.remove(self._filter)
                _log.removeFilter(_nothing)
                for setter, handler in self._handlers:
                    setter(handler)


def _setters():
    """Return libtiff's functions that say who prints its errors and warnings.

    They are found where Pillow's module is linked with libtiff as a shared library, which is so in
    the wheels for Linux and macOS.
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
