"""Files of word vectors: each format as gensim reads it, each damage with its message."""

import bz2
import copy
import gzip
import lzma
import os
import pickle
import re
import struct

import numpy as np
import pytest
from gensim.models import FastText, KeyedVectors
from gensim.models.fasttext import load_facebook_vectors, save_facebook_model
from gensim.test.utils import datapath
from hypothesis import given, settings
from hypothesis import strategies as st

from skembed import FastTextVectorizer, Word2VecVectorizer
from skembed.exceptions import NetworkChangedError, VectorFileError, VectorFileWarning
from skembed.words import _files as _vector_files
from skembed.words import _packed, _word2vec_file
from skembed.words._files import open_vectors, read_vectors
from skembed.words._subwords import Subwords
from skembed.words._table import WordTable

WORDS = ["the", "naïve", "1999", "日本", "a.b", "don't"]
VECTORS = np.random.default_rng(0).standard_normal((6, 5)).astype(np.float32)


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


def glove_text(words=WORDS, vectors=VECTORS):
    lines = [f"{w} {' '.join(map(str, row))}\n" for w, row in zip(words, vectors, strict=True)]
    return "".join(lines).encode()


# -- formats --------------------------------------------------------------------------------------


@pytest.mark.parametrize("packed", [False, True], ids=["plain", "gzip"])
@pytest.mark.parametrize("kind", ["text", "binary", "glove"])
def test_formats(keyed, tmp_path, kind, packed):
    path = tmp_path / "vectors.any"
    if kind == "glove":
        path.write_bytes(glove_text())
    else:
        keyed.save_word2vec_format(path, binary=kind == "binary")
    if packed:
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


@pytest.mark.parametrize(
    "name", ["lee_fasttext_new.bin", "crime-and-punishment.bin", "toy-model.bin"]
)
def test_fasttext_bin_files(name):
    table, theirs = read_vectors(datapath(name)), load_facebook_vectors(datapath(name))
    assert table.words == theirs.index_to_key
    same = [word != "</s>" for word in table.words]  # to which gensim gives n-grams
    np.testing.assert_array_equal(table.vectors[same], theirs.vectors[same])
    unknown = ["unheardof", "x", "наука"]
    vectors, known = table.subwords.vectors_of(unknown)
    assert known.all()
    np.testing.assert_allclose(vectors, [theirs[word] for word in unknown], atol=1e-6)
    few = read_vectors(datapath(name), max_words=3)
    np.testing.assert_array_equal(few.vectors, table.vectors[:3])
    np.testing.assert_array_equal(few.subwords.vectors, table.subwords.vectors)


def test_fasttext_bin_packed_and_without_ngrams(model, fasttext_file, tmp_path):
    packed = tmp_path / "model.bin.gz"
    packed.write_bytes(gzip.compress(fasttext_file.read_bytes()))
    np.testing.assert_array_equal(read_vectors(packed).vectors, read_vectors(fasttext_file).vectors)
    plain = FastText([["a", "b"]] * 9, vector_size=5, min_count=1, max_n=0, workers=1)
    save_facebook_model(plain, str(tmp_path / "plain.bin"))
    table = read_vectors(tmp_path / "plain.bin")
    assert table.subwords is None
    np.testing.assert_array_equal(table.vectors, plain.wv.vectors)


def test_fasttext_bin_with_ngrams_of_one_length(tmp_path):
    model = FastText([["night", "day"]] * 9, vector_size=5, min_count=1, min_n=3, max_n=3, bucket=9)
    save_facebook_model(model, str(tmp_path / "model.bin"))
    table = read_vectors(tmp_path / "model.bin")
    np.testing.assert_allclose(table.vectors, model.wv.vectors, atol=1e-6)
    assert len(table.subwords.vectors) == 9


def test_binary_files_with_a_newline_after_each_vector(tmp_path):
    """As Google's program writes them."""
    parts = [w.encode() + b" " + row.tobytes() for w, row in zip(WORDS, VECTORS, strict=True)]
    (tmp_path / "v.bin").write_bytes(b"6 5\n" + b"\n".join(parts) + b"\n")
    table = read_vectors(tmp_path / "v.bin")
    assert table.words == WORDS
    np.testing.assert_array_equal(table.vectors, VECTORS)


