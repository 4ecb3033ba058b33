"""Files of word vectors: every format is recognized by its content and read once per process."""

import gzip
import os

import numpy as np
import pytest
from gensim.models import KeyedVectors
from gensim.test.utils import datapath

from skembed import Word2VecVectorizer
from skembed.exceptions import NetworkChangedError, VectorFileError
from skembed.words import _files
from skembed.words._files import open_vectors, read_vectors
from words.contents import VECTORS, WORDS, glove_text


@pytest.mark.parametrize("compressed", [False, True], ids=["plain", "gzip"])
@pytest.mark.parametrize("kind", ["text", "binary", "glove"])
def test_formats(keyed, tmp_path, kind, compressed):
    path = tmp_path / "vectors.any"
    if kind == "glove":
        path.write_bytes(glove_text())
    else:
        keyed.save_word2vec_format(path, binary=kind == "binary")
    if compressed:
        path.write_bytes(gzip.compress(path.read_bytes()))
    table = read_vectors(path)
    assert table.words == WORDS
    np.testing.assert_array_equal(table.vectors, VECTORS)
    assert table.vectors.dtype == np.float32
    assert table.subwords is None
    few = read_vectors(path, max_words=2)
    assert few.words == WORDS[:2]
    np.testing.assert_array_equal(few.vectors, VECTORS[:2])
    assert read_vectors(path, max_words=99).words == WORDS


@pytest.mark.parametrize(
    "name", ["euclidean_vectors.bin", "high_precision.kv.bin", "high_precision.kv.txt"]
)
def test_files_that_gensim_ships(name):
    table = read_vectors(datapath(name))
    theirs = KeyedVectors.load_word2vec_format(datapath(name), binary=name.endswith(".bin"))
    assert table.words == theirs.index_to_key
    np.testing.assert_array_equal(table.vectors, theirs.vectors)


@pytest.mark.parametrize("name", ["lee_fasttext.vec", "crime-and-punishment.vec", "toy-model.vec"])
def test_fasttext_vec_files(name):
    table = read_vectors(datapath(name))
    theirs = KeyedVectors.load_word2vec_format(datapath(name))
    assert table.words == theirs.index_to_key
    np.testing.assert_array_equal(table.vectors, theirs.vectors)


def test_a_sparse_file_is_refused_before_all_of_it_is_read(tmp_path):
    for name, start in (("zeros", b""), ("header", b"%d 300\n" % 2**30)):
        with open(tmp_path / name, "wb") as file:
            file.write(start)
            file.truncate(2**40)
        with pytest.raises(VectorFileError, match=r"is not a file of word vectors|is damaged"):
            open_vectors(tmp_path / name, None)


def test_paths_that_are_not_files(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path, message in (
        (tmp_path, "is a folder; pass a file of vectors"),
        (tmp_path / "pipe", "is a device, pipe or socket"),
        ("/dev/zero", "is a device, pipe or socket"),
    ):
        with pytest.raises(VectorFileError, match=message):
            open_vectors(path, None)


def test_a_missing_file():
    with pytest.raises(FileNotFoundError, match=r"vectors='not/there\.txt': there is no such file"):
        Word2VecVectorizer(vectors="not/there.txt").fit(["a"])


def test_a_file_is_read_once_a_process(tmp_path, monkeypatch):
    (tmp_path / "v.txt").write_text("aa 1 2\nbb 3 4\n")
    read = []
    parse = _files.read_vectors
    monkeypatch.setattr(_files, "read_vectors", lambda *args: read.append(args) or parse(*args))
    embedders = [Word2VecVectorizer(vectors=tmp_path / "v.txt").fit(["aa"]) for _ in range(3)]
    assert len(read) == 1
    assert len({id(embedder.vectors_) for embedder in embedders}) == 1


def test_a_file_that_changed_after_fit_is_noticed(tmp_path):
    (tmp_path / "v.txt").write_text("aa 1 2\nbb 3 4\n")
    source = open_vectors(tmp_path / "v.txt", None)
    (tmp_path / "v.txt").write_text("aa 1 2\nbb 3 9\n")
    assert source.table().vectors.tolist() == [[1, 2], [3, 4]]
    _files._tables.clear()
    with pytest.raises(NetworkChangedError, match="holds other vectors now"):
        source.table()
    assert open_vectors(tmp_path / "v.txt", None).table().vectors.tolist() == [[1, 2], [3, 9]]
