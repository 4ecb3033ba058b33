"""Texts and gensim models that several files of tests share."""

import pytest
from gensim.models import FastText, KeyedVectors
from gensim.models.fasttext import save_facebook_model
from gensim.test.utils import datapath
from sklearn.feature_extraction.text import CountVectorizer

from skembed import Word2VecVectorizer
from words.contents import VECTORS, WORDS


@pytest.fixture(scope="module")
def news():
    """300 short news texts (the Lee background corpus, which gensim ships)."""
    with open(datapath("lee_background.cor"), encoding="utf-8") as file:
        return file.read().splitlines()


@pytest.fixture(scope="module")
def words(news):
    """Words of each text, as CountVectorizer finds them."""
    analyze = CountVectorizer().build_analyzer()
    return [analyze(text) for text in news]


@pytest.fixture(scope="module")
def fitted(news):
    return Word2VecVectorizer(20, epochs=3, random_state=5).fit(news)


@pytest.fixture(scope="module")
def keyed():
    made = KeyedVectors(5)
    made.add_vectors(WORDS, VECTORS)
    return made


@pytest.fixture(scope="module")
def model():
    sentences = [["night", "knight", "nights"], ["day", "days", "daily"]] * 20
    return FastText(sentences, vector_size=5, min_count=1, bucket=50, epochs=2, seed=0, workers=1)


@pytest.fixture(scope="module")
def fasttext_file(model, tmp_path_factory):
    path = tmp_path_factory.mktemp("fasttext") / "model.bin"
    save_facebook_model(model, str(path))
    return path
