"""Word2VecVectorizer: gensim to the bit, its poolings, its queries, its messages."""

import os
import pickle
import re
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from gensim.models import KeyedVectors, Word2Vec
from gensim.test.utils import datapath
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.tree import DecisionTreeClassifier

import skembed
from skembed import Word2VecVectorizer
from skembed.exceptions import BadRowsError, UnknownWordError, UnknownWordsWarning


@pytest.fixture(scope="module")
def news():
    """300 short news texts (the Lee background corpus, which gensim ships)."""
    with open(datapath("lee_background.cor"), encoding="utf-8") as file:
        return file.read().splitlines()


@pytest.fixture(scope="module")
def words(news):
    analyze = CountVectorizer().build_analyzer()
    return [analyze(text) for text in news]


@pytest.fixture(scope="module")
def fitted(news):
    return Word2VecVectorizer(20, epochs=3, random_state=5).fit(news)


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


def test_texts_longer_than_gensim_reads_are_read_to_the_end(words):
    """Gensim leaves out what comes after 10,000 words, without a word."""
    long = [word for row in words for word in row] * 2
    embedder = Word2VecVectorizer(5, epochs=1, random_state=0).fit([long])
    parts = [long[start : start + 10_000] for start in range(0, len(long), 10_000)]
    assert len(parts) > 5
    model = Word2Vec(parts, vector_size=5, epochs=1, seed=0, workers=1)
    np.testing.assert_array_equal(embedder.vectors_, model.wv.vectors)


def test_random_state(news):
    def vectors(random_state):
        return Word2VecVectorizer(5, epochs=1, random_state=random_state).fit(news).vectors_

    np.testing.assert_array_equal(vectors(1), vectors(1))
    assert not np.array_equal(vectors(1), vectors(2))
    of_instances = [vectors(np.random.RandomState(1)) for _ in range(2)]
    np.testing.assert_array_equal(*of_instances)
    assert not np.array_equal(vectors(None), vectors(None))


@pytest.mark.parametrize("name", ["Word2VecVectorizer", "FastTextVectorizer", "GloVeVectorizer"])
def test_results_do_not_depend_on_pythons_hashes(name):
    """Python's hash of a string differs from process to process."""
    code = f"""
import numpy as np, skembed
words = np.random.default_rng(0).choice([*"abcdefghij"], (50, 20)).tolist()
embedder = skembed.{name}(4, min_count=1, epochs=2, random_state=0, pooling="sif")
if hasattr(embedder, "bucket"):
    embedder.set_params(bucket=100)
print(embedder.fit_transform(words).tobytes().hex())
"""
    answers = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(answers) == 1


def test_several_threads_train(news):
    embedder = Word2VecVectorizer(5, epochs=1, n_jobs=2).fit(news)
    assert np.isfinite(embedder.vectors_).all()


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


# -- rows -----------------------------------------------------------------------------------------


def test_rows_without_known_words_get_zeros_and_one_counted_warning(fitted):
    rows = ["the government", "zyx", "", "the government", [], "zyx"]
    message = (
        f"Word2VecVectorizer: 4 of 6 texts have none of the {len(fitted.vocabulary_)} known words, "
        "and got zeros."
    )
    with pytest.warns(UnknownWordsWarning, match=re.escape(message)) as caught:
        vectors = fitted.transform(rows)
    assert len(caught) == 1
    assert caught[0].filename == __file__
    assert not vectors[[1, 2, 4, 5]].any()
    assert vectors[[0, 3]].all()


@pytest.mark.parametrize("name", ["Word2VecVectorizer", "FastTextVectorizer"])
def test_rows_are_taken_part_by_part(name, news, monkeypatch):
    parameters = {"epochs": 1, "random_state": 0, "pooling": "sif"}
    if name == "FastTextVectorizer":
        parameters["bucket"] = 1000
    embedder = getattr(skembed, name)(5, **parameters)
    rows = [*news[:60], news[0].split()]
    whole = clone(embedder).fit(rows)
    monkeypatch.setattr("skembed.words._base._CHUNK", 500)
    in_parts = clone(embedder).fit(rows)
    np.testing.assert_allclose(in_parts.transform(news), whole.transform(news), atol=1e-6)
    np.testing.assert_array_equal(in_parts.vectors_, whole.vectors_)


