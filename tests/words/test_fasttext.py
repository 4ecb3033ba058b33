"""FastTextVectorizer: gensim to the bit, subwords of unseen words, continued training."""

import pickle
import re
import struct

import numpy as np
import pytest
from gensim.models import FastText
from gensim.models.fasttext import (
    ft_ngram_hashes,
    load_facebook_model,
    load_facebook_vectors,
    save_facebook_model,
)
from gensim.test.utils import datapath

from skembed import FastTextVectorizer
from skembed.exceptions import UnknownWordError, UnknownWordsWarning, VectorFileError
from words.contents import fasttext_bin

BIN = datapath("crime-and-punishment.bin")


@pytest.fixture(scope="module")
def news(news):
    return news[:100]


@pytest.fixture(scope="module")
def fitted(news):
    return FastTextVectorizer(12, epochs=2, bucket=5000, random_state=5).fit(news)


@pytest.mark.parametrize(
    "parameters",
    [{}, {"sg": 1, "min_n": 2, "max_n": 4}, {"hs": 1, "negative": 0}, {"max_n": 0}],
    ids=str,
)
def test_vectors_are_gensims_to_the_bit(news, words, parameters):
    parameters = {"bucket": 1000, "epochs": 2, "vector_size": 6} | parameters
    embedder = FastTextVectorizer(random_state=3, **parameters).fit(news)
    model = FastText(words, seed=3, workers=1, **parameters)
    np.testing.assert_array_equal(embedder.vectors_, model.wv.vectors)
    assert embedder.vocabulary_ == model.wv.key_to_index


def test_an_unseen_word_is_the_mean_of_its_ngrams(news, words, fitted):
    """Only n-grams of the vocabulary count; gensim leaves random numbers in other buckets."""
    model = FastText(words, vector_size=12, epochs=2, bucket=5000, seed=5, workers=1)
    learned = {bucket for row in model.wv.buckets_word for bucket in row}
    assert 0 < len(learned) < 5000
    unseen = ["governmental", "unpoliced", "xyzzy"]
    expected = []
    for word in unseen:
        buckets = ft_ngram_hashes(word, 3, 6, 5000)
        rows = [model.wv.vectors_ngrams[b] if b in learned else np.zeros(12) for b in buckets]
        expected.append(np.mean(rows, axis=0))
    np.testing.assert_allclose(fitted.transform(unseen), expected, atol=1e-6)
    text = fitted.transform(["the governmental police"])[0]
    the, police = (fitted.vectors_[fitted.vocabulary_[word]] for word in ("the", "police"))
    np.testing.assert_allclose(text, (the + expected[0] + police) / 3, atol=1e-6)


def test_unseen_words_in_queries(fitted):
    assert "government" in [item.word for item in fitted.most_similar("governmental", topn=3)]
    assert fitted.similarity("governmental", "government") > 0.9
    wv = fitted.to_keyed_vectors()
    vector = fitted.transform(["governmental"])[0]
    np.testing.assert_allclose(wv["governmental"], vector, atol=1e-6)
    np.testing.assert_array_equal(wv["police"], fitted.vectors_[fitted.vocabulary_["police"]])


def test_oov_ignore_leaves_unseen_words_out(news, fitted):
    embedder = FastTextVectorizer(12, epochs=2, bucket=5000, random_state=5, oov="ignore").fit(news)
    np.testing.assert_array_equal(embedder.vectors_, fitted.vectors_)
    vectors = embedder.transform(["police", "police xyzzy"])
    np.testing.assert_array_equal(vectors[0], vectors[1])
    with pytest.warns(UnknownWordsWarning, match="1 of 1 text has none of the"):
        assert not embedder.transform(["xyzzy"]).any()
    with pytest.raises(UnknownWordError, match="'xyzzy' is not among"):
        embedder.most_similar("xyzzy")


def test_words_without_ngrams_of_that_length_are_unknown(news):
    embedder = FastTextVectorizer(4, epochs=1, min_n=9, max_n=9, bucket=100).fit(news)
    with pytest.warns(UnknownWordsWarning, match="1 of 2 texts has none of the 664 known words"):
        vectors = embedder.transform(["zq", "the"])
    assert not vectors[0].any()


@pytest.mark.parametrize("pooling", ["max", "tfidf", "sif", "usif"])
def test_unseen_words_under_each_pooling(news, fitted, pooling):
    embedder = FastTextVectorizer(12, epochs=2, bucket=5000, random_state=5, pooling=pooling)
    vectors = embedder.fit(news).transform(["the governmental police", "governmental"])
    assert np.isfinite(vectors).all()
    assert vectors.any(axis=1).all()
    alone = embedder.transform(["governmental"])
    np.testing.assert_allclose(vectors[1], alone[0], atol=1e-6)


