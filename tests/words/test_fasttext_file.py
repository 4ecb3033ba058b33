"""fastText's ``.bin`` files: as gensim reads them, of classifiers, truncated and damaged."""

import gzip
import re
import struct

import numpy as np
import pytest
from gensim.models import FastText
from gensim.models.fasttext import load_facebook_vectors, save_facebook_model
from gensim.test.utils import datapath

from skembed import FastTextVectorizer
from skembed.exceptions import VectorFileError
from skembed.words._fasttext_layout import MAGIC
from skembed.words._files import read_vectors
from words.contents import fasttext_bin


@pytest.mark.parametrize(
    "name", ["lee_fasttext_new.bin", "crime-and-punishment.bin", "toy-model.bin"]
)
def test_fasttext_bin_files(name):
    table, theirs = read_vectors(datapath(name)), load_facebook_vectors(datapath(name))
    assert table.words == theirs.index_to_key
    same = [word != "</s>" for word in table.words]  # to which gensim gives n-grams
    np.testing.assert_array_equal(table.vectors[same], theirs.vectors[same])
    unknown = ["unheardof", "x", "наука"]
    vectors, known = table.subwords.mean_vectors(unknown)
    assert known.all()
    np.testing.assert_allclose(vectors, [theirs[word] for word in unknown], atol=1e-6)
    few = read_vectors(datapath(name), max_words=3)
    np.testing.assert_array_equal(few.vectors, table.vectors[:3])
    np.testing.assert_array_equal(few.subwords.vectors, table.subwords.vectors)


def test_fasttext_bin_compressed_and_without_ngrams(model, fasttext_file, tmp_path):
    compressed = tmp_path / "model.bin.gz"
    compressed.write_bytes(gzip.compress(fasttext_file.read_bytes()))
    np.testing.assert_array_equal(
        read_vectors(compressed).vectors, read_vectors(fasttext_file).vectors
    )
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


def test_fasttexts_end_of_line_has_no_ngrams(tmp_path):
    """As in fastText's own program; gensim gives it n-grams."""
    matrix = np.random.default_rng(0).standard_normal((2 + 20, 4)).astype(np.float32)
    content = fasttext_bin(["</s>", "night"], matrix, bucket=20, minn=3, maxn=6)
    (tmp_path / "v.bin").write_bytes(content)
    table = read_vectors(tmp_path / "v.bin")
    np.testing.assert_array_equal(table.vectors[0], matrix[0])
    sums, n_ngrams, _ = table.subwords.ngram_sums(["night"])
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


def test_fasttext_files_truncated_anywhere(fasttext_file, tmp_path):
    """Gensim's parser reads forever if the dictionary is truncated."""
    whole = fasttext_file.read_bytes()
    _, n_vectors = len(whole), len(read_vectors(fasttext_file).words) + 50
    end = whole.index(struct.pack("<qq", n_vectors, 5)) + 16 + 4 * n_vectors * 5
    for size in range(4, end):
        (tmp_path / "v").write_bytes(whole[:size])
        with pytest.raises(VectorFileError, match="is truncated"):
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
        (84, struct.pack("<q", 2**40), "is truncated: too small for 1099511627776 pruned n-grams"),
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


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (MAGIC + struct.pack("<i", 13) + bytes(200), "file of version 13, not 11 or 12"),
        (MAGIC, "is truncated"),
    ],
)
def test_starts_of_files(tmp_path, content, message):
    (tmp_path / "v").write_bytes(content)
    with pytest.raises(VectorFileError, match=re.escape(message)):
        read_vectors(tmp_path / "v")