@pytest.mark.parametrize("n_words", [1, 3])
def test_binary_files_without_control_characters(tmp_path, n_words):
    """Most have some, by which they are told from text; the bytes of 0.1 are none."""
    vector = np.full(1, 0.1, dtype=np.float32)
    parts = [word.encode() + b" " + vector.tobytes() for word in "abc"[:n_words]]
    (tmp_path / "v.bin").write_bytes(b"%d 1\n" % n_words + b"".join(parts))
    np.testing.assert_array_equal(read_vectors(tmp_path / "v.bin").vectors, [vector] * n_words)


def test_words_with_spaces_tabs_and_windows_line_ends(tmp_path):
    text = b". . . 1 2 3\r\nat name@domain.com 4 5 6 \nx\t7\t8\t9\n"
    (tmp_path / "v.txt").write_bytes(text)
    table = read_vectors(tmp_path / "v.txt")
    assert table.words == [". . .", "at name@domain.com", "x"]
    assert table.vectors.tolist() == [[1, 2, 3], [4, 5, 6], [7, 8, 9]]


@pytest.mark.parametrize("packed", [False, True], ids=["plain", "gzip"])
@pytest.mark.parametrize("header", [b"", b"6 5\n"], ids=["glove", "word2vec"])
def test_a_byte_order_mark_is_no_part_of_the_first_word(tmp_path, header, packed):
    content = b"\xef\xbb\xbf" + header + glove_text()
    (tmp_path / "v.txt").write_bytes(gzip.compress(content) if packed else content)
    table = read_vectors(tmp_path / "v.txt")
    assert table.words == WORDS
    np.testing.assert_array_equal(table.vectors, VECTORS)


def test_a_single_line_without_an_end(tmp_path):
    (tmp_path / "v.txt").write_text("word 1 2 3")
    assert read_vectors(tmp_path / "v.txt").vectors.tolist() == [[1, 2, 3]]


@settings(max_examples=50, deadline=None)
@given(
    words=st.lists(
        st.text(min_size=1).filter(lambda word: not set(word) & set(" \n\r\t\v\f\x1c\x1d\x1e\x1f")),
        min_size=1,
        max_size=9,
        unique=True,
    ),
    n_dims=st.integers(1, 7),
    binary=st.booleans(),
)
def test_what_gensim_writes_is_read(tmp_path_factory, words, n_dims, binary):
    words = [w for w in words if w.isprintable()] or ["word"]
    made = KeyedVectors(n_dims)
    made.add_vectors(words, np.random.default_rng(0).standard_normal((len(words), n_dims)))
    path = tmp_path_factory.mktemp("any") / "v"
    made.save_word2vec_format(path, binary=binary)
    table = read_vectors(path)
    assert table.words == words
    np.testing.assert_array_equal(table.vectors, made.vectors)


# -- what GloVe's and fastText's own programs write ------------------------------------------------


@pytest.mark.parametrize("header", [b"", b"2 3\n"], ids=["plain", "header"])
@pytest.mark.parametrize("n_numbers", [3, 6, 8], ids=["model 1, 2", "model 3", "model 0"])
def test_glove_text(tmp_path, header, n_numbers):
    """Its header counts neither the unknown word nor, with -model 0 and 3, all numbers."""
    vectors = np.random.default_rng(0).standard_normal((3, n_numbers)).round(6).astype(np.float32)
    lines = [
        word + b"".join(b" %f" % number for number in row) + b"\n"
        for word, row in zip([b"the", b"of", b"<unk>"], vectors, strict=True)
    ]
    path = tmp_path / "v.txt"
    path.write_bytes(header + b"".join(lines))
    table = read_vectors(path)
    assert table.words == ["the", "of", "<unk>"]
    np.testing.assert_array_equal(table.vectors, vectors)
    assert read_vectors(path, max_words=2).words == ["the", "of"]
    path.write_bytes(header + b"".join(lines[:2]) + b"\n\n")
    assert read_vectors(path).words == ["the", "of"]


