"""Word tables: their parts match, and look-ups stay within the vectors."""

import re

import numpy as np
import pytest

from skembed import Word2VecVectorizer
from skembed.words import _files
from skembed.words._table import WordTable


@pytest.mark.parametrize(
    ("vocabulary", "shape", "message"),
    [
        ({"a": 0, "b": 1}, (1, 1), "2 words have 1 vectors"),
        ({"a": 0}, (2, 1), "1 words have 2 vectors"),
        ({"a": 0, "b": 9}, (2, 1), "indices of the words must be 0, 1, 2"),
        ({"a": -1, "b": 1}, (2, 1), "indices of the words must be 0, 1, 2"),
        ({"a": 0, "b": 1}, (2,), "Vectors must be a 2-D array of float32, got (2,) float32."),
    ],
)
def test_tables_whose_parts_do_not_match(vocabulary, shape, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        WordTable(vocabulary, np.zeros(shape, dtype=np.float32))
    state = {"vocabulary": vocabulary, "vectors": np.zeros(shape, dtype=np.float32)}
    with pytest.raises(ValueError, match=re.escape(message)):
        WordTable.__new__(WordTable).__setstate__({**state, "subwords": None, "state": None})


def test_a_modified_vocabulary_reads_nothing_beyond_the_vectors(tmp_path):
    (tmp_path / "v.txt").write_text("aa 1.0\nbb 2.0\n")
    embedder = Word2VecVectorizer(vectors=tmp_path / "v.txt").fit(["aa"])
    embedder.vocabulary_["cc"] = 10**6
    try:
        with pytest.raises(ValueError, match="indices beyond its 2 vectors"):
            embedder.transform(["cc"])
    finally:
        _files._tables.clear()


def test_more_neighbors_than_there_are():
    embedder = Word2VecVectorizer(3, min_count=1, random_state=0).fit(["aa bb cc"])
    assert {item.word for item in embedder.most_similar("aa", topn=9)} == {"bb", "cc"}
    assert embedder.analogy(["aa", "bb"], ["cc"], topn=9) == []
