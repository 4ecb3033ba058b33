"""Character n-grams: vectors of unseen words; parts that do not match."""

import numpy as np
import pytest
from gensim.models.fasttext import ft_ngram_hashes

from skembed.words._subwords import Subwords


@pytest.mark.parametrize(
    ("n_vectors", "buckets", "settings", "message"),
    [
        (3, None, (9, 3, 6), "9 buckets have 3 vectors"),
        (2, [1, 2, 3], (9, 3, 6), "3 buckets have 2 vectors"),
        (3, [1, 1, 3], (9, 3, 6), "Buckets must ascend from 0 to below 9"),
        (3, [1, 2, 9], (9, 3, 6), "Buckets must ascend from 0 to below 9"),
        (3, [-1, 2, 3], (9, 3, 6), "Buckets must ascend from 0 to below 9"),
        (0, None, (0, 3, 6), "0 buckets"),
    ],
)
def test_subwords_whose_parts_do_not_match(n_vectors, buckets, settings, message):
    buckets = None if buckets is None else np.array(buckets)
    with pytest.raises(ValueError, match=message):
        Subwords(np.zeros((n_vectors, 2), dtype=np.float32), buckets, *settings)


@pytest.mark.parametrize("with_initial", [False, True])
@pytest.mark.parametrize("buckets", [None, [1, 4, 5, 8]])
def test_sums_against_a_loop(buckets, with_initial):
    random = np.random.default_rng(0)
    every = random.integers(-9, 9, (9, 3)).astype(np.float32)
    untrained = [2] if buckets is None else sorted({*range(9)} - {*buckets})
    every[untrained] = 0
    rows = every if buckets is None else every[buckets]
    subwords = Subwords(rows, None if buckets is None else np.array(buckets), 9, 2, 3)
    words = ["night", "", "</s>", "日本", "nights"]
    initial = random.integers(-9, 9, (5, 3)).astype(np.float32) if with_initial else None
    sums, n_ngrams, known = subwords.ngram_sums(words, initial)
    for i, word in enumerate(words):
        hashes = [] if word == "</s>" else ft_ngram_hashes(word, 2, 3, 9)
        expected = every[hashes].sum(axis=0) + (initial[i] if with_initial else 0)
        np.testing.assert_array_equal(sums[i], expected)
        assert n_ngrams[i] == len(hashes)
        assert known[i] == any(bucket not in untrained for bucket in hashes)
    np.testing.assert_array_equal(subwords.all_buckets(), every)


def test_own_vectors_are_recovered(model):
    wv = model.wv
    subwords = Subwords(wv.vectors_ngrams, None, wv.bucket, wv.min_n, wv.max_n)
    words = wv.index_to_key
    composed = subwords.compose(words, wv.vectors_vocab)
    np.testing.assert_array_equal(composed, wv.vectors)
    np.testing.assert_allclose(subwords.decompose(words, composed), wv.vectors_vocab, atol=1e-6)