def fasttext_bin(words, matrix, *, labels=(), bucket=0, minn=0, maxn=0, model=2, version=12):
    """Write a file as fastText's own program does."""
    n_dims = matrix.shape[1]
    settings = struct.pack("<12id", n_dims, 5, 5, 1, 5, 1, 2, model, bucket, minn, maxn, 100, 1e-4)
    entries = [word.encode() + b"\0" + struct.pack("<qb", 9, 0) for word in words]
    entries += [label.encode() + b"\0" + struct.pack("<qb", 9, 1) for label in labels]
    sizes = struct.pack("<3iqq", len(entries), len(words), len(labels), 99, -1)
    output = np.zeros((len(labels) or len(words), n_dims), dtype=np.float32)
    matrices = [struct.pack("<?qq", False, *m.shape) + m.tobytes() for m in (matrix, output)]
    start = struct.pack("<ii", 793712314, version)
    return b"".join([start, settings, sizes, *entries, *matrices])


def test_fasttexts_end_of_line_has_no_ngrams(tmp_path):
    """As its own program computes its vector; gensim gives it n-grams."""
    matrix = np.random.default_rng(0).standard_normal((2 + 20, 4)).astype(np.float32)
    content = fasttext_bin(["</s>", "night"], matrix, bucket=20, minn=3, maxn=6)
    (tmp_path / "v.bin").write_bytes(content)
    table = read_vectors(tmp_path / "v.bin")
    np.testing.assert_array_equal(table.vectors[0], matrix[0])
    sums, n_ngrams, _ = table.subwords.sums(["night"])
    np.testing.assert_allclose(
        table.vectors[1], (matrix[1] + sums[0]) / (n_ngrams[0] + 1), rtol=1e-5
    )


@pytest.mark.parametrize(
    ("settings", "has_subwords"),
    [
        ({}, False),
        ({"bucket": 20}, False),  # of n-grams of words
        ({"bucket": 20, "minn": 5, "maxn": 3}, False),
        ({"bucket": 20, "minn": 0, "maxn": 3}, True),
        ({"bucket": 20, "minn": 2, "maxn": 3, "version": 11}, False),  # as fastText reads it
    ],
    ids=str,
)
def test_words_of_a_fasttext_classifier(tmp_path, settings, has_subwords):
    matrix = np.random.default_rng(0).standard_normal((2 + settings.get("bucket", 0), 4))
    matrix = matrix.astype(np.float32)
    labels = ["__label__a", "__label__b", "__label__c"]
    content = fasttext_bin(["night", "day"], matrix, labels=labels, model=3, **settings)
    (tmp_path / "v.bin").write_bytes(content)
    table = read_vectors(tmp_path / "v.bin")
    assert table.words == ["night", "day"]
    assert (table.subwords is not None) == has_subwords
    if not has_subwords:
        np.testing.assert_array_equal(table.vectors, matrix[:2])
    embedder = FastTextVectorizer(vectors=tmp_path / "v.bin").fit(["night"])
    np.testing.assert_array_equal(embedder.transform(["day"]), table.vectors[1:])


# -- oddities that are passed over ---------------------------------------------------------------


def test_of_repeated_words_the_first_is_used_with_one_warning(tmp_path):
    (tmp_path / "v.txt").write_text("aa 1 2\nbb 3 4\naa 5 6\naa 7 8\n")
    with pytest.warns(VectorFileWarning, match="2 of 4 lines repeat a word, and the first") as seen:
        table = read_vectors(tmp_path / "v.txt")
    assert len(seen) == 1
    assert table.words == ["aa", "bb"]
    assert table.vectors.tolist() == [[1, 2], [3, 4]]


def test_words_that_are_not_utf8(tmp_path):
    (tmp_path / "v.txt").write_bytes(b"caf\xe9 1 2\nbb 3 4\n")
    with pytest.warns(VectorFileWarning, match="1 of 2 words are not UTF-8"):
        assert read_vectors(tmp_path / "v.txt").words == [r"caf\xe9", "bb"]


# -- damage ---------------------------------------------------------------------------------------

