"""Each row is computed once, in chunks, by whoever claims it first."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
from sklearn.base import clone

import skembed
from skembed import BertEmbedder
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
