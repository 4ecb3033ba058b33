"""Files that contain no word vectors are rejected with their kind."""

import gzip
import pickle
import re
import struct

import numpy as np
import pytest

from skembed.exceptions import VectorFileError
from skembed.words._files import read_vectors
from words.contents import VECTORS


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (pickle.dumps({"a": 1}), "is a pickle, as written by gensim's save()"),
        (b"PK\x03\x04...", "is a zip archive: decompress it"),
        (b"BZh9...", "is a bz2 archive: decompress it"),
        (b"<!DOCTYPE html>\n<html>", "is an HTML or XML page: the download has failed"),
        (b"version https://git-lfs.github.com/spec/v1\n", "is a pointer of Git LFS"),
        ("a 1 2\n".encode("utf-16"), "is text in UTF-16: convert it to UTF-8"),
        (gzip.compress(gzip.compress(b"a 1 2\n")), "is compressed with gzip twice"),
        (gzip.compress(pickle.dumps([1])), "is a pickle"),
        (gzip.compress(b""), "is empty"),
        (VECTORS.astype(np.float64).tobytes(), "seems to be GloVe's binary output"),
        (
            struct.pack("<iid", 1, 2, 0.5) * 9,
            "contains co-occurrence counts, as written by GloVe's cooccur",
        ),
    ],
)
def test_files_of_other_kinds(tmp_path, content, message):
    (tmp_path / "v").write_bytes(content)
    with pytest.raises(VectorFileError, match=re.escape(message)):
        read_vectors(tmp_path / "v")