HEADER = struct.pack("<i", 793712314)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (pickle.dumps({"a": 1}), "is a pickle, as gensim's save() writes it"),
        (b"PK\x03\x04...", "is a zip archive: unpack it"),
        (b"BZh9...", "is a bz2 archive: unpack it"),
        (b"some words of a letter\n", "is no file of word vectors"),
        (b"\x00\x01\x02\x03" * 9, "is no file of word vectors"),
        (b"word" + b" 1" * (1 << 19), "is no file of word vectors"),
        (b"0 5\n", "says that it holds 0 words of 5 dimensions"),
        (b"5 0\n", "says that it holds 5 words of 0 dimensions"),
        (b"aa 1 2\nbb 3\n", "line 2: 2 numbers are expected after the word, got 1."),
        (b"aa 1 2\nbb 3 4 5\n", "line 2: 2 numbers are expected after the word, got 3."),
        (b"2 2\naa 1 2\nbb 3 x\n", "line 3: 'x' is not a number."),
        (b"aa 1 2\nbb 3 4_0\n", "line 2: '4_0' is not a number."),
        (b"aa 1_0 2\nbb 3 4\n", "line 1: '1_0' is not a number."),
        (b"aa 1 0x1\nbb 3 4\n", "line 1: '0x1' is not a number."),
        (b"aa 1 0x1p-3 2\nbb 3 4 5\n", "line 1: '0x1p-3' is not a number."),
        (b"aa 0,5 0,25\nbb 3 4\n", "line 1: '0,25' is not a number."),
        (b"aa 1 2\nbb 0x1 4\n", "line 2: '0x1' is not a number."),
        (b"2 2\naa 0x1 2\nbb 3 4\n", "line 2: '0x1' is not a number."),
        ("aa 1 2\nbb ٣ 4\n".encode(), "line 2: '٣' is not a number."),
        (b"aa 1 2\n\nbb 3 4\n", "line 2: 2 numbers are expected after the word, got"),
        (b"3 2\naa 1 2\nbb 3 4\n", "ends after 2 of 3 words."),
        (b"1 2\naa 1 2\nbb 3 4\n", "says that it holds 1 words, and holds more."),
        (b"2 3\naa 1 2\nbb 3 4\n", "line 2: 3 numbers are expected after the word, got 2."),
        (b"a 1.0\nb\nc 3.0\n", "line 2: 1 number is expected after the word, got 0."),
        (b"a 1.0\nb \nc 3.0\n", "line 2: 1 number is expected after the word, got 0."),
        (b"a\t1.0\nb\t\nc\t3.0\n", "line 2: 1 number is expected after the word, got 0."),
        (b"3 1\na 1.0\n2.0\nc 3.0\n", "line 3: 1 number is expected after the word, got 0."),
        (b"3 1\na 1.0\n 2.0\nc 3.0\n", "line 3: a word is expected"),
        (b"a 1 2\n 3 4\n", "line 2: a word is expected before the numbers."),
        (b"the 1061396\nof 593677\n", "has a count after each word, as a vocabulary has"),
        (b"the\t1061396\nof\t593677\n", "has a count after each word, as a vocabulary has"),
        (b"2019 500\nof 593\n", "line 2: 500 numbers are expected after the word, got 1. Is this"),
        (b"-5 300\nof 593\n", "says that it holds -5 words of 300 dimensions"),
        (b"9" * 5000 + b" 3\naa 1 2 3\n", "line 2: 1 number is expected after the word, got 3."),
        (b"aa 1 2\nbb " + b"3" * (1 << 21) + b"\n", "line 2: more than 1048576 bytes without"),
        (b"2 2\naa 1 2\nbb 3 4\ncc 5 6\n", "says that it holds 2 words, and holds more."),
        (b"2 2\naa 1 2\nbb 3 4\n<unk> 5 6\ncc 7 8\n", "holds 2 words, and holds more."),
        (b"<!DOCTYPE html>\n<html>", "is an HTML or XML page: the download has failed"),
        (b"version https://git-lfs.github.com/spec/v1\n", "is a pointer of Git LFS"),
        ("a 1 2\n".encode("utf-16"), "is text in UTF-16: write it in UTF-8"),
        (gzip.compress(gzip.compress(b"a 1 2\n")), "is packed by gzip twice"),
        (gzip.compress(pickle.dumps([1])), "is a pickle"),
        (bz2.compress(glove_text())[:-20], "cannot be read"),
        (lzma.compress(glove_text())[:-20], "cannot be read"),
        (lzma.compress(glove_text())[:30] + bytes(90), "cannot be read"),
        (gzip.compress(b""), "is empty"),
        (VECTORS.astype(np.float64).tobytes(), "seems to be GloVe's binary output"),
        (struct.pack("<iid", 1, 2, 0.5) * 9, "holds counts of pairs, as GloVe's cooccur writes"),
        (b"aa 1 2\nbb nan 4\n", "the vector of 'bb' holds NaN or infinity."),
        (b"aa 1 2\nbb 3 inf\n", "the vector of 'bb' holds NaN or infinity."),
        (b"aa 1 2\nbb 3 1e999\n", "the vector of 'bb' holds NaN or infinity."),
        (b"999999999999 300\naa \x00\x00\x80\x3f", "ends after 0 or fewer of 999999999999 words"),
        (gzip.compress(glove_text())[:-20], "cannot be read"),
        (gzip.compress(glove_text())[:20] + bytes(50), "cannot be read"),
        (HEADER + struct.pack("<i", 13) + bytes(200), "file of version 13, not 11 or 12"),
        (HEADER, "is cut off"),
    ],
)
def test_damaged_files(tmp_path, content, message):
    (tmp_path / "v").write_bytes(content)
    with pytest.raises(VectorFileError, match=re.escape(message)):
        read_vectors(tmp_path / "v")


