"""What must run on the caller's thread: reading rows, and looking up the settings of a context."""

import threading
from collections.abc import Sequence
from dataclasses import replace

import skembed
from skembed import BertEmbedder
from skembed.text._bert import TEXTS
from skembed.text._tokens import TextPreprocessor


class OwnedByAThread(Sequence):
    """Rows that only the thread that made them can read, as those of an SQLite connection."""

    def __init__(self, rows):
        self._rows, self._owner = rows, threading.get_ident()

    def __len__(self):
        return len(self._rows)

    def __getitem__(self, i):
        assert threading.get_ident() == self._owner
        return self._rows[i]


def test_rows_are_read_on_the_callers_thread(tiny_bert, texts, monkeypatch):
    """Only their preparation runs beside the computing."""
    monkeypatch.setattr(BertEmbedder, "_modality", replace(TEXTS, chunk=3))
    embedder = BertEmbedder(tiny_bert, cache=None).fit(texts)
    keys, _ = embedder._check_rows(texts)
    blocks = list(embedder._embed(OwnedByAThread(texts), keys, {}))
    assert sum(len(block.rows) for block in blocks) == len(texts)


def test_the_threads_of_a_context_hold_for_the_preparation(tiny_bert, texts, monkeypatch):
    """A context belongs to the caller's thread; rows are prepared on another one."""
    monkeypatch.setattr(BertEmbedder, "_modality", replace(TEXTS, chunk=3))
    embedder = BertEmbedder(tiny_bert, cache=None).fit(texts)
    seen = []
    real = TextPreprocessor.prepare

    def prepare(self, rows, keys, n_threads):
        seen.append(n_threads)
        return real(self, rows, keys, n_threads)

    monkeypatch.setattr(TextPreprocessor, "prepare", prepare)
    with skembed.config_context(n_threads=1):
        embedder.transform(texts)
    assert len(seen) > 1
    assert set(seen) == {1}