def test_bad_rows_are_named(fitted):
    message = (
        "Word2VecVectorizer: 3 of 4 rows are not text or lists of words (row 1: list with int, "
        "row 2: bytes; decode it with row.decode(), row 3: dict)"
    )
    with pytest.raises(BadRowsError, match=re.escape(message)):
        fitted.transform(["a", ["a", 1], b"a", {}])


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
            "empty vocabulary; the rows hold no words that token_pattern finds, or only stop",
        ),
        ({"hs": 0, "negative": 0}, ["a"], "Nothing is learned with hs=0 and negative=0"),
        ({"fine_tune": True}, ["a"], "fine_tune says how to use `vectors`, which is None."),
        ({"max_words": 3}, ["a"], "max_words says how to use `vectors`, which is None."),
        ({"token_pattern": "(a)(b)"}, ["a"], "More than 1 capturing group in token pattern"),
    ],
)
def test_messages_of_fit(parameters, X, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        Word2VecVectorizer(**parameters).fit(X)


def test_one_word_and_one_row_can_be_learned_of():
    for hs in (0, 1):
        embedder = Word2VecVectorizer(4, min_count=1, hs=hs, random_state=0).fit(["word"])
        assert embedder.vectors_.shape == (1, 4)


def test_verbose_shows_a_progress_bar_and_quiet_shows_nothing(news, capsys):
    embedder = Word2VecVectorizer(5, epochs=2, verbose=1).fit(news)
    embedder.transform(news)
    shown = capsys.readouterr().err
    assert "Word2VecVectorizer: 100%" in shown
    assert "2/2" in shown
    n_unique = len(set(news))
    assert f"{n_unique}/{n_unique}" in shown
    embedder.set_params(verbose=0).fit(news).transform(news)
    assert capsys.readouterr() == ("", "")


# -- queries --------------------------------------------------------------------------------------


def test_most_similar_is_gensims(fitted):
    wv = fitted.to_keyed_vectors()
    for word in ("government", "palestinian"):
        mine, theirs = fitted.most_similar(word, topn=5), wv.most_similar(word, topn=5)
        assert [item.word for item in mine] == [other for other, _ in theirs]
        np.testing.assert_allclose([s for _, s in mine], [s for _, s in theirs], atol=1e-5)


def test_most_similar_to_a_vector(fitted):
    vector = fitted.vectors_[7]
    nearest = fitted.most_similar(vector, topn=1)[0]
    assert fitted.vocabulary_[nearest.word] == 7
    assert nearest.similarity == pytest.approx(1)


def test_more_neighbors_than_there_are():
    embedder = Word2VecVectorizer(3, min_count=1, random_state=0).fit(["aa bb cc"])
    assert {item.word for item in embedder.most_similar("aa", topn=9)} == {"bb", "cc"}
    assert embedder.analogy(["aa", "bb"], ["cc"], topn=9) == []


def test_similarity(fitted):
    a, b = (fitted.vectors_[fitted.vocabulary_[word]] for word in ("government", "police"))
    expected = a @ b / np.linalg.norm(a) / np.linalg.norm(b)
    assert fitted.similarity("government", "police") == pytest.approx(expected, abs=1e-6)
    assert fitted.similarity("Government", b) == pytest.approx(expected, abs=1e-6)


@pytest.mark.filterwarnings("ignore:Call to deprecated `init_sims`")  # by gensim itself
@pytest.mark.parametrize("method", ["3cosadd", "3cosmul"])
def test_analogies_are_gensims(fitted, method):
    wv = fitted.to_keyed_vectors()
    query = {"positive": ["government", "police"], "negative": ["palestinian"]}
    theirs = (wv.most_similar if method == "3cosadd" else wv.most_similar_cosmul)(**query, topn=5)
    mine = fitted.analogy(**query, topn=5, method=method)
    assert [item.word for item in mine] == [word for word, _ in theirs]
    np.testing.assert_allclose([s for _, s in mine], [s for _, s in theirs], atol=1e-5)


def test_messages_of_queries(fitted):
    n = len(fitted.vocabulary_)
    with pytest.raises(UnknownWordError, match=f"'zyx' is not among the {n} words") as raised:
        fitted.most_similar("zyx")
    assert isinstance(raised.value, KeyError)
    for wrong, what in (
        ([1, 2, 3], "one of shape (3,)"),
        (None, "None"),
        (["the", "of"], "['the', 'of']"),
        ([np.nan] * 20, "one that holds NaN or infinity"),
    ):
        message = f"A word or a vector of shape (20,) is expected, got {what}."
        with pytest.raises(ValueError, match=re.escape(message)):
            fitted.most_similar(wrong)
    with pytest.raises(ValueError, match="topn must be a positive int, got 0"):
        fitted.most_similar("the", topn=0)
    with pytest.raises(ValueError, match="method must be '3cosadd' or '3cosmul', got 'cos'"):
        fitted.analogy(["the"], [], method="cos")
    with pytest.raises(TypeError, match="positive must be a list of words or vectors, got 'the'"):
        fitted.analogy("the", ["of"])
    with pytest.raises(TypeError, match="negative must be a list of words or vectors, got None"):
        fitted.analogy(["the"], None)
    with pytest.raises(ValueError, match="positive must hold at least one word"):
        fitted.analogy([], ["of"])


def test_queries_before_fit():
    for call in (
        lambda e: e.most_similar("a"),
        lambda e: e.similarity("a", "b"),
        lambda e: e.analogy(["a"], []),
        lambda e: e.to_keyed_vectors(),
        lambda e: e.vectors_,
        lambda e: e.vocabulary_,
    ):
        with pytest.raises(NotFittedError):
            call(Word2VecVectorizer())
    assert not hasattr(Word2VecVectorizer(), "vectors_")


def test_pickles_hold_the_vectors(fitted, news):
    copy = pickle.loads(pickle.dumps(fitted))
    np.testing.assert_array_equal(copy.vectors_, fitted.vectors_)
    np.testing.assert_array_equal(copy.transform(news), fitted.transform(news))
    assert copy.most_similar("government") == fitted.most_similar("government")


# -- published vectors ----------------------------------------------------------------------------


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
    with pytest.raises(ValueError, match="vectors: the vector of 'bb' holds NaN or infinity"):
        Word2VecVectorizer(vectors=empty).fit(["a"])


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
    """As gensim does whose vectors are set before it trains; other words are kept."""
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


def test_a_missing_file():
    with pytest.raises(FileNotFoundError, match=r"vectors='not/there\.txt': there is no such file"):
        Word2VecVectorizer(vectors="not/there.txt").fit(["a"])


# -- refits that fail -----------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["Word2VecVectorizer", "FastTextVectorizer", "GloVeVectorizer"])
@pytest.mark.parametrize(
    ("parameters", "rows"),
    [
        ({"min_count": 99, "lowercase": False}, ["THE CAT"]),
        ({"token_pattern": "(", "pooling": "max"}, ["THE CAT"]),
        ({"vectors": "missing.bin", "lowercase": False}, ["THE CAT"]),
        ({"lowercase": False}, pd.DataFrame({"a": ["THE CAT"], "b": [None]})),
    ],
    ids=["vocabulary", "pattern", "file", "rows"],
)
def test_a_refit_that_fails_leaves_the_embedder_as_it_was(name, parameters, rows):
    texts = ["the cat sat on the mat"] * 5
    embedder = getattr(skembed, name)(4, min_count=1, epochs=1, random_state=0)
    if name == "FastTextVectorizer":
        embedder.set_params(bucket=100)
    vectors = embedder.fit_transform(texts)
    state = vars(embedder).copy()
    with pytest.raises((ValueError, OSError, re.error)):
        embedder.set_params(**parameters).fit(rows)
    assert vars(embedder) == state | parameters
    np.testing.assert_array_equal(embedder.transform(["THE CAT sat on the mat"]), vectors[:1])
    unfitted = clone(embedder)
    with pytest.raises((ValueError, OSError, re.error)):
        unfitted.fit_transform(rows)
    with pytest.raises(NotFittedError):
        unfitted.transform(texts)


@pytest.mark.parametrize("pooling", ["sif", "usif", "tfidf"])
def test_a_pooling_of_other_vectors_is_refused(fitted, news, pooling):
    embedder = clone(fitted).set_params(pooling=pooling).fit(news)
    other = clone(embedder).set_params(min_count=9).fit(news)
    state = {**vars(embedder), "_source": other._source}
    copied = clone(embedder)
    copied.__setstate__(state)
    with pytest.raises(ValueError, match=f"The pooling '{pooling}' was not learned for"):
        copied.transform(news[:3])