@pytest.mark.parametrize("n", [1, 10])
def test_vectors_of_one_dimension_are_not_judged_by_the_lines_that_are_read(tmp_path, n):
    """Whole numbers could be the counts of a vocabulary; later lines tell."""
    lines = [f"w{i} {i + 1}" for i in range(n)] + ["last 0.5"]
    (tmp_path / "v.txt").write_text("\n".join(lines))
    table = open_vectors(tmp_path / "v.txt", None).table()
    assert table.vectors.ravel().tolist() == [*range(1, n + 1), 0.5]
    assert open_vectors(tmp_path / "v.txt", 1).table().words == ["w0"]


def test_binary_files_cut_off_anywhere(keyed, tmp_path):
    keyed.save_word2vec_format(tmp_path / "whole", binary=True)
    whole = (tmp_path / "whole").read_bytes()
    for size in range(4, len(whole)):
        (tmp_path / "v").write_bytes(whole[:size])
        with pytest.raises(VectorFileError, match=r"ends|is no file|are expected"):
            read_vectors(tmp_path / "v")
    (tmp_path / "v").write_bytes(whole + b"and more")
    with pytest.raises(VectorFileError, match="says that it holds 6 words, and holds more"):
        read_vectors(tmp_path / "v")


def test_fasttext_files_cut_off_anywhere(fasttext_file, tmp_path):
    """Gensim's parser reads on for ever where the dictionary has no end."""
    whole = fasttext_file.read_bytes()
    _, n_vectors = len(whole), len(read_vectors(fasttext_file).words) + 50
    end = whole.index(struct.pack("<qq", n_vectors, 5)) + 16 + 4 * n_vectors * 5
    for size in range(4, end):
        (tmp_path / "v").write_bytes(whole[:size])
        with pytest.raises(VectorFileError, match="is cut off"):
            read_vectors(tmp_path / "v")
    (tmp_path / "v").write_bytes(whole[:end])
    assert read_vectors(tmp_path / "v").words == read_vectors(fasttext_file).words


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        (8, struct.pack("<i", 6), "is damaged: a matrix of"),
        (44, struct.pack("<i", -3), "n-grams of -3 to 6"),
        (48, struct.pack("<i", 10**6), "n-grams of 3 to 1000000"),
        (64, struct.pack("<i", 2**31 - 1), "is damaged: 2147483647 entries of 6 words"),
        (72, struct.pack("<i", 2), "is damaged: 6 entries of 6 words and 2 labels"),
        (84, struct.pack("<q", 2**40), "has no room for 1099511627776 pruned n-grams"),
    ],
)
def test_fasttext_files_of_other_kinds(fasttext_file, tmp_path, place, value, message):
    content = bytearray(fasttext_file.read_bytes())
    content[place : place + len(value)] = value
    (tmp_path / "v").write_bytes(content)
    with pytest.raises(VectorFileError, match=re.escape(message)):
        read_vectors(tmp_path / "v")


