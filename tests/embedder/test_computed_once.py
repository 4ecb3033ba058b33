"""Each row is computed once, in chunks, by whoever claims it first."""

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from sklearn.base import clone

import skembed
from skembed import BertEmbedder
from skembed.embedder._computed_once import computed_once
from skembed.embedder._kept import Windows
from skembed.text._bert import TEXTS


def test_threads_that_want_the_same_rows_compute_each_once(tiny_bert, texts, monkeypatch):
    monkeypatch.setattr(BertEmbedder, "_modality", replace(TEXTS, chunk=4))
    embedder = BertEmbedder(tiny_bert).fit(texts)
    expected = clone(embedder).set_params(cache=None).fit_transform(texts)
    with ThreadPoolExecutor(4) as pool:
        for vectors in pool.map(embedder.transform, [texts] * 8):
            np.testing.assert_array_equal(vectors, expected)
    assert skembed.memory_cache().info()["computed"] == len(set(texts))


def test_more_rows_than_a_chunk(tiny_bert, texts, monkeypatch):
    expected = BertEmbedder(tiny_bert, cache=None).fit_transform(texts)
    monkeypatch.setattr(BertEmbedder, "_modality", replace(TEXTS, chunk=3))
    np.testing.assert_array_equal(BertEmbedder(tiny_bert).fit_transform(texts), expected)


def test_a_failure_leaves_no_claim_behind(tiny_bert, texts, monkeypatch):
    """Whoever comes next computes the rows, and does not wait for ever."""
    embedder = BertEmbedder(tiny_bert).fit(texts)

    def fail(*_):
        raise MemoryError("no room")

    with monkeypatch.context() as patch:
        patch.setattr(BertEmbedder, "_run", fail)
        with pytest.raises(MemoryError, match="no room"):
            embedder.transform(texts)
    assert embedder.transform(texts).shape == (len(texts), 16)


# -- with a store that grants what a test says ----------------------------------------------------


class Kept:
    """A store of one piece, a vector of one number a row; it records what it is asked.

    Rows of `held` are claimed by somebody else until `wait` is called, which writes them, or gives
    them up if `gives_up`.
    """

    def __init__(self, known=(), held=(), gives_up=False):
        self.values, self.held, self.gives_up = set(known), set(held), gives_up
        self.claimed, self.waited, self.written = set(), [], []

    def read(self, keys):
        hits = np.array([key in self.values for key in keys], dtype=bool)
        found = [key for key in keys if key in self.values]
        return hits, windows_of(found), ~hits[None], np.zeros(len(keys), dtype=bool)

    def claim(self, keys, missing, damaged):
        mine = np.array([key not in self.held for key in keys], dtype=bool)
        granted = [key for key in keys if key not in self.held]
        assert not self.claimed & set(granted)
        self.claimed |= set(granted)
        held = [("f", np.flatnonzero(~mine))] if len(granted) < len(keys) else []
        return [("f", granted)], mine, held

    def write(self, keys, windows, missing):
        assert missing.shape == (1, len(keys))
        assert missing.all()
        self.written.append(list(keys))
        self.values |= set(keys)
        self.claimed -= set(keys)

    def release(self, claims):
        for _, keys in claims:
            assert set(keys) <= self.claimed
            self.claimed -= set(keys)

    def wait(self, fingerprint, keys):
        self.waited.append(list(keys))
        if not self.gives_up:
            self.values |= self.held
        self.held = set()


def windows_of(keys):
    vectors = np.array([[float(key[0])] for key in keys], dtype=np.float32).reshape(-1, 1)
    n_rows = len(keys)
    return Windows([vectors], np.ones(n_rows, int), np.ones(n_rows), np.zeros(n_rows, bool))


KEYS = [bytes([i]) for i in range(7)]


def ahead(prepare):
    """Return a preparation: a function that returns the call that may be made on another thread."""
    return lambda rows: partial(prepare, rows)


def run(kept, size, *, bad=(), fail_at=None):
    """Compute `KEYS`; return the order in which rows were answered, and the events."""
    order, events = [], []

    def prepare(rows):
        events.append(("prepare", rows.tolist()))
        return rows * 10

    def compute(rows, prepared):
        np.testing.assert_array_equal(prepared, rows * 10)
        events.append(("compute", rows.tolist()))
        if fail_at in rows:
            raise MemoryError("no room")
        good = np.flatnonzero([row not in bad for row in rows])
        return good, windows_of([KEYS[i] for i in rows[good]])

    n_done = 0
    for rows, windows, n in computed_once(
        kept, KEYS, size, preparation=ahead(prepare), compute=compute
    ):
        assert windows.vectors[0][:, 0].tolist() == rows.tolist()
        order += rows.tolist()
        n_done += n
    assert n_done == len(KEYS)
    return order, events


