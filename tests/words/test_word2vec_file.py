"""Text and binary files: word2vec's formats, GloVe's text; each damage has its message."""

import gzip
import re

import numpy as np
import pytest
from gensim.models import KeyedVectors
from hypothesis import given, settings
from hypothesis import strategies as st

from skembed.exceptions import VectorFileError, VectorFileWarning
from skembed.words._files import open_vectors, read_vectors
from words.contents import VECTORS, WORDS, glove_text


def test_binary_files_with_a_newline_after_each_vector(tmp_path):
    """As written by Google's program."""
    parts = [w.encode() + b" " + row.tobytes() for w, row in zip(WORDS, VECTORS, strict=True)]
    (tmp_path / "v.bin").write_bytes(b"6 5\n" + b"\n".join(parts) + b"\n")
    table = read_vectors(tmp_path / "v.bin")
    assert table.words == WORDS
    np.testing.assert_array_equal(table.vectors, VECTORS)


@pytest.mark.parametrize("n_words", [1, 3])
def test_binary_files_without_control_characters(tmp_path, n_words):
    """Control characters tell most binary files from text; the bytes of 0.1 contain none."""
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


@pytest.mark.parametrize("compressed", [False, True], ids=["plain", "gzip"])
@pytest.mark.parametrize("header", [b"", b"6 5\n"], ids=["glove", "word2vec"])
def test_a_byte_order_mark_is_no_part_of_the_first_word(tmp_path, header, compressed):
    content = b"\xef\xbb\xbf" + header + glove_text()
    (tmp_path / "v.txt").write_bytes(gzip.compress(content) if compressed else content)
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


@pytest.mark.parametrize("header", [b"", b"2 3\n"], ids=["plain", "header"])
@pytest.mark.parametrize("n_numbers", [3, 6, 8], ids=["model 1, 2", "model 3", "model 0"])
def test_glove_text(tmp_path, header, n_numbers):
    """The header does not count the unknown word, nor all numbers of -model 0 and 3."""
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


def test_the_first_of_duplicate_words_is_kept_with_one_warning(tmp_path):
    (tmp_path / "v.txt").write_text("aa 1 2\nbb 3 4\naa 5 6\naa 7 8\n")
    with pytest.warns(
        VectorFileWarning, match="2 of 4 words are duplicates, of which the first"
    ) as seen:
        table = read_vectors(tmp_path / "v.txt")
    assert [item.filename for item in seen] == [__file__]
    assert table.words == ["aa", "bb"]
    assert table.vectors.tolist() == [[1, 2], [3, 4]]


def test_words_that_are_not_utf8(tmp_path):
    (tmp_path / "v.txt").write_bytes(b"caf\xe9 1 2\nbb 3 4\n")
    with pytest.warns(VectorFileWarning, match="1 of 2 words are not UTF-8"):
        assert read_vectors(tmp_path / "v.txt").words == [r"caf\xe9", "bb"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"some words of a letter\n", "is not a file of word vectors"),
        (b"\x00\x01\x02\x03" * 9, "is not a file of word vectors"),
        (b"word" + b" 1" * (1 << 19), "is not a file of word vectors"),
        (b"0 5\n", "states 0 words of 5 dimensions"),
        (b"5 0\n", "states 5 words of 0 dimensions"),
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
        (b"1 2\naa 1 2\nbb 3 4\n", "states 1 words, but contains more."),
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
        (b"-5 300\nof 593\n", "states -5 words of 300 dimensions"),
        (b"9" * 5000 + b" 3\naa 1 2 3\n", "line 2: 1 number is expected after the word, got 3."),
        (b"aa 1 2\nbb " + b"3" * (1 << 21) + b"\n", "line 2: more than 1048576 bytes without"),
        (b"2 2\naa 1 2\nbb 3 4\ncc 5 6\n", "states 2 words, but contains more."),
        (b"2 2\naa 1 2\nbb 3 4\n<unk> 5 6\ncc 7 8\n", "states 2 words, but contains more."),
        (b"aa 1 2\nbb nan 4\n", "the vector of 'bb' contains NaN or infinity."),
        (b"aa 1 2\nbb 3 inf\n", "the vector of 'bb' contains NaN or infinity."),
        (b"aa 1 2\nbb 3 1e999\n", "the vector of 'bb' contains NaN or infinity."),
        (b"999999999999 300\naa \x00\x00\x80\x3f", "ends after 0 or fewer of 999999999999 words"),
    ],
)
def test_damaged_files(tmp_path, content, message):
    (tmp_path / "v").write_bytes(content)
    with pytest.raises(VectorFileError, match=re.escape(message)):
        read_vectors(tmp_path / "v")


@pytest.mark.parametrize("n", [1, 10])
def test_vectors_of_one_dimension_are_told_from_counts_by_later_lines(tmp_path, n):
    """Integers could be the counts of a vocabulary; later lines decide."""
    lines = [f"w{i} {i + 1}" for i in range(n)] + ["last 0.5"]
    (tmp_path / "v.txt").write_text("\n".join(lines))
    table = open_vectors(tmp_path / "v.txt", None).table()
    assert table.vectors.ravel().tolist() == [*range(1, n + 1), 0.5]
    assert open_vectors(tmp_path / "v.txt", 1).table().words == ["w0"]


def test_binary_files_truncated_anywhere(keyed, tmp_path):
    keyed.save_word2vec_format(tmp_path / "whole", binary=True)
    whole = (tmp_path / "whole").read_bytes()
    for size in range(4, len(whole)):
        (tmp_path / "v").write_bytes(whole[:size])
        with pytest.raises(VectorFileError, match=r"ends|is not a file|are expected"):
            read_vectors(tmp_path / "v")
    (tmp_path / "v").write_bytes(whole + b"and more")
    with pytest.raises(VectorFileError, match="states 6 words, but contains more"):
        read_vectors(tmp_path / "v")
