"""Parameters of the word embedders in types of numpy."""

import pickle

import numpy as np
import pytest

from skembed import FastTextVectorizer, GloVeVectorizer, Word2VecVectorizer

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


@pytest.mark.parametrize(("cls", "parameters"), EMBEDDERS)
def test_numbers_of_numpy_are_as_pythons(cls, parameters, tmp_path):
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
def test_numbers_of_numpy_in_reading_and_training_further(cls, parameters, tmp_path):
    saved = tmp_path / "v.bin"
    cls(**parameters).fit(ROWS).save_vectors(saved)
    words = cls(vectors=saved, max_words=np.uint8(2)).fit(ROWS)
    assert len(pickle.loads(pickle.dumps(words)).vocabulary_) == 2
    assert type(words._source.max_words) is int
    tuned = parameters | {"fine_tune": np.bool_(True), "vectors": saved}
    plain = {n: v.item() if isinstance(v, np.generic) else v for n, v in tuned.items()}
    np.testing.assert_array_equal(cls(**tuned).fit(ROWS).vectors_, cls(**plain).fit(ROWS).vectors_)
