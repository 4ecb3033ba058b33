"""Objects loaded once a process, whichever thread asks first."""

import contextlib
import gc
import os
import threading
import weakref

import pytest

from skembed.models._registry import Registry


class Loaded:
    """Something that a registry keeps; a plain object cannot be watched."""


def test_what_threads_ask_for_at_once_is_built_once():
    """Those that come second wait for the first, and get its object."""
    registry = Registry(max_items=2)
    start, meet = threading.Barrier(8), threading.Barrier(2)
    built, got = [], []

    def build():
        built.append(threading.get_ident())
        with contextlib.suppress(threading.BrokenBarrierError):
            meet.wait(0.3)  # leaves a second builder time to come in
        return Loaded()

    def ask():
        start.wait(30)
        got.append(registry.get("network", build))

    threads = [threading.Thread(target=ask, daemon=True) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(built) == 1
    assert len(got) == 8
    assert len(set(map(id, got))) == 1


def test_what_was_used_longest_ago_goes_first():
    """A repeated use keeps an object longer than a younger one."""
    registry = Registry(max_items=2)
    built = []

    def get(key):
        return registry.get(key, lambda: built.append(key) or Loaded())

    a, _ = get("a"), get("b")
    assert get("a") is a
    get("c")
    assert get("a") is a
    get("b")
    assert built == ["a", "b", "c", "b"]


def test_what_goes_is_freed():
    """A network that fell out takes up no memory."""
    registry = Registry(max_items=1)
    watch = weakref.ref(registry.get("a", Loaded))
    registry.get("b", Loaded)
    gc.collect()
    assert watch() is None


def test_a_failed_build_leaves_nothing_behind():
    """The next who asks builds again; the lock is free."""
    registry = Registry(max_items=1)
    with pytest.raises(ZeroDivisionError):
        registry.get("a", lambda: 1 / 0)
    other = threading.Thread(target=lambda: registry.get("a", Loaded), daemon=True)
    other.start()
    other.join(30)
    assert not other.is_alive()
    assert isinstance(registry.get("a", lambda: 1 / 0), Loaded)


def test_building_may_ask_for_other_objects():
    """As a runner asks for its backbone."""
    registry = Registry(max_items=2)
    inner, outer = registry.get("outer", lambda: (registry.get("inner", Loaded), Loaded()))
    assert registry.get("inner", lambda: 1 / 0) is inner
    assert registry.get("outer", lambda: 1 / 0)[1] is outer


def test_clear_forgets_all():
    """The next who asks builds again."""
    registry = Registry(max_items=2)
    before = registry.get("a", Loaded)
    registry.clear()
    assert registry.get("a", Loaded) is not before


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system has no fork")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_forked_child_builds_its_own_and_destroys_nothing():
    """Even where a thread of the parent was building when it forked."""
    registry = Registry(max_items=2)
    destroyed = []

    class Session:
        def __del__(self):
            destroyed.append(os.getpid())

    registry.get("network", Session)
    building, finish = threading.Event(), threading.Event()

    def build():
        building.set()
        finish.wait(60)
        return Loaded()

    thread = threading.Thread(target=lambda: registry.get("other", build), daemon=True)
    thread.start()
    assert building.wait(30)
    child = os.fork()
    if child == 0:
        status = 1
        try:
            own = registry.get("network", Loaded)
            again = registry.get("network", Loaded)
            gc.collect()
            status = 0 if isinstance(own, Loaded) and again is own and not destroyed else 2
        finally:
            os._exit(status)
    finish.set()
    thread.join(30)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert isinstance(registry.get("network", Loaded), Session)
    assert isinstance(registry.get("other", Session), Loaded)
