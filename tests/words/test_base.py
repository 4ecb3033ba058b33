"""What the word-vector estimators share: rows, queries, failed refits, NumPy parameters."""

import os
import pickle
import re
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

import skembed
from skembed import FastTextVectorizer, GloVeVectorizer, Word2VecVectorizer
from skembed.exceptions import BadRowsError, UnknownWordError, UnknownWordsWarning

ROWS = ["the cat sat on the mat", "a dog and a cat"] * 6
# Types of 8 bits, in which sizes of arrays overflow, and floats of fewer digits.
SHARED = {
    "vector_size": np.uint8(8),
    "window": np.int8(100),
    "min_count": np.uint8(1),
    "epochs": np.uint8(2),
    "lowercase": np.bool_(True),
    "fine_tune": np.bool_(False),
    "n_jobs": np.int8(1),
    "random_state": np.int64(3),
    "verbose": np.int64(0),
    "pooling": np.str_("mean"),
}
GENSIM = {
    "sg": np.uint8(1),
    "hs": np.int64(0),
    "negative": np.uint8(5),
    "alpha": np.float16(0.025),
    "sample": np.float32(1e-3),
}
NGRAMS = {"min_n": np.int8(3), "max_n": np.uint8(5), "bucket": np.uint8(200)}
GLOVE = {"x_max": np.uint8(10), "power": np.float32(0.75), "learning_rate": np.float16(0.05)}
EMBEDDERS = [
    (Word2VecVectorizer, SHARED | GENSIM),
    (FastTextVectorizer, SHARED | GENSIM | NGRAMS),
    (GloVeVectorizer, SHARED | GLOVE),
]


@pytest.mark.parametrize("name", ["Word2VecVectorizer", "FastTextVectorizer", "GloVeVectorizer"])
def test_results_do_not_depend_on_pythons_hashes(name):
    """Python's hash of a string differs between processes."""
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


# -- rows -----------------------------------------------------------------------------------------


def test_rows_without_known_words_get_zeros_and_one_counted_warning(fitted):
    rows = ["the government", "zyx", "", "the government", [], "zyx"]
    message = (
        f"Word2VecVectorizer: 4 of 6 texts have none of the {len(fitted.vocabulary_)} known words "
        "and got zeros."
    )
    with pytest.warns(UnknownWordsWarning, match=re.escape(message)) as caught:
        vectors = fitted.transform(rows)
    assert len(caught) == 1
    assert caught[0].filename == __file__
    assert not vectors[[1, 2, 4, 5]].any()
    assert vectors[[0, 3]].all()


@pytest.mark.parametrize("name", ["Word2VecVectorizer", "FastTextVectorizer"])
def test_rows_are_embedded_in_chunks(name, news, monkeypatch):
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
    with pytest.raises(UnknownWordError, match=f"'zyx' is not among the {n} words of") as raised:
        fitted.most_similar("zyx")
    assert isinstance(raised.value, KeyError)
    for wrong, what in (
        ([1, 2, 3], "one of shape (3,)"),
        (None, "None"),
        (["the", "of"], "['the', 'of']"),
        ([np.nan] * 20, "one that contains NaN or infinity"),
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
    with pytest.raises(ValueError, match="positive must contain at least one word"):
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
    with pytest.raises(ValueError, match=f"The pooling '{pooling}' was not fitted on"):
        copied.transform(news[:3])


# -- parameters in types of NumPy ------------------------------------------------------------------


@pytest.mark.parametrize(("cls", "parameters"), EMBEDDERS)
def test_numpy_scalars_equal_python_numbers(cls, parameters, tmp_path):
    plain = {name: value.item() for name, value in parameters.items()}
    expected, embedder = cls(**plain).fit(ROWS), cls(**parameters).fit(ROWS)
    assert embedder.vocabulary_ == expected.vocabulary_
    np.testing.assert_array_equal(embedder.vectors_, expected.vectors_)
    again = pickle.loads(pickle.dumps(embedder))
    np.testing.assert_array_equal(again.transform(ROWS), expected.transform(ROWS))
    for file_format in ("text", "binary", "glove", "fasttext"):
        embedder.save_vectors(tmp_path / "ours", file_format=file_format)
        expected.save_vectors(tmp_path / "theirs", file_format=file_format)
        assert (tmp_path / "ours").read_bytes() == (tmp_path / "theirs").read_bytes()
    state = embedder._source.state
    assert state is None or {type(v) for v in state.settings.values()} <= {int, float}


@pytest.mark.parametrize(("cls", "parameters"), EMBEDDERS)
def test_numpy_scalars_in_reading_and_fine_tuning(cls, parameters, tmp_path):
    saved = tmp_path / "v.bin"
    cls(**parameters).fit(ROWS).save_vectors(saved)
    words = cls(vectors=saved, max_words=np.uint8(2)).fit(ROWS)
    assert len(pickle.loads(pickle.dumps(words)).vocabulary_) == 2
    assert type(words._source.max_words) is int
    tuned = parameters | {"fine_tune": np.bool_(True), "vectors": saved}
    plain = {n: v.item() if isinstance(v, np.generic) else v for n, v in tuned.items()}
    np.testing.assert_array_equal(cls(**tuned).fit(ROWS).vectors_, cls(**plain).fit(ROWS).vectors_)
