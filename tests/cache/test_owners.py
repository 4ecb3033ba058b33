"""Claims lapse when their owner ends, and are taken over when it stops or hangs."""

import os
import signal
import sys
import threading

import pytest

from cache.on_disk import KEYS, NEW, VALUES, edit, python, run_python
from skembed.cache import _file, _owners
from skembed.exceptions import CacheWarning


def test_claims_die_with_their_owner(cache):
    done = run_python(
        f"""
        import os, signal
        from skembed import EmbeddingCache
        cache = EmbeddingCache({cache.folder!r})
        print(cache.claim("f", [b"a" * 32, b"b" * 32]), flush=True)
        os.kill(os.getpid(), signal.SIGKILL)
        """
    )
    assert done.stdout.strip() == "[True, True]"
    cache.wait("f", [b"a" * 32, b"b" * 32])
    assert cache.claim("f", [b"a" * 32, b"b" * 32]) == [True, True]


CLAIM = """
    import os, sys
    from skembed import EmbeddingCache
    cache = EmbeddingCache({folder!r})
    print(cache.claim("f", [b"x" * 32]), os.getpid(), flush=True)
    sys.stdin.readline()
    cache.write("f", [b"x" * 32], [b"late"])
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux tells who is stopped")
def test_rows_of_a_stopped_process_are_taken_over(cache, monkeypatch):
    """After a while, with a warning; what the process writes when it goes on does no harm."""

    monkeypatch.setattr(_file, "_STOPPED_SECONDS", 0.05)
    with python(CLAIM.format(folder=cache.folder)) as other:
        assert other.stdout.readline().split() == ["[True]", str(other.pid)]
        assert cache.claim("f", [NEW]) == [False]
        os.kill(other.pid, signal.SIGSTOP)
        try:
            with pytest.warns(
                CacheWarning, match=rf"claimed by the stopped process {other.pid}, .*here"
            ):
                cache.wait("f", [NEW])
            assert cache.claim("f", [NEW]) == [True]
            cache.write("f", [NEW], [b"early"])
        finally:
            os.kill(other.pid, signal.SIGCONT)
        other.stdin.write("\n")
        other.stdin.flush()
        assert other.wait(60) == 0
    assert cache.read("f", [NEW]) == [b"late"]
    assert cache.verify() == {"rows": 1, "damaged": 0}


def test_rows_of_a_thread_that_hangs_are_taken_over(cache, monkeypatch):
    """After a long while; nothing tells a slow owner from one that hangs."""
    monkeypatch.setattr(_file, "_STOPPED_SECONDS", 0)
    monkeypatch.setattr(_file, "_STUCK_SECONDS", 0.05)
    thread = threading.Thread(target=cache.claim, args=("f", [NEW]))
    thread.start()
    thread.join()
    with pytest.warns(
        CacheWarning, match="claimed by another process or thread, which has written none"
    ):
        cache.wait("f", [NEW])
    assert cache.claim("f", [NEW]) == [True]


def test_lock_files_of_the_dead_are_swept(cache):
    """Also where no claim of theirs is met."""
    with python(CLAIM.format(folder=cache.folder)) as other:
        other.stdout.readline()
        other.kill()
    cache.claim("g", [NEW])
    locks = [name for name in os.listdir(cache._vectors) if name.endswith(".lock")]
    assert locks == [f"{_owners._locks[cache._vectors].name}.lock"]


@pytest.mark.parametrize(
    "owner", [b"blob", 5, 1.5, "", ":", "../../x:1", "/x:1", "a\0b:1", "x" * 5000, "é:1", "\ud800"]
)
def test_odd_owners_are_nobody(full, owner):
    if owner == "\ud800":
        owner = b"\xed\xa0\x80"
    edit(full, ("INSERT INTO claims VALUES (?, ?)", (NEW, owner)))
    full.wait("f", [NEW])
    assert full.claim("f", [NEW, KEYS[0]]) == [True, False]
    full.write("f", [NEW], [b"value"])
    assert full.read("f", [NEW, KEYS[0]]) == [b"value", VALUES[0]]
