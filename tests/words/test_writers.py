"""Files written by `save_vectors`: read by skembed and gensim; replaced only on success."""

import gzip
import os
import re

import numpy as np
import pytest
from gensim.models import KeyedVectors
from gensim.models.fasttext import load_facebook_model, load_facebook_vectors, save_facebook_model
from gensim.test.utils import datapath
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.exceptions import NotFittedError

from skembed import FastTextVectorizer, GloVeVectorizer, Word2VecVectorizer
from skembed.words._files import read_vectors
from skembed.words._subwords import Subwords
from skembed.words._table import table_from_words
from skembed.words._writers import write_vectors

ROWS = ["the cat sat on the mat", "a dog and a cat", "हिन्दी भाषा naïve 日本"] * 6
UNSEEN = ["catlike mats", "the xyzzy", "दुनिया"]


def fitted(cls, **parameters):
    if cls is FastTextVectorizer:
        parameters = {"bucket": 500} | parameters
    return cls(6, min_count=1, epochs=2, random_state=0, **parameters).fit(ROWS)


@pytest.fixture(scope="module")
def embedders():
    classes = (Word2VecVectorizer, FastTextVectorizer, GloVeVectorizer)
    return {cls: fitted(cls) for cls in classes}


@pytest.mark.parametrize("cls", [Word2VecVectorizer, FastTextVectorizer, GloVeVectorizer])
@pytest.mark.parametrize(
    ("name", "file_format"),
    [
        ("v.txt", "auto"),
        ("v.vec", "auto"),
        ("v.bin", "auto"),
        ("v.TXT", "auto"),
        ("v.txt.gz", "auto"),
        ("v.bin.gz", "auto"),
        ("v.txt.bz2", "auto"),
        ("v.bin.bz2", "auto"),
        ("v.vec.xz", "auto"),
        ("v.bin.xz", "auto"),
        ("any", "text"),
        ("any", "binary"),
        ("any", "glove"),
        ("any", "fasttext"),
    ],
)
def test_files_are_read_again(embedders, tmp_path, cls, name, file_format):
    embedder = embedders[cls]
    embedder.save_vectors(tmp_path / name, file_format=file_format)
    copied = cls(vectors=tmp_path / name).fit(["anything"])
    assert copied.vocabulary_ == embedder.vocabulary_
    np.testing.assert_array_equal(copied.vectors_, embedder.vectors_)
    np.testing.assert_array_equal(copied.transform(ROWS), embedder.transform(ROWS))
    assert os.listdir(tmp_path) == [name]
    assert (tmp_path / name).stat().st_mode & 0o777 == 0o666 & ~_umask()


def _umask():
    umask = os.umask(0)
    os.umask(umask)
    return umask


# gensim's no_header=True leaves a file open.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("cls", [Word2VecVectorizer, FastTextVectorizer, GloVeVectorizer])
def test_files_are_read_by_gensim(embedders, tmp_path, cls):
    embedder = embedders[cls]
    for file_format in ("text", "binary", "glove"):
        embedder.save_vectors(tmp_path / "v", file_format=file_format)
        theirs = KeyedVectors.load_word2vec_format(
            tmp_path / "v", binary=file_format == "binary", no_header=file_format == "glove"
        )
        assert theirs.key_to_index == embedder.vocabulary_
        np.testing.assert_array_equal(theirs.vectors, embedder.vectors_)
    embedder.save_vectors(str(tmp_path / "v.bin"), file_format="fasttext")
    for theirs in (
        load_facebook_vectors(str(tmp_path / "v.bin")),
        load_facebook_model(str(tmp_path / "v.bin")).wv,
    ):
        assert theirs.key_to_index == embedder.vocabulary_
        np.testing.assert_array_equal(theirs.vectors, embedder.vectors_)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("suffix", [".gz", ".bz2"])
@pytest.mark.parametrize("binary", [False, True])
def test_compressed_files_of_gensim_are_read(embedders, tmp_path, suffix, binary):
    path = str(tmp_path / f"v{suffix}")
    theirs = embedders[Word2VecVectorizer].to_keyed_vectors()
    theirs.save_word2vec_format(path, binary=binary)
    np.testing.assert_array_equal(read_vectors(path).vectors, theirs.vectors)
    ours = str(tmp_path / f"ours.bin{suffix}")
    embedders[Word2VecVectorizer].save_vectors(ours)
    loaded = KeyedVectors.load_word2vec_format(ours, binary=True)
    np.testing.assert_array_equal(loaded.vectors, theirs.vectors)


