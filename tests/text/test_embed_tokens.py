"""`embed_tokens`, and rows without any token."""

import shutil

import numpy as np
import pytest
from tiny import LONG, add_modules

from skembed import BertEmbedder
from skembed.base._poolings import POOLING_NAMES
from skembed.exceptions import (
    BadRowsError,
    TruncationWarning,
)


@pytest.mark.parametrize("backend", ["torch", "onnx"])
def test_embed_tokens_against_transformers(tiny_bert, texts, reference, backend):
    embedded = BertEmbedder(tiny_bert, backend=backend).fit(texts).embed_tokens(texts)
    assert len(embedded) == len(texts)
    for text, (tokens, spans, vectors) in zip(texts, embedded, strict=True):
        np.testing.assert_allclose(vectors, reference(text)[-1][1:-1], atol=1e-5)
        assert len(tokens) == len(spans) == len(vectors)
        assert vectors.dtype == np.float32
        for token, (start, stop) in zip(tokens, spans, strict=True):
            if token != "[UNK]":
                assert text[start:stop].lower() == token.removeprefix("##")


@pytest.mark.parametrize("backend", ["torch", "onnx"])
@pytest.mark.parametrize("given", [{"truncate_dim": 4}, {"pooling": ["mean", "max"]}], ids=str)
def test_parameters_of_a_texts_vector_do_not_matter(tiny_bert, backend, given):
    plain, other = (
        BertEmbedder(tiny_bert, backend=backend, **parameters).fit(["a"])
        for parameters in ({}, given)
    )
    rows = ["the cat", ""]
    for expected, found in zip(plain.embed_tokens(rows), other.embed_tokens(rows), strict=True):
        np.testing.assert_array_equal(found.vectors, expected.vectors)


def test_embed_tokens_layers_prompt_and_chunks(tiny_bert, reference):
    embedder = BertEmbedder(tiny_bert, layers=[0, -1], prompt="query: ").fit(["a"])
    (plain,) = embedder.embed_tokens(["the cat"])
    states = reference("query: the cat")
    expected = np.hstack([states[0], states[-1]])[3:-1]
    assert plain.tokens == ["the", "cat"]
    assert plain.spans.tolist() == [[0, 3], [4, 7]]
    np.testing.assert_allclose(plain.vectors, expected, atol=1e-5)
    chunked = BertEmbedder(tiny_bert, max_length=10, long_texts="chunk").fit(["a"])
    (whole,) = chunked.embed_tokens([LONG])
    assert whole.tokens == LONG.split()
    assert [LONG[a:b] for a, b in whole.spans] == LONG.split()
    with pytest.warns(TruncationWarning, match="1 of 1 text is"):
        (cut,) = chunked.set_params(long_texts="truncate").fit(["a"]).embed_tokens([LONG])
    assert cut.tokens == LONG.split()[:8]
    np.testing.assert_allclose(cut.vectors, whole.vectors[:8], atol=1e-6)


def test_embed_tokens_takes_one_column(tiny_bert):
    two = np.array([["a", "b"]], dtype=object)
    embedder = BertEmbedder(tiny_bert).fit(two)
    with pytest.raises(ValueError, match="embed_tokens takes one column of texts; got 2"):
        embedder.embed_tokens(two)


def test_a_word_has_another_vector_in_another_context(tiny_bert):
    river, money = BertEmbedder(tiny_bert).fit(["a"]).embed_tokens(["river bank", "the bank ran"])
    assert river.tokens[1] == money.tokens[1] == "bank"
    assert np.abs(river.vectors[1] - money.vectors[1]).max() > 0.01


def test_embed_tokens_of_bad_rows(tiny_bert):
    embedder = BertEmbedder(tiny_bert, bad_rows="zero").fit(["a"])
    tokens, spans, vectors = embedder.embed_tokens([None, "a cat"])[0]
    assert (tokens, spans.shape, vectors.shape) == ([], (0, 2), (0, 16))
    with pytest.raises(BadRowsError, match="row 0: None"):
        embedder.set_params(bad_rows="raise").embed_tokens([None, "a cat"])


RUNTIMES = [
    {"backend": "torch"},
    {"backend": "onnx"},
    {"precision": "int8"},
    {"precision": "bfloat16", "backend": "torch"},
]


@pytest.mark.parametrize("runtime", RUNTIMES, ids=str)
def test_a_row_of_no_tokens_is_zeros_for_every_pooling(tiny_plain, runtime):
    """On every backend, normalized or not, beside other rows and alone."""
    texts = ["", "the cat", " ", "a"]
    parameters = {"pooling": list(POOLING_NAMES), "cache": None, **runtime}
    for normalize in (False, True):
        embedder = BertEmbedder(tiny_plain, normalize=normalize, **parameters).fit(texts)
        vectors = embedder.transform(texts)
        assert np.isfinite(vectors).all()
        assert (vectors.any(axis=1) == [False, True, False, True]).all()
        np.testing.assert_array_equal(embedder.transform([""]), vectors[:1])


def test_a_row_of_no_tokens_is_zeros_after_dense_layers_and_in_chunks(tiny_plain, tmp_path):
    """A dense layer's bias is not a vector of nothing; other rows are cut into windows as ever."""
    folder = shutil.copytree(tiny_plain, tmp_path / "model")
    add_modules(folder, dense={"in_features": 16, "out_features": 4, "bias": True})
    embedder = BertEmbedder(folder, backend="torch", long_texts="chunk", max_length=3)
    vectors = embedder.fit_transform(["", "the cat sat on a mat", ""])
    assert not vectors[[0, 2]].any()
    assert vectors[1].any()


@pytest.mark.parametrize("pooling", ["mean", "max", "lasttoken", "weightedmean"])
def test_nothing_but_a_prompt_that_is_not_pooled_is_zeros(tiny_plain, tmp_path, pooling):
    """There is no token left."""
    folder = shutil.copytree(tiny_plain, tmp_path / "model")
    settings = {"pooling_mode": pooling, "include_prompt": False}
    add_modules(folder, pooling=settings, prompts={"query": "query: "})
    vectors = BertEmbedder(folder, backend="torch", prompt="query").fit_transform(["", "cat"])
    assert not vectors[0].any()
    assert np.isfinite(vectors[1]).all()
    assert vectors[1].any()


def test_embed_tokens_of_a_row_of_no_tokens(tiny_plain):
    """No token, no vector."""
    embedder = BertEmbedder(tiny_plain, backend="torch").fit(["a"])
    empty, cat = embedder.embed_tokens(["", "cat"])
    assert (empty.tokens, empty.spans.shape, empty.vectors.shape) == ([], (0, 2), (0, 16))
    assert cat.tokens == ["cat"]
    assert embedder.embed_tokens([""])[0].vectors.shape == (0, 16)
