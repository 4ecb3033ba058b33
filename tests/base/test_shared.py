"""Objects loaded once a process, whichever thread asks first."""

import contextlib
import gc
import os
import threading
import weakref

import pytest

from skembed.base import _shared as registry_module
from skembed.base._shared import Registry


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


def in_thread(function, *args):
    """Start a daemon thread; return it."""
    thread = threading.Thread(target=function, args=args, daemon=True)
    thread.start()
    return thread


def test_a_ready_object_waits_for_no_build():
    """Nor does the build of another one; in one registry or two."""
    registry, backbones = Registry(max_items=4), Registry(max_items=4)
    ready = registry.get("ready", Loaded)
    building, finish = threading.Event(), threading.Event()

    def build():
        building.set()
        assert finish.wait(60)
        return Loaded()

    slow = in_thread(registry.get, "slow", build)
    assert building.wait(30)
    got = []

    def ask():
        got.append(registry.get("ready", Loaded))
        got.append(registry.get("other", Loaded))
        got.append(backbones.get("slow", Loaded))
        registry.clear()

    asking = in_thread(ask)
    asking.join(30)
    assert not asking.is_alive()
    assert got[0] is ready
    finish.set()
    slow.join(30)
    assert registry.get("slow", lambda: 1 / 0) is not None


def test_threads_that_wait_for_a_build_share_its_failure():
    """Each of them would fail in the same way, one after the other."""
    registry = Registry(max_items=1)
    building, finish, failed, calls = threading.Event(), threading.Event(), [], []

    def build():
        calls.append(1)
        building.set()
        assert finish.wait(60)
        raise ZeroDivisionError("no network")

    def ask():
        try:
            registry.get("a", build)
        except ZeroDivisionError as error:
            failed.append(str(error))

    threads = [in_thread(ask)]
    assert building.wait(30)
    threads += [in_thread(ask) for _ in range(3)]
    while len(registry_module._awaited) < 3:
        finish.wait(0.01)
    finish.set()
    for thread in threads:
        thread.join(30)
    assert failed == ["no network"] * 4
    assert len(calls) == 1
    assert isinstance(registry.get("a", Loaded), Loaded)


def test_an_interrupt_of_the_builder_interrupts_nobody_else():
    """A thread that waited builds the object itself."""
    registry = Registry(max_items=1)
    building, finish, got = threading.Event(), threading.Event(), []

    def interrupted():
        building.set()
        assert finish.wait(60)
        raise KeyboardInterrupt

    def first():
        with contextlib.suppress(KeyboardInterrupt):
            registry.get("a", interrupted)

    threads = [in_thread(first)]
    assert building.wait(30)
    threads.append(in_thread(lambda: got.append(registry.get("a", Loaded))))
    while not registry_module._awaited:
        finish.wait(0.01)
    finish.set()
    for thread in threads:
        thread.join(30)
    assert isinstance(got[0], Loaded)


def test_builds_that_need_each_other_do_not_wait_for_ever():
    """Two threads, two objects, each built with the other."""
    registry, meet = Registry(max_items=2), threading.Barrier(2)

    def build(name, other):
        meet.wait(30)
        return name, registry.get(other, lambda: (other, None))

    got = {}
    threads = [
        in_thread(lambda n=name, o=other: got.update({n: registry.get(n, lambda: build(n, o))}))
        for name, other in ("ab", "ba")
    ]
    for thread in threads:
        thread.join(30)
    assert {name: item[0] for name, item in got.items()} == {"a": "a", "b": "b"}
    assert not registry._builds
    assert not registry_module._awaited


def test_builds_may_be_made_to_take_turns():
    """For libraries that must not load two networks at once; ready objects do not wait."""
    registry, most, now = Registry(max_items=4, one_build=True), [], []
    registry.get("ready", Loaded)

    def build():
        now.append(1)
        most.append(len(now))
        registry.get("ready", lambda: 1 / 0)
        now.pop()
        return Loaded()

    threads = [in_thread(registry.get, name, build) for name in "abcd"]
    for thread in threads:
        thread.join(30)
    assert most == [1, 1, 1, 1]


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
