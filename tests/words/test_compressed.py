"""Compressed files are read up to a limit, which their headers and lines raise."""

import bz2
import gzip
import lzma
import os
import re
import struct

import numpy as np
import pytest

from skembed.exceptions import VectorFileError
from skembed.words import _compressed, _word2vec_file
from skembed.words._compressed import decompressed
from skembed.words._files import read_vectors
from skembed.words._subwords import Subwords
from skembed.words._table import table_from_words
from skembed.words._writers import write_vectors
from words.contents import glove_text


def test_compressed_files_beyond_the_limit(tmp_path, monkeypatch):
    monkeypatch.setattr(_compressed, "_BASE_LIMIT", 1000)
    (tmp_path / "v.gz").write_bytes(gzip.compress(b"word" + b" 1" * 100_000))
    with pytest.raises(VectorFileError, match="decompresses to more than 10 times its size"):
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
    monkeypatch.setattr(_compressed, "_BASE_LIMIT", 1 << 17)
    repeated = b"aa 1 2 3\n" if start.startswith(b"aa") else b"\0"
    (tmp_path / "v").write_bytes(pack(start + repeated * (1 << 20)))
    with pytest.raises(
        VectorFileError, match=r"decompresses to more than 10 times its size|, line 4"
    ):
        read_vectors(tmp_path / "v")


def test_repeated_lines_do_not_raise_the_limit(tmp_path, monkeypatch):
    """Decompression bombs repeat lines; only lines of new words raise the limit."""
    monkeypatch.setattr(_compressed, "_BASE_LIMIT", 1 << 18)
    monkeypatch.setattr(_word2vec_file, "_BATCH_BYTES", 1 << 16)
    lines = [b"w%d" % i + b" 0" * 1000 + b"\n" for i in range(1000)]
    (tmp_path / "v.gz").write_bytes(gzip.compress(b"".join(lines)))
    assert len(read_vectors(tmp_path / "v.gz").words) == 1000
    (tmp_path / "v.gz").write_bytes(gzip.compress(b"".join(lines[:9] * 111)))
    with pytest.raises(VectorFileError, match="decompresses to more than 10 times its size"):
        read_vectors(tmp_path / "v.gz")


@pytest.mark.parametrize("file_format", ["text", "binary", "glove", "fasttext"])
@pytest.mark.parametrize("suffix", [".gz", ".bz2", ".xz"])
def test_compressed_zeros_are_read_again(tmp_path, monkeypatch, file_format, suffix):
    """Zeros compress better than the usual limit allows."""
    monkeypatch.setattr(_compressed, "_BASE_LIMIT", 1 << 18)
    monkeypatch.setattr(_word2vec_file, "_BATCH_BYTES", 1 << 16)
    subwords = None
    if file_format == "fasttext":
        subwords = Subwords(np.zeros((1, 50), np.float32), np.array([3]), 20_000, 3, 6)
    words = [f"word{i}" for i in range(10_000)]
    table = table_from_words(words, np.zeros((10_000, 50), np.float32), subwords)
    path = tmp_path / f"zeros{suffix}"
    write_vectors(table, path, file_format, False)
    again = read_vectors(path)
    assert again.words == words
    assert again.vectors.shape == (10_000, 50)
    packer = {".gz": gzip, ".bz2": bz2, ".xz": lzma}[suffix]
    n_bytes = len(packer.decompress(path.read_bytes()))
    assert n_bytes > (1 << 18) + 10 * os.path.getsize(path)
    if file_format == "fasttext":
        with decompressed(path) as plain:
            assert os.path.getsize(plain) == n_bytes


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (bz2.compress(glove_text())[:-20], "cannot be read"),
        (lzma.compress(glove_text())[:-20], "cannot be read"),
        (lzma.compress(glove_text())[:30] + bytes(90), "cannot be read"),
        (gzip.compress(glove_text())[:-20], "cannot be read"),
        (gzip.compress(glove_text())[:20] + bytes(50), "cannot be read"),
    ],
)
def test_truncated_and_damaged_files(tmp_path, content, message):
    (tmp_path / "v").write_bytes(content)
    with pytest.raises(VectorFileError, match=re.escape(message)):
        read_vectors(tmp_path / "v")
