"""Which rows run together, and on how many threads."""

import contextlib
import os
import threading

import joblib
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import skembed
from skembed.base import _threads as _schedule
from skembed.base._threads import in_threads, n_threads_for, same_shape_batches

SHAPES = st.lists(st.tuples(st.integers(1, 9)) | st.tuples(st.integers(1, 4), st.integers(1, 4)))


@given(SHAPES, st.integers(1, 5) | st.just("auto"))
def test_each_input_is_in_one_batch_of_its_shape(shapes, batch_size):
    """All inputs, each once, none beside one of another shape, no batch above the size."""
    inputs = [np.empty(shape) for shape in shapes]
    grouped = same_shape_batches(inputs, batch_size)
    assert sorted(i for group in grouped for i in group) == list(range(len(inputs)))
    assert all(len({inputs[i].shape for i in group}) == 1 for group in grouped)
    assert all(group == sorted(group) for group in grouped)
    if batch_size != "auto":
        assert all(len(group) <= batch_size for group in grouped)
    sizes = [inputs[group[0]].size for group in grouped]
    assert sizes == sorted(sizes, reverse=True)


@pytest.mark.parametrize(
    ("length", "sizes"), [(1, [3000 - 5 * 512] + [512] * 5), (200, [2] * 1500), (5000, [1] * 3000)]
)
def test_automatic_batches_hold_about_as_many_elements(length, sizes):
    """512 tokens; at least one row, however long."""
    row = np.empty(length, dtype=np.uint8)
    assert sorted(map(len, same_shape_batches([row] * 3000))) == sorted(sizes)


def test_no_inputs_make_no_batches():
    assert same_shape_batches([]) == []


def test_threads_are_the_parameter_else_the_config_else_the_cores(monkeypatch):
    """In this order."""
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(joblib, "cpu_count", lambda: 6)
    assert n_threads_for() == 6
    with skembed.config_context(n_threads=3):
        assert n_threads_for() == 3
        assert n_threads_for(5) == 5


@pytest.mark.parametrize(
    ("share", "n_threads"), [("2", 2), ("64", 6), ("", 6), ("0", 6), ("4,2", 6), ("-1", 6)]
)
def test_a_worker_computes_on_its_share_of_the_cores(monkeypatch, share, n_threads):
    """What joblib leaves it, which is never more than there are; a setting wins over it."""
    monkeypatch.setattr(joblib, "cpu_count", lambda: 6)
    monkeypatch.setenv("OMP_NUM_THREADS", share)
    assert n_threads_for() == n_threads
    assert n_threads_for(5) == 5


def test_joblibs_workers_share_the_cores():
    """Two workers of a search together use no more threads than there are cores."""
    shares = joblib.Parallel(n_jobs=2)(joblib.delayed(n_threads_for)() for _ in range(2))
    assert shares == [max(1, joblib.cpu_count() // 2)] * 2


@pytest.mark.parametrize("n_threads", [1, 3])
def test_answers_come_in_the_order_of_the_items(n_threads):
    """Whichever thread is done first."""
    assert list(in_threads(lambda item: item * 2, range(50), n_threads)) == list(range(0, 100, 2))
    assert list(in_threads(str, [], n_threads)) == []


def test_one_thread_is_the_callers_own():
    """Nothing is started for it, nor for a single item."""
    me = threading.get_ident()
    assert set(in_threads(lambda _: threading.get_ident(), range(5), 1)) == {me}
    assert list(in_threads(lambda _: threading.get_ident(), [0], 4)) == [me]


def test_several_threads_run_at_the_same_time(monkeypatch):
    """Each waits for the other, which one thread alone would do for ever."""
    monkeypatch.setattr(_schedule, "_slots", threading.BoundedSemaphore(2))
    meet = threading.Barrier(2)
    assert sorted(in_threads(lambda _: meet.wait(30), range(2), 2)) == [0, 1]


def test_no_more_run_at_once_than_there_are_slots(monkeypatch):
    """Two searches that each compute on four threads share the slots of the process."""
    monkeypatch.setattr(_schedule, "_slots", threading.BoundedSemaphore(2))
    meet = threading.Barrier(3)
    met, done = [], []

    def work(item):
        with contextlib.suppress(threading.BrokenBarrierError):
            meet.wait(0.3)  # leaves a third time to come in; broken from then on
            met.append(item)
        done.append(item)

    searches = [
        threading.Thread(target=lambda: list(in_threads(work, range(20), 4)), daemon=True)
        for _ in range(2)
    ]
    for search in searches:
        search.start()
    for search in searches:
        search.join(60)
    assert len(done) == 40
    assert met == []


@pytest.mark.parametrize("n_threads", [1, 2])
def test_an_error_reaches_the_caller_and_frees_the_slots(monkeypatch, n_threads):
    """What comes after it is not computed for nothing, and the next call runs."""
    monkeypatch.setattr(_schedule, "_slots", threading.BoundedSemaphore(1))
    done = []

    def work(item):
        if item == 0:
            raise ZeroDivisionError
        done.append(item)

    with pytest.raises(ZeroDivisionError):
        list(in_threads(work, range(1000), n_threads))
    assert len(done) < 999
    assert list(in_threads(str, [1, 2], n_threads)) == ["1", "2"]


def test_a_caller_who_stops_early_leaves_no_thread_behind():
    """As when an error is raised between two batches."""
    answers = in_threads(lambda item: item, range(1000), 2)
    assert next(answers) == 0
    answers.close()
    assert not [t for t in threading.enumerate() if t.name.startswith("skembed")]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system has no fork")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_slots_that_were_taken_are_free_in_a_forked_child(monkeypatch):
    """The threads that held them are not there."""
    monkeypatch.setattr(_schedule, "_slots", threading.BoundedSemaphore(1))
    with _schedule._slots:
        child = os.fork()
        if child == 0:
            status = 1
            try:
                answers = list(in_threads(str, [1, 2, 3], 2))
                status = 0 if answers == ["1", "2", "3"] else 2
            finally:
                os._exit(status)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