def test_pickles_hold_the_buckets_that_were_used(news):
    fitted = FastTextVectorizer(12, epochs=1, bucket=100_000, random_state=5).fit(news)
    content = pickle.dumps(fitted)
    assert len(content) < 100_000 * 12 * 4 / 5
    unseen = ["governmental", "xyzzy"]
    np.testing.assert_array_equal(pickle.loads(content).transform(unseen), fitted.transform(unseen))


def test_a_bin_file_with_its_subwords():
    embedder = FastTextVectorizer(vectors=BIN, lowercase=False).fit(["anything"])
    theirs = load_facebook_vectors(BIN)
    words = [*list(embedder.vocabulary_)[3:5], "unseen"]
    expected = [theirs[word] for word in words]
    np.testing.assert_allclose(embedder.transform([[w] for w in words]), expected, atol=1e-6)
    assert len(pickle.dumps(embedder)) < 5000
    wv = embedder.to_keyed_vectors()
    np.testing.assert_allclose(wv["unseen"], theirs["unseen"], atol=1e-6)


def test_gensims_object_with_its_subwords(fitted, news):
    embedder = FastTextVectorizer(vectors=fitted.to_keyed_vectors()).fit(news)
    texts = ["the police", "governmental"]
    np.testing.assert_allclose(embedder.transform(texts), fitted.transform(texts), atol=1e-7)


def test_fine_tuning_is_gensims(tmp_path):
    rows = ["raskolnikov went into the street", "the old woman went away"] * 10
    embedder = FastTextVectorizer(
        vectors=BIN, fine_tune=True, min_count=1, epochs=2, random_state=1
    ).fit(rows)
    model = load_facebook_model(BIN)
    model.workers, model.seed, model.random = 1, 1, np.random.RandomState(1)
    sentences = [row.split() for row in rows]
    model.build_vocab(sentences, update=True, min_count=1)
    model.train(
        sentences,
        total_examples=20,
        total_words=model.corpus_total_words,
        epochs=2,
        start_alpha=0.025,
    )
    np.testing.assert_array_equal(embedder.vectors_, model.wv.vectors)
    assert {"raskolnikov", "woman"} <= set(embedder.vocabulary_)


def test_messages_of_fine_tuning(tmp_path, fitted):
    for vectors in (datapath("crime-and-punishment.vec"), fitted.to_keyed_vectors()):
        with pytest.raises(ValueError, match=r"fine_tune needs a \.bin file of fastText"):
            FastTextVectorizer(vectors=vectors, fine_tune=True).fit(["a"])
    with pytest.raises(ValueError, match=re.escape("leave max_words out")):
        FastTextVectorizer(vectors=BIN, fine_tune=True, max_words=9).fit(["a"])
    model = FastText([["aa", "bb"]] * 9, vector_size=4, min_count=1, bucket=10, workers=1)
    save_facebook_model(model, str(tmp_path / "whole.bin"))
    content = (tmp_path / "whole.bin").read_bytes()
    (tmp_path / "cut.bin").write_bytes(content[:-8])
    embedder = FastTextVectorizer(vectors=tmp_path / "cut.bin", min_count=1)
    assert embedder.fit(["aa bb"]).vectors_.shape == (2, 4)
    with pytest.raises(VectorFileError, match="is truncated after its vectors"):
        embedder.set_params(fine_tune=True).fit(["aa bb"])


def test_training_of_a_classifier_is_not_continued(tmp_path):
    content = fasttext_bin(["night", "day"], np.ones((2, 4), "f4"), labels=["__label__a"], model=3)
    (tmp_path / "v.bin").write_bytes(content)
    embedder = FastTextVectorizer(vectors=tmp_path / "v.bin", fine_tune=True, min_count=1)
    with pytest.raises(VectorFileError, match="or a classifier: it lacks the output weights"):
        embedder.fit(["night day"])


@pytest.mark.parametrize(
    ("place", "value"), [(12, -1), (12, 0), (12, 2**31 - 1), (24, 0), (24, -5), (24, 2**31 - 1)]
)
def test_settings_of_a_file_that_cannot_be_trained_with(tmp_path, place, value):
    """Gensim would fail in its training threads, and wait forever."""
    content = bytearray(fasttext_bin(["night", "day"], np.ones((2, 4), "f4")))
    content[place : place + 4] = struct.pack("<i", value)
    (tmp_path / "v.bin").write_bytes(content)
    embedder = FastTextVectorizer(vectors=tmp_path / "v.bin", fine_tune=True, min_count=1)
    with pytest.raises(VectorFileError, match="cannot be continued: window="):
        embedder.fit(["night day"])