def test_quantized_fasttext_files(fasttext_file, tmp_path):
    content = bytearray(fasttext_file.read_bytes())
    n_vectors = len(read_vectors(fasttext_file).words) + 50
    content[content.index(struct.pack("<qq", n_vectors, 5)) - 1] = 1
    (tmp_path / "v").write_bytes(content)
    with pytest.raises(VectorFileError, match="is quantized"):
        read_vectors(tmp_path / "v")


def test_packed_files_that_unpack_to_too_much(tmp_path, monkeypatch):
    monkeypatch.setattr(_packed, "_FREE", 1000)
    (tmp_path / "v.gz").write_bytes(gzip.compress(b"word" + b" 1" * 100_000))
    with pytest.raises(VectorFileError, match="unpacks to more than 10 times its size"):
        read_vectors(tmp_path / "v.gz")


@pytest.mark.parametrize(
    "start",
    [
        b"2 3\naa 1 2 3\nbb 1 2 3\n",  # a header of text
        b"2 3\naa \0\0\0\0",
        b"999999999 999999999\naa \0\0\0\0",  # more than there is memory
        b"aa 1 2 3\n",
        struct.pack("<2i12id3iqq", 793712314, 12, 5, *[1] * 7, 9, 3, 6, 1, 0, 2, 2, 0, 2, -1),
    ],
    ids=["text", "binary", "stated", "glove", "fasttext"],
)
@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress, lzma.compress])
def test_headers_do_not_raise_the_limit_beyond_what_they_state(tmp_path, monkeypatch, start, pack):
    monkeypatch.setattr(_packed, "_FREE", 1 << 17)
    repeated = b"aa 1 2 3\n" if start.startswith(b"aa") else b"\0"
    (tmp_path / "v").write_bytes(pack(start + repeated * (1 << 20)))
    with pytest.raises(VectorFileError, match=r"unpacks to more than 10 times its size|, line 4"):
        read_vectors(tmp_path / "v")


def test_repeated_lines_do_not_raise_the_limit(tmp_path, monkeypatch):
    """As bombs have them; lines of new words do."""
    monkeypatch.setattr(_packed, "_FREE", 1 << 18)
    monkeypatch.setattr(_word2vec_file, "_BYTES", 1 << 16)
    lines = [b"w%d" % i + b" 0" * 1000 + b"\n" for i in range(1000)]
    (tmp_path / "v.gz").write_bytes(gzip.compress(b"".join(lines)))
    assert len(read_vectors(tmp_path / "v.gz").words) == 1000
    (tmp_path / "v.gz").write_bytes(gzip.compress(b"".join(lines[:9] * 111)))
    with pytest.raises(VectorFileError, match="unpacks to more than 10 times its size"):
        read_vectors(tmp_path / "v.gz")


def test_a_sparse_file_is_refused_before_all_of_it_is_read(tmp_path):
    for name, start in (("zeros", b""), ("header", b"%d 300\n" % 2**30)):
        with open(tmp_path / name, "wb") as file:
            file.write(start)
            file.truncate(2**40)
        with pytest.raises(VectorFileError, match=r"is no file of word vectors|is damaged"):
            open_vectors(tmp_path / name, None)


