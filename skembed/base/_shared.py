"""Registry: objects that are loaded once per process and shared by its estimators.

Imports `_fork`.
"""

import threading
from collections import OrderedDict
from contextlib import nullcontext
from weakref import WeakSet

from skembed.base._fork import after_fork_in_child

# Protects the tables of all registries. It is held briefly, never while an object is built.
_lock = threading.RLock()
_registries: WeakSet = WeakSet()
_awaited = {}  # number of a thread -> the build that it waits for


class _Build:
    """An object that is being built: the thread that builds it, and the result."""

    def __init__(self):
        self.builder = threading.get_ident()
        self.done = threading.Event()
        self.item = None
        self.error = None

    def waits_for_this_thread(self):
        """Tell whether this build waits for the calling thread, directly or through other builds.

        If it does, the calling thread must not wait for it: neither would ever end.
        """
        me, build = threading.get_ident(), self
        while build is not None and build.builder != me:
            build = _awaited.get(build.builder)
        return build is not None


class Registry:
    """Keep the most recently used objects; build each object once.

    The first thread that requests an object builds it. Other threads that request it wait, and get
    the same object or the same error. No thread waits for the build of another object.

    Parameters
    ----------
    max_items : int
        How many objects to keep. The least recently used one is dropped first.
    one_build : bool, default=False
        Whether only one object is built at a time, because the library that builds them is not
        thread-safe. Such builds must not request objects of the same registry. Objects that are
        already built are returned without waiting.

    Examples
    --------
    >>> registry = Registry(max_items=1)
    >>> registry.get("a", lambda: object()) is registry.get("a", lambda: object())
    True
    """

    def __init__(self, max_items, *, one_build=False):
        self._max_items = max_items
        self._one_build = one_build
        self._turn = self._new_turn()
        self._items = OrderedDict()
        self._builds = {}
        self._of_parent = []
        _registries.add(self)

    def _new_turn(self):
        return threading.RLock() if self._one_build else nullcontext()

    def get(self, key, build):
        """Return the object with a key; call `build` if there is none.

        Parameters
        ----------
        key : hashable
            The key.
        build : callable
            Called without arguments, while no lock is held. It may request objects of registries.

        Returns
        -------
        object
            The object.

        Raises
        ------
        Exception
            The error of `build`, in this thread or in the thread that built the object.
        """
        while True:
            with _lock:
                if key in self._items:
                    self._items.move_to_end(key)
                    return self._items[key]
                other = self._builds.get(key)
                if other is None:
                    mine = self._builds[key] = _Build()
                    break
                if other.waits_for_this_thread():  # build a second object instead of waiting
                    mine = _Build()
                    break
                _awaited[threading.get_ident()] = other
            try:
                other.done.wait()
            finally:
                with _lock:
                    _awaited.pop(threading.get_ident(), None)
            if isinstance(other.error, Exception):
                raise other.error
            if other.error is None:
                return other.item
            # The building thread was interrupted (KeyboardInterrupt). Try again in this thread.
        return self._built(key, build, mine)

    def _built(self, key, build, mine):
        dropped = []  # destroyed at the end, after the lock is released
        try:
            with self._turn:
                mine.item = build()
        except BaseException as error:
            mine.error = error
            raise
        finally:
            with _lock:
                if self._builds.get(key) is mine:
                    del self._builds[key]
                if mine.error is None:
                    self._items[key] = mine.item
                    self._items.move_to_end(key)
                while len(self._items) > self._max_items:
                    dropped.append(self._items.popitem(last=False))
            mine.done.set()
        return mine.item

    def clear(self):
        """Drop all objects."""
        with _lock:
            dropped, self._items = self._items, OrderedDict()
        del dropped

    def _reset_in_child(self):
        # A child does not have the threads of the parent's sessions and builds. So objects of the
        # parent cannot be used here, nor destroyed, which would wait for these threads.
        self._of_parent.append((self._items, self._builds))
        self._items, self._builds = OrderedDict(), {}
        self._turn = self._new_turn()


@after_fork_in_child
def _reset_registries():
    global _lock
    _lock = threading.RLock()
    _awaited.clear()
    for registry in list(_registries):
        registry._reset_in_child()
