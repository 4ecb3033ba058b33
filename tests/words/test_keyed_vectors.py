"""gensim's objects as word tables, and word tables as gensim's objects."""

import copy

import numpy as np
import pytest
from gensim.models import KeyedVectors

from skembed import FastTextVectorizer, Word2VecVectorizer


@pytest.mark.parametrize("cls", [Word2VecVectorizer, FastTextVectorizer])
def test_keyed_vectors_whose_parts_do_not_match(cls):
    made = KeyedVectors(1)
    made.add_vectors(["aa", "bb"], np.ones((2, 1)))
    made.index_to_key = made.index_to_key * 1000
    with pytest.raises(ValueError, match="2000 words have vectors of shape"):
        cls(vectors=made).fit(["aa"])
    made.index_to_key = [1, 2]
    with pytest.raises(ValueError, match="words must be str, got 1"):
        cls(vectors=made).fit(["aa"])


def test_subwords_of_gensim_that_do_not_match(model):
    wv = copy.deepcopy(model.wv)
    wv.vectors_ngrams = wv.vectors_ngrams[:3]
    with pytest.raises(ValueError, match="vectors: 50 buckets have 3 vectors"):
        FastTextVectorizer(vectors=wv).fit(["night"])


def test_keyed_vectors_are_used_as_they_are(fitted, news):
    given = fitted.to_keyed_vectors()
    embedder = Word2VecVectorizer(vectors=given).fit(["anything"])
    assert np.shares_memory(embedder.vectors_, given.vectors)
    np.testing.assert_array_equal(embedder.transform(news), fitted.transform(news))


def test_keyed_vectors_of_nothing_or_nan_are_refused():
    empty = KeyedVectors(3)
    with pytest.raises(ValueError, match="vectors: there are no words"):
        Word2VecVectorizer(vectors=empty).fit(["a"])
    empty.add_vectors(["aa", "bb"], np.array([[1, 2, 3], [1, np.nan, 3]]))
    with pytest.raises(ValueError, match="vectors: the vector of 'bb' contains NaN or infinity"):
        Word2VecVectorizer(vectors=empty).fit(["a"])


def test_keyed_vectors_are_as_gensim_makes_them():
    rows = ["the cat sat on the mat", "a dog and a cat"] * 6
    embedder = FastTextVectorizer(6, min_count=1, epochs=2, bucket=500, random_state=0).fit(rows)
    wv = embedder.to_keyed_vectors()
    before = wv.vectors.copy()
    wv.adjust_vectors()  # of the words' own vectors and the n-grams'
    np.testing.assert_array_equal(wv.vectors, before)
    assert wv.get_vecattr("cat", "count") == 12
