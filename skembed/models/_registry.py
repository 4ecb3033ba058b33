"""Objects loaded once a process and shared by all estimators in it."""

import os
import threading
from collections import OrderedDict
from weakref import WeakSet

_registries = WeakSet()


class Registry:
    """Keep the objects used last, each built once whichever thread asks first.

    Parameters
    ----------
    max_items : int
        How many to keep; the one used longest ago goes first.

    Examples
    --------
    >>> registry = Registry(max_items=1)
    >>> registry.get("a", lambda: object()) is registry.get("a", lambda: object())
    True
    """

    def __init__(self, max_items):
        self._max_items = max_items
        self._items = OrderedDict()
        self._lock = threading.RLock()
        self._left_behind = []
        _registries.add(self)

    def get(self, key, build):
        """Return the object of `key`, built by calling `build` if it is not there."""
        with self._lock:
            if key not in self._items:
                self._items[key] = build()
                while len(self._items) > self._max_items:
                    self._items.popitem(last=False)
            self._items.move_to_end(key)
            return self._items[key]

    def clear(self):
        """Forget all objects."""
        with self._lock:
            self._items.clear()

    def _after_fork(self):
        # The child has no copy of the threads that a session or a lock holder ran on. What the
        # parent loaded is neither used nor destroyed here (destroying waits for those threads).
        self._left_behind.append(self._items)
        self._items = OrderedDict()
        self._lock = threading.RLock()


def _after_fork_in_child():
    for registry in list(_registries):
        registry._after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