def test_paths_that_are_no_files(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path, message in (
        (tmp_path, "is a folder; name the file of vectors in it"),
        (tmp_path / "pipe", "is a device, pipe or socket"),
        ("/dev/zero", "is a device, pipe or socket"),
    ):
        with pytest.raises(VectorFileError, match=message):
            open_vectors(path, None)


# -- invariants -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("vocabulary", "shape", "message"),
    [
        ({"a": 0, "b": 1}, (1, 1), "2 words have 1 vectors"),
        ({"a": 0}, (2, 1), "1 words have 2 vectors"),
        ({"a": 0, "b": 9}, (2, 1), "numbers of the words must be 0, 1, 2"),
        ({"a": -1, "b": 1}, (2, 1), "numbers of the words must be 0, 1, 2"),
        ({"a": 0, "b": 1}, (2,), "Vectors must be a 2-D array of float32, got (2,) float32."),
    ],
)
def test_tables_whose_parts_do_not_fit(vocabulary, shape, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        WordTable(vocabulary, np.zeros(shape, dtype=np.float32))
    state = {"vocabulary": vocabulary, "vectors": np.zeros(shape, dtype=np.float32)}
    with pytest.raises(ValueError, match=re.escape(message)):
        WordTable.__new__(WordTable).__setstate__({**state, "subwords": None, "state": None})


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
def test_subwords_whose_parts_do_not_fit(n_vectors, buckets, settings, message):
    buckets = None if buckets is None else np.array(buckets)
    with pytest.raises(ValueError, match=message):
        Subwords(np.zeros((n_vectors, 2), dtype=np.float32), buckets, *settings)


def test_a_vocabulary_that_was_changed_reads_nothing_beyond_the_vectors(tmp_path):
    (tmp_path / "v.txt").write_text("aa 1.0\nbb 2.0\n")
    embedder = Word2VecVectorizer(vectors=tmp_path / "v.txt").fit(["aa"])
    embedder.vocabulary_["cc"] = 10**6
    try:
        with pytest.raises(ValueError, match="numbers beyond its 2 vectors"):
            embedder.transform(["cc"])
    finally:
        _vector_files._files.clear()


@pytest.mark.parametrize("cls", [Word2VecVectorizer, FastTextVectorizer])
def test_keyed_vectors_whose_parts_do_not_fit(cls):
    made = KeyedVectors(1)
    made.add_vectors(["aa", "bb"], np.ones((2, 1)))
    made.index_to_key = made.index_to_key * 1000
    with pytest.raises(ValueError, match="2000 words have vectors of shape"):
        cls(vectors=made).fit(["aa"])
    made.index_to_key = [1, 2]
    with pytest.raises(ValueError, match="words must be str, got 1"):
        cls(vectors=made).fit(["aa"])


def test_subwords_of_gensim_that_do_not_fit(model):
    wv = copy.deepcopy(model.wv)
    wv.vectors_ngrams = wv.vectors_ngrams[:3]
    with pytest.raises(ValueError, match="vectors: 50 buckets have 3 vectors"):
        FastTextVectorizer(vectors=wv).fit(["night"])


# -- one reading a process ------------------------------------------------------------------------


def test_a_file_is_read_once_a_process(tmp_path, monkeypatch):
    (tmp_path / "v.txt").write_text("aa 1 2\nbb 3 4\n")
    read = []
    parse = _vector_files.read_vectors
    monkeypatch.setattr(
        _vector_files, "read_vectors", lambda *args: read.append(args) or parse(*args)
    )
    embedders = [Word2VecVectorizer(vectors=tmp_path / "v.txt").fit(["aa"]) for _ in range(3)]
    assert len(read) == 1
    assert len({id(embedder.vectors_) for embedder in embedders}) == 1


def test_a_file_that_changed_after_fit_is_noticed(tmp_path):
    (tmp_path / "v.txt").write_text("aa 1 2\nbb 3 4\n")
    source = open_vectors(tmp_path / "v.txt", None)
    (tmp_path / "v.txt").write_text("aa 1 2\nbb 3 9\n")
    assert source.table().vectors.tolist() == [[1, 2], [3, 4]]
    _vector_files._files.clear()
    with pytest.raises(NetworkChangedError, match="holds other vectors now"):
        source.table()
    assert open_vectors(tmp_path / "v.txt", None).table().vectors.tolist() == [[1, 2], [3, 9]]
