"""Word similarity and analogies, as gensim evaluates them."""

import math
import re

import numpy as np
import pytest
from gensim.models import KeyedVectors
from gensim.test.utils import datapath

from skembed import Word2VecVectorizer
from skembed.evaluation import word_analogies, word_similarity


@pytest.fixture(scope="module")
def vectors():
    """Random vectors of nearly all words of the tasks, in lowercase."""
    words = set()
    for name in ("wordsim353.tsv", "simlex999.txt", "questions-words.txt"):
        with open(datapath(name), encoding="utf-8") as file:
            words |= set(re.findall(r"[a-z]+", file.read().lower()))
    words = sorted(words)[::2] + sorted(words)[1::4]
    made = KeyedVectors(25)
    made.add_vectors(words, np.random.default_rng(0).standard_normal((len(words), 25)))
    return made


@pytest.fixture(scope="module")
def embedder(vectors):
    return Word2VecVectorizer(vectors=vectors).fit(["a"])


@pytest.mark.parametrize("name", ["wordsim353", "simlex999"])
def test_similarity_is_gensims(embedder, vectors, name):
    file = datapath({"wordsim353": "wordsim353.tsv", "simlex999": "simlex999.txt"}[name])
    _, (spearman, _), unknown = vectors.evaluate_word_pairs(file)
    result = word_similarity(embedder, name)
    assert result.spearman == pytest.approx(spearman, abs=1e-6)
    assert result.known == pytest.approx(1 - unknown / 100, abs=1e-6)
    assert result.n_pairs == {"wordsim353": 353, "simlex999": 999}[name]
    assert word_similarity(embedder, file) == result


def test_gensims_vectors_can_be_compared(embedder, vectors):
    """KeyedVectors only look up words unchanged, so the words here are in lowercase."""
    pairs = [("old", "new", 1), ("cat", "tiger", 2), ("cup", "coffee", 3), ("?", "old", 3)]
    assert word_similarity(vectors, pairs) == word_similarity(embedder, pairs)
    np.testing.assert_equal(word_analogies(vectors), word_analogies(embedder))


def test_analogies_are_gensims(embedder, vectors):
    accuracy, sections = vectors.evaluate_word_analogies(
        datapath("questions-words.txt"), restrict_vocab=None
    )
    result = word_analogies(embedder)
    assert [row.section for row in result[:-1]] == [s["section"] for s in sections[:-1]]
    for row, section in zip(result[:-1], sections[:-1], strict=True):
        n_known = len(section["correct"]) + len(section["incorrect"])
        assert row.known == pytest.approx(n_known / row.n_questions)
        assert row.accuracy == pytest.approx(len(section["correct"]) / n_known)
    assert result[-1].accuracy == pytest.approx(accuracy)
    assert result[-1].n_questions == sum(row.n_questions for row in result[:-1]) == 19544


@pytest.mark.parametrize("method", ["3cosadd", "3cosmul"])
def test_answers_are_the_estimators(embedder, method):
    words = [word for word in embedder.vocabulary_ if word.startswith("a")][:3]
    best = embedder.analogy([words[1], words[2]], [words[0]], topn=1, method=method)[0].word
    right = word_analogies(embedder, {"one": [(*words, best)]}, method=method)
    assert right[0].accuracy == 1
    wrong = word_analogies(embedder, {"one": [(*words, words[0])]}, method=method)
    assert wrong[-1].accuracy == 0


def test_equal_scores_or_cosines_have_no_correlation(embedder):
    a, b = list(embedder.vocabulary_)[:2]
    assert math.isnan(word_similarity(embedder, [(a, b, 1), (a, a, 1)]).spearman)
    assert math.isnan(word_similarity(embedder, [(a, b, 1), (b, a, 2)]).spearman)
    assert word_similarity(embedder, [(a, b, 1), (a, a, 2)]).spearman == pytest.approx(1)


def test_nothing_known(embedder):
    result = word_similarity(embedder, [("?", "!", 1)])
    assert math.isnan(result.spearman)
    assert result[1:] == (0, 1)
    section = word_analogies(embedder, {"empty": [], "odd": [("?", "!", ".", ",")]})[-1]
    assert math.isnan(section.accuracy)
    assert section[2:] == (0, 1)


def test_an_unknown_method(embedder):
    with pytest.raises(ValueError, match="method must be '3cosadd' or '3cosmul', got 'cos'"):
        word_analogies(embedder, {}, method="cos")
