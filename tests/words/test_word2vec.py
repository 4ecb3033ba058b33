"""Word2VecVectorizer: gensim to the bit; pretrained vectors."""

import pickle
import re

import numpy as np
import pytest
from gensim.models import KeyedVectors, Word2Vec
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.tree import DecisionTreeClassifier

from skembed import Word2VecVectorizer

TRAINING = {
    "cbow": {},
    "skip-gram": {"sg": 1},
    "hierarchical": {"hs": 1, "negative": 0},
    "both": {"sg": 1, "hs": 1, "negative": 3},
    "other": {"window": 2, "min_count": 2, "alpha": 0.05, "sample": 0},
}


@pytest.mark.parametrize("parameters", TRAINING.values(), ids=TRAINING)
def test_vectors_are_gensims_to_the_bit(news, words, parameters):
    embedder = Word2VecVectorizer(10, epochs=2, random_state=3, **parameters).fit(news)
    model = Word2Vec(words, vector_size=10, epochs=2, seed=3, workers=1, **parameters)
    np.testing.assert_array_equal(embedder.vectors_, model.wv.vectors)
    assert embedder.vocabulary_ == model.wv.key_to_index
    assert embedder.vectors_.dtype == np.float32


def test_lists_of_words_give_the_same_as_texts(news, words, fitted):
    embedder = clone(fitted).fit(words)
    np.testing.assert_array_equal(embedder.vectors_, fitted.vectors_)
    np.testing.assert_array_equal(embedder.transform(words), fitted.transform(news))


def test_the_mean_is_a_plain_average(news, words, fitted):
    vocabulary, vectors = fitted.vocabulary_, fitted.vectors_
    expected = [
        np.mean([vectors[vocabulary[word]] for word in row if word in vocabulary], axis=0)
        for row in words
    ]
    np.testing.assert_allclose(fitted.transform(news), expected, rtol=0, atol=1e-6)


def test_random_state(news):
    def vectors(random_state):
        return Word2VecVectorizer(5, epochs=1, random_state=random_state).fit(news).vectors_

    np.testing.assert_array_equal(vectors(1), vectors(1))
    assert not np.array_equal(vectors(1), vectors(2))
    of_instances = [vectors(np.random.RandomState(1)) for _ in range(2)]
    np.testing.assert_array_equal(*of_instances)
    assert not np.array_equal(vectors(None), vectors(None))


def test_a_grid_search_in_processes_gives_the_same_again(news):
    y = np.arange(len(news[:60])) % 2
    grid = {"word2vecvectorizer__sg": [0, 1], "word2vecvectorizer__pooling": ["mean", "sif"]}
    model = make_pipeline(
        Word2VecVectorizer(5, min_count=1, epochs=1, random_state=0),
        DecisionTreeClassifier(random_state=0),
    )
    scores = [
        GridSearchCV(model, grid, cv=2, n_jobs=n_jobs).fit(news[:60], y).cv_results_
        for n_jobs in (1, 2)
    ]
    np.testing.assert_array_equal(*[result["mean_test_score"] for result in scores])


@pytest.mark.parametrize(
    ("parameters", "X", "message"),
    [
        (
            {},
            ["the cat", "the dog"],
            "Word2VecVectorizer: empty vocabulary; no word occurs min_count=5 times or more; the "
            "most frequent is 'the' with 2. Lower min_count.",
        ),
        (
            {},
            ["", "a !"],
            "empty vocabulary; token_pattern finds no words in the rows, or only stop",
        ),
        ({"hs": 0, "negative": 0}, ["a"], "hs=0 and negative=0 train nothing"),
        ({"fine_tune": True}, ["a"], "fine_tune applies to `vectors`, which is None."),
        ({"max_words": 3}, ["a"], "max_words applies to `vectors`, which is None."),
        ({"token_pattern": "(a)(b)"}, ["a"], "More than 1 capturing group in token pattern"),
    ],
)
def test_messages_of_fit(parameters, X, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        Word2VecVectorizer(**parameters).fit(X)


def test_training_on_one_word_in_one_row():
    for hs in (0, 1):
        embedder = Word2VecVectorizer(4, min_count=1, hs=hs, random_state=0).fit(["word"])
        assert embedder.vectors_.shape == (1, 4)


def test_vectors_of_a_file_are_not_in_the_pickle(fitted, news, tmp_path):
    fitted.to_keyed_vectors().save_word2vec_format(tmp_path / "v.bin", binary=True)
    embedder = Word2VecVectorizer(vectors=tmp_path / "v.bin", pooling="sif").fit(news)
    content = pickle.dumps(embedder)
    assert len(content) < fitted.vectors_.nbytes / 4
    copy = pickle.loads(content)
    np.testing.assert_array_equal(copy.transform(news), embedder.transform(news))
    with pytest.raises(ValueError, match="read-only"):
        embedder.vectors_[0] = 0


def test_max_words(fitted, news, tmp_path):
    fitted.to_keyed_vectors().save_word2vec_format(tmp_path / "v.txt")
    embedder = Word2VecVectorizer(vectors=str(tmp_path / "v.txt"), max_words=9).fit(news)
    assert list(embedder.vocabulary_) == list(fitted.vocabulary_)[:9]


def test_fine_tuning_goes_on_from_the_file(fitted, news, words):
    """As in gensim with vectors set before training; other words are kept."""
    start = KeyedVectors(20)
    known = ["government", "police", "elsewhere"]
    start.add_vectors(known, np.random.default_rng(0).standard_normal((3, 20)))
    embedder = Word2VecVectorizer(vectors=start, fine_tune=True, epochs=2, random_state=1).fit(news)
    model = Word2Vec(vector_size=20, epochs=2, seed=1, workers=1)
    model.build_vocab(words)
    for word in known[:2]:
        model.wv.vectors[model.wv.key_to_index[word]] = start[word]
    model.train(words, total_examples=len(words), epochs=2)
    np.testing.assert_array_equal(embedder.vectors_[:-1], model.wv.vectors)
    np.testing.assert_array_equal(embedder.vectors_[-1], start["elsewhere"])
    assert list(embedder.vocabulary_)[-1] == "elsewhere"
