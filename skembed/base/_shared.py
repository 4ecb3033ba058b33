"""Objects loaded once a process and shared by all estimators in it."""

import threading
from collections import OrderedDict
from contextlib import nullcontext
from weakref import WeakSet

from skembed.base._fork import after_fork_in_child

# Guards the tables of all registries. It is held for moments only, never while something is built.
_lock = threading.RLock()
_registries: WeakSet = WeakSet()
_awaited = {}  # thread -> the build that it waits for


class _Build:
    """An object in the making: who builds it, and what came of it."""

    def __init__(self):
        self.builder = threading.get_ident()
        self.done = threading.Event()
        self.item = None
        self.error = None

    def needs_me(self):
        """Tell whether this build waits, over others, for the calling thread: it must not wait."""
        me, build = threading.get_ident(), self
        while build is not None and build.builder != me:
            build = _awaited.get(build.builder)
        return build is not None


class Registry:
    """Keep the objects used last, each built once whichever thread asks first.

    Threads that ask for the same object wait for its builder, and share its failure. Nobody waits
    for the build of another object.

    Parameters
    ----------
    max_items : int
        How many to keep; the one used longest ago goes first.
    one_build : bool, default=False
        Whether only one object is built at a time, because the library that builds them is not
        thread-safe. Such builds must not ask for each other's objects. Ready objects never wait.

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
        self._left_behind = []
        _registries.add(self)

    def _new_turn(self):
        return threading.RLock() if self._one_build else nullcontext()

    def get(self, key, build):
        """Return the object of `key`, built by calling `build` if it is not there.

        Parameters
        ----------
        key : hashable
            Names the object.
        build : callable
            Called without arguments and without a lock; may itself ask registries for objects.

        Returns
        -------
        object
            The object.

        Raises
        ------
        Exception
            Whatever `build` raised, here or in the thread that this one waited for.
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
                if other.needs_me():  # two builds that need each other: this one goes on alone
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
            # Its builder was interrupted: that is no answer for this thread.
        return self._built(key, build, mine)

    def _built(self, key, build, mine):
        dropped = []  # objects that go are destroyed after the lock is let go
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
        """Forget all objects."""
        with _lock:
            dropped, self._items = self._items, OrderedDict()
        del dropped

    def _after_fork(self):
        # The child has no copy of the threads that a session or a builder ran on. What the
        # parent loaded is neither used nor destroyed here (destroying waits for those threads).
        self._left_behind.append((self._items, self._builds))
        self._items, self._builds = OrderedDict(), {}
        self._turn = self._new_turn()


@after_fork_in_child
def _after_fork_in_child():
    global _lock
    _lock = threading.RLock()
    _awaited.clear()
    for registry in list(_registries):
        registry._after_fork()