def computed(events):
    return [rows for kind, rows in events if kind == "compute" and rows]


@pytest.mark.parametrize("size", [1, 2, 3, 7, 100])
def test_chunks_are_computed_in_order(size):
    kept = Kept()
    order, events = run(kept, size)
    assert order == list(range(7))
    assert computed(events) == [list(range(i, min(i + size, 7))) for i in range(0, 7, size)]
    assert kept.written == [[KEYS[i] for i in rows] for rows in computed(events)]
    assert not kept.claimed


def no_windows(rows, prepared):
    return np.empty(0, dtype=int), windows_of([])


def test_one_chunk_is_prepared_ahead():
    """While the first is computed, the second is prepared, and no third one is claimed."""
    kept, claimed = Kept(), []

    def compute(rows, prepared):
        claimed.append(sorted(key[0] for key in kept.claimed))
        return np.arange(len(rows)), windows_of([KEYS[i] for i in rows])

    list(computed_once(kept, KEYS, 2, preparation=ahead(list), compute=compute))
    assert claimed == [[0, 1, 2, 3], [2, 3, 4, 5], [4, 5, 6], [6]]


def test_a_single_chunk_is_prepared_on_this_thread():
    """No thread is started for nothing."""
    threads = []

    def prepare(rows):
        threads.append(threading.current_thread())

    def compute(rows, prepared):
        return np.arange(len(rows)), windows_of([KEYS[i] for i in rows])

    list(computed_once(Kept(), KEYS, 7, preparation=ahead(prepare), compute=compute))
    assert threads == [threading.current_thread()]


def test_the_preparation_is_asked_for_on_this_thread():
    """Only the function that it returns is called on the other one."""
    asked, called = [], []

    def preparation(rows):
        asked.append(threading.current_thread())
        return lambda: called.append(threading.current_thread())

    def compute(rows, prepared):
        return np.arange(len(rows)), windows_of([KEYS[i] for i in rows])

    list(computed_once(Kept(), KEYS, 4, preparation=preparation, compute=compute))
    assert asked == [threading.current_thread()] * 2
    assert len(set(called)) == 1
    assert threading.current_thread() not in called


def test_known_rows_are_neither_prepared_nor_computed():
    kept = Kept(known=[KEYS[i] for i in (0, 3, 4)])
    order, events = run(kept, 3)
    assert sorted(order) == list(range(7))
    assert computed(events) == [[1, 2], [5], [6]]
    assert sorted(i for kind, rows in events if kind == "prepare" for i in rows) == [1, 2, 5, 6]


def test_bad_rows_are_not_written_and_their_claims_end():
    kept = Kept()
    order, _ = run(kept, 3, bad={1, 6})
    assert order == [0, 2, 3, 4, 5]
    assert kept.values == {KEYS[i] for i in order}
    assert not kept.claimed


@pytest.mark.parametrize("fail_at", [0, 3, 6])
def test_an_error_ends_all_claims(fail_at):
    """Those of the chunk that failed and of the one that is prepared ahead."""
    kept = Kept()
    with pytest.raises(MemoryError):
        run(kept, 2, fail_at=fail_at)
    assert not kept.claimed
    assert kept.values == {KEYS[i] for i in range(fail_at // 2 * 2)}


def test_an_error_of_prepare_ends_all_claims():
    kept = Kept()

    def prepare(rows):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        list(computed_once(kept, KEYS, 2, preparation=ahead(prepare), compute=no_windows))
    assert not kept.claimed


def test_a_caller_that_stops_ends_all_claims():
    kept = Kept()

    def compute(rows, prepared):
        return np.arange(len(rows)), windows_of([KEYS[i] for i in rows])

    answers = computed_once(kept, KEYS, 2, preparation=ahead(list), compute=compute)
    for _ in range(3):
        next(answers)
    assert kept.claimed
    answers.close()
    assert not kept.claimed


@pytest.mark.parametrize("gives_up", [False, True])
def test_rows_that_others_hold_come_last(gives_up):
    """They are read when they are written, or computed here when they are given up."""
    held = [KEYS[i] for i in (0, 4)]
    kept = Kept(held=held, gives_up=gives_up)
    order, events = run(kept, 3)
    assert order == [1, 2, 3, 5, 6, 0, 4]
    assert kept.waited == [[KEYS[0]]]  # once: the others are looked up again with it
    assert computed(events)[3:] == ([[0], [4]] if gives_up else [])
    assert not kept.claimed
    assert kept.values == set(KEYS)
