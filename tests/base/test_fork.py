"""Functions that run in forked children."""

import os

import pytest

from skembed.base import _fork
from skembed.base._fork import after_fork_in_child

_called = []


@after_fork_in_child
def _first():
    _called.append("first")


@after_fork_in_child
def _second():
    _called.append("second")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system has no fork")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_functions_run_in_the_child_alone_and_in_order():
    child = os.fork()
    if child == 0:
        os._exit(0 if _called == ["first", "second"] else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert _called == []


def test_systems_without_fork(monkeypatch):
    """The decorator returns the function, and nothing else happens."""
    monkeypatch.delattr(_fork.os, "register_at_fork", raising=False)
    assert after_fork_in_child(_first) is _first