# -- fastText -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "parameters",
    [{}, {"sg": 1}, {"hs": 1, "negative": 0}, {"hs": 1}, {"max_n": 0}, {"min_n": 9, "max_n": 9}],
    ids=str,
)
def test_fasttext_with_its_ngrams(tmp_path, parameters):
    embedder = fitted(FastTextVectorizer, **parameters)
    embedder.save_vectors(tmp_path / "v.bin")
    copied = FastTextVectorizer(vectors=tmp_path / "v.bin").fit(["anything"])
    np.testing.assert_array_equal(copied.vectors_, embedder.vectors_)
    if parameters.get("max_n", 6) == 6:
        np.testing.assert_array_equal(copied.transform(UNSEEN), embedder.transform(UNSEEN))
        theirs = load_facebook_vectors(str(tmp_path / "v.bin"))
        np.testing.assert_allclose(theirs["catlike"], embedder.transform(["catlike"])[0], atol=1e-6)
    copied.save_vectors(tmp_path / "again.bin")
    assert (tmp_path / "again.bin").read_bytes() == (tmp_path / "v.bin").read_bytes()


@pytest.mark.parametrize("parameters", [{}, {"sg": 1}, {"hs": 1, "negative": 0}, {"max_n": 0}])
@pytest.mark.parametrize("name", ["v.bin", "v.bin.gz", "compressed"])
def test_fasttext_training_is_continued(tmp_path, parameters, name):
    """The output weights are read back, too."""
    embedder = fitted(FastTextVectorizer, **parameters)
    embedder.save_vectors(tmp_path / name, file_format="fasttext")
    if name == "compressed":
        (tmp_path / name).write_bytes(gzip.compress((tmp_path / name).read_bytes()))
    settings = {"min_count": 1, "epochs": 1, "random_state": 0, **parameters}
    tuned = FastTextVectorizer(vectors=tmp_path / name, fine_tune=True, **settings)
    tuned.set_params(alpha=1e-9).fit(["a new dog and a cat"])
    old = [tuned.vocabulary_[word] for word in embedder.vocabulary_]
    np.testing.assert_allclose(tuned.vectors_[old], embedder.vectors_, atol=1e-6)
    assert len(tuned.vocabulary_) == len(embedder.vocabulary_) + 1
    output = read_vectors(tmp_path / name).state.output
    np.testing.assert_array_equal(output, embedder._source.state.output)
    assert output.any()
    tuned.save_vectors(tmp_path / "tuned.bin")
    copied = FastTextVectorizer(vectors=tmp_path / "tuned.bin").fit(["anything"])
    np.testing.assert_array_equal(copied.vectors_, tuned.vectors_)


@pytest.mark.parametrize("cls", [Word2VecVectorizer, GloVeVectorizer])
@pytest.mark.parametrize("name", ["v.txt", "v.bin"])
def test_word_vector_training_is_continued(embedders, tmp_path, cls, name):
    embedder = embedders[cls]
    embedder.save_vectors(tmp_path / name)
    rate = {"alpha": 1e-9} if cls is Word2VecVectorizer else {"learning_rate": 1e-9}
    tuned = cls(vectors=tmp_path / name, fine_tune=True, min_count=1, epochs=1, **rate)
    tuned.fit(["the cat and the mat"])
    assert tuned.vocabulary_.keys() == embedder.vocabulary_.keys()
    for word, number in embedder.vocabulary_.items():
        vector = tuned.vectors_[tuned.vocabulary_[word]]
        np.testing.assert_allclose(vector, embedder.vectors_[number], atol=1e-6)


def test_what_gensim_writes_is_written_again(tmp_path):
    model = load_facebook_model(datapath("crime-and-punishment.bin"))
    save_facebook_model(model, str(tmp_path / "theirs.bin"))
    embedder = FastTextVectorizer(vectors=tmp_path / "theirs.bin").fit(["anything"])
    embedder.save_vectors(tmp_path / "mine.bin")
    assert (tmp_path / "mine.bin").read_bytes() == (tmp_path / "theirs.bin").read_bytes()


def test_gensims_object_is_written(embedders, tmp_path):
    """It has no output weights, and own vectors are computed from vectors and n-grams."""
    embedder = embedders[FastTextVectorizer]
    wv = embedder.to_keyed_vectors()
    FastTextVectorizer(vectors=wv).fit(["anything"]).save_vectors(tmp_path / "v.bin")
    copied = FastTextVectorizer(vectors=tmp_path / "v.bin").fit(["anything"])
    np.testing.assert_allclose(copied.transform(UNSEEN), embedder.transform(UNSEEN), atol=1e-6)
    np.testing.assert_allclose(copied.vectors_, embedder.vectors_, atol=1e-6)


def test_the_end_of_a_line_as_a_word(tmp_path):
    """It has no n-grams in a file, but has n-grams in gensim's training."""
    rows = [["</s>", "night"], ["night", "day", "</s>"]] * 5
    embedder = FastTextVectorizer(4, min_count=1, bucket=50, random_state=0).fit(rows)
    embedder.save_vectors(tmp_path / "v.bin")
    copied = FastTextVectorizer(vectors=tmp_path / "v.bin").fit(["anything"])
    np.testing.assert_array_equal(copied.vectors_, embedder.vectors_)


def test_some_words_of_a_file(embedders, tmp_path):
    embedders[FastTextVectorizer].save_vectors(tmp_path / "v.bin")
    few = FastTextVectorizer(vectors=tmp_path / "v.bin", max_words=3).fit(["anything"])
    few.save_vectors(tmp_path / "few.bin")
    table = read_vectors(tmp_path / "few.bin")
    assert table.words == list(few.vocabulary_)
    np.testing.assert_array_equal(table.vectors, few.vectors_)


@settings(max_examples=40, deadline=None)
@given(
    words=st.lists(
        st.text(st.characters(exclude_characters="\0", exclude_categories=("Cs",)), min_size=1),
        min_size=1,
        max_size=9,
        unique=True,
    ),
    file_format=st.sampled_from(["text", "binary", "glove", "fasttext"]),
    n_dims=st.integers(1, 5),
    has_ngrams=st.booleans(),
)
def test_any_words(tmp_path_factory, words, file_format, n_dims, has_ngrams):
    """A format rejects words that it does not allow, and others are read back."""
    random = np.random.default_rng(0)
    vectors = random.standard_normal((len(words), n_dims)) * 10.0 ** random.integers(-30, 30)
    subwords = None
    if has_ngrams:
        ngrams = random.standard_normal((9, n_dims)).astype(np.float32)
        subwords = Subwords(ngrams, None, 9, 2, 4)
        vectors = vectors.clip(-9, 9)
    table = table_from_words(words, vectors, subwords)
    path = tmp_path_factory.mktemp("any") / "v"
    try:
        write_vectors(table, path, file_format, True)
    except ValueError:
        assert file_format != "fasttext"
        assert any(set(word) & set(" \t\n\r\v\f\ufeff") for word in words)
        return
    copied = read_vectors(path)
    assert copied.words == words
    # Words' own vectors are taken apart from sums of many n-grams here.
    np.testing.assert_allclose(copied.vectors, table.vectors, atol=1e-4 if has_ngrams else 0)


# -- complete or not there ------------------------------------------------------------------------


def test_a_file_that_is_in_use_is_replaced(embedders, tmp_path):
    embedder = embedders[FastTextVectorizer]
    embedder.save_vectors(tmp_path / "v.bin")
    reader = FastTextVectorizer(vectors=tmp_path / "v.bin").fit(["anything"])
    expected = reader.transform(UNSEEN)
    reader.save_vectors(tmp_path / "v.bin")
    np.testing.assert_array_equal(reader.transform(UNSEEN), expected)
    embedder.set_params(oov="subword").save_vectors(tmp_path / "v.bin", file_format="text")
    np.testing.assert_array_equal(reader.transform(UNSEEN), expected)


def test_a_failure_leaves_the_old_file_and_nothing_else(embedders, tmp_path, monkeypatch):
    (tmp_path / "v.txt").write_text("old")

    def full(table, file):
        file.write(b"half")
        raise OSError("no space left on device")

    monkeypatch.setitem(write_vectors.__globals__["_WRITERS"], "text", full)
    with pytest.raises(OSError, match="no space left"):
        embedders[Word2VecVectorizer].save_vectors(tmp_path / "v.txt")
    assert os.listdir(tmp_path) == ["v.txt"]
    assert (tmp_path / "v.txt").read_text() == "old"


def test_messages(embedders, tmp_path):
    embedder = embedders[Word2VecVectorizer]
    with pytest.raises(ValueError, match=re.escape("The suffix '.kv' of")):
        embedder.save_vectors(tmp_path / "v.kv")
    with pytest.raises(ValueError, match=re.escape("file_format must be one of ['auto', 'text'")):
        embedder.save_vectors(tmp_path / "v.txt", file_format="word2vec")
    with pytest.raises(FileNotFoundError, match="the folder to write to, does not exist"):
        embedder.save_vectors(tmp_path / "missing" / "v.txt")
    with pytest.raises(IsADirectoryError, match="is a folder; pass the path of a file"):
        embedder.save_vectors(tmp_path, file_format="text")
    with pytest.raises(NotFittedError):
        Word2VecVectorizer().save_vectors(tmp_path / "v.txt")
    phrases = Word2VecVectorizer(3, min_count=1).fit([["New York", "Paris"]])
    message = "The word 'New York' has blanks, which the format 'text' does not allow."
    with pytest.raises(ValueError, match=re.escape(message)):
        phrases.save_vectors(tmp_path / "v.txt")
    phrases.save_vectors(tmp_path / "v.bin", file_format="fasttext")
    assert read_vectors(tmp_path / "v.bin").words == list(phrases.vocabulary_)
    long = Word2VecVectorizer(3, min_count=1).fit([["c" * 10_000, "Paris"]])
    with pytest.raises(ValueError, match=r"The word 'c+' has 8192 bytes or more"):
        long.save_vectors(tmp_path / "v.bin")
    empty = Word2VecVectorizer(3, min_count=1).fit([["", "Paris"]])
    for file_format in ("text", "fasttext"):
        with pytest.raises(ValueError, match="The word '' is empty"):
            empty.save_vectors(tmp_path / "w", file_format=file_format)
