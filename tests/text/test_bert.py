"""BertEmbedder: each parameter does what it says; each bad input gets its message."""

import functools
import re
import shutil

import numpy as np
import onnx
import pytest
import torch
import transformers
from sklearn.base import clone
from tiny import add_modules, save_tiny_bert, save_tiny_model

import skembed
from skembed import BertEmbedder
from skembed.exceptions import (
    BadRowsError,
    ModelFormatError,
    ModelNotFoundError,
    TruncationWarning,
)
from skembed.models import _attention
from skembed.network._load import graph_of

LONG = "the cat sat on a mat while the dog ran over the hill and the river to town " * 3


@pytest.fixture(scope="module")
def reference(tiny_bert):
    """Transformers' own forward: text -> hidden states of all layers, (n_tokens, n_dims) each."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(tiny_bert)
    model = transformers.AutoModel.from_pretrained(tiny_bert).eval()

    @functools.cache
    def states(text, max_length=32):
        inputs = tokenizer(text, return_tensors="pt", truncation=True, max_length=max_length)
        with torch.no_grad():
            answer = model(**inputs, output_hidden_states=True)
        return [state[0].numpy() for state in answer.hidden_states]

    return states


def unit(vectors):
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


POOLINGS = {
    "mean": lambda states: states.mean(axis=0),
    "cls": lambda states: states[0],
    "max": lambda states: states.max(axis=0),
    "mean_sqrt_len": lambda states: states.sum(axis=0) / np.sqrt(len(states)),
    "weighted_mean": lambda states: np.average(states, axis=0, weights=range(1, len(states) + 1)),
    "last": lambda states: states[-1],
}


@pytest.mark.parametrize("backend", ["torch", "onnx"])
@pytest.mark.parametrize("pooling", POOLINGS)
def test_pooling_against_transformers(tiny_bert, texts, reference, pooling, backend):
    vectors = BertEmbedder(tiny_bert, pooling=pooling, backend=backend).fit_transform(texts)
    expected = [POOLINGS[pooling](reference(text)[-1]) for text in texts]
    np.testing.assert_allclose(vectors, expected, atol=1e-5)


@pytest.mark.parametrize("backend", ["torch", "onnx"])
@pytest.mark.parametrize("layers", [0, 1, -2, [0, -1], [-1, 1, 0]])
def test_layers_against_transformers(tiny_bert, texts, reference, layers, backend):
    vectors = BertEmbedder(tiny_bert, layers=layers, backend=backend).fit_transform(texts)
    chosen = layers if isinstance(layers, list) else [layers]
    expected = [
        np.concatenate([reference(text)[layer].mean(axis=0) for layer in chosen]) for text in texts
    ]
    np.testing.assert_allclose(vectors, expected, atol=1e-5)


def test_auto_is_the_mean_of_the_last_layer_where_the_model_says_nothing(tiny_bert, texts):
    auto = BertEmbedder(tiny_bert).fit_transform(texts)
    explicit = BertEmbedder(tiny_bert, pooling="mean", layers=2, normalize=False)
    np.testing.assert_allclose(auto, explicit.fit_transform(texts), atol=1e-6)


def test_a_list_of_poolings_is_concatenated(tiny_bert, texts):
    both = BertEmbedder(tiny_bert, pooling=["cls", "max"], backend="torch").fit_transform(texts)
    single = [
        BertEmbedder(tiny_bert, pooling=pooling, backend="torch").fit_transform(texts)
        for pooling in ("cls", "max")
    ]
    np.testing.assert_allclose(both, np.hstack(single), atol=1e-6)


@pytest.mark.parametrize("backend", ["torch", "onnx"])
def test_truncate_dim_comes_before_normalize(tiny_bert, texts, backend):
    plain = BertEmbedder(tiny_bert, backend=backend).fit_transform(texts)
    cut = BertEmbedder(tiny_bert, backend=backend, truncate_dim=5, normalize=True)
    np.testing.assert_allclose(cut.fit_transform(texts), unit(plain[:, :5]), atol=1e-6)
    assert cut.n_features_out_ == 5


@pytest.mark.parametrize("bad", [17, 1000])
def test_truncate_dim_beyond_the_model(tiny_bert, bad):
    with pytest.raises(ValueError, match=f"must be at most 16.*Got {bad} instead"):
        BertEmbedder(tiny_bert, truncate_dim=bad).fit(["a"])


def test_max_length_cuts_as_transformers_does_and_warns_once(tiny_bert, reference):
    rows = ["a cat", LONG, "the dog", LONG + "!"]
    embedder = BertEmbedder(tiny_bert, max_length=10).fit(rows)
    message = (
        "BertEmbedder: 2 of 4 texts are longer than max_length=10 tokens and were cut there. Set "
        "long_texts='chunk' to embed all of them."
    )
    for _ in range(2):  # computed, then from the cache
        with pytest.warns(TruncationWarning, match=re.escape(message)) as caught:
            vectors = embedder.transform(rows)
        assert len(caught) == 1
    expected = [reference(text, 10)[-1].mean(axis=0) for text in rows]
    np.testing.assert_allclose(vectors, expected, atol=1e-5)


def test_the_cut_of_a_repeated_row_counts_each_time(tiny_bert):
    with pytest.warns(TruncationWarning, match="3 of 4 texts"):
        BertEmbedder(tiny_bert).fit_transform([LONG, "a", LONG, LONG])


def test_the_models_own_max_length_holds(tiny_bert):
    """model_max_length is 32 in tokenizer_config.json, positions go to 40."""
    with pytest.warns(TruncationWarning, match="max_length=32"):
        BertEmbedder(tiny_bert).fit_transform([LONG])
    with pytest.warns(TruncationWarning, match="max_length=40"):
        BertEmbedder(tiny_bert, max_length=40).fit_transform([LONG])
    with pytest.raises(ValueError, match="max_length=41 is more than the 40 that the model takes"):
        BertEmbedder(tiny_bert, max_length=41).fit(["a"])
    with pytest.raises(ValueError, match="max_length=2 leaves no room for a text"):
        BertEmbedder(tiny_bert, max_length=2).fit(["a"])


@pytest.mark.parametrize("normalize", [False, True])
def test_chunk_averages_windows_by_their_tokens(tiny_bert, normalize):
    """Windows that are texts of their own: words that the tokenizer knows whole."""
    words = LONG.split()
    embedder = BertEmbedder(tiny_bert, max_length=10, long_texts="chunk", normalize=normalize)
    vectors = embedder.fit_transform([LONG, "a cat"])
    windows = [words[i : i + 8] for i in range(0, len(words), 8)]
    parts = embedder.transform([" ".join(window) for window in windows])
    expected = np.average(parts, axis=0, weights=[len(window) for window in windows])
    np.testing.assert_allclose(vectors[0], unit(expected) if normalize else expected, atol=1e-6)
    np.testing.assert_array_equal(vectors[1], embedder.transform(["a cat"])[0])


def test_long_texts_error_names_the_rows(tiny_bert):
    embedder = BertEmbedder(tiny_bert, max_length=10, long_texts="error").fit(["a"])
    n_tokens = len(LONG.split()) + 2
    message = (
        "BertEmbedder: 1 of 3 rows is longer than the network takes (row 1: "
        f"{n_tokens} tokens, more than max_length=10). Shorten it, set "
        'long_texts="truncate" or "chunk", or set bad_rows="zero" or "nan".'
    )
    with pytest.raises(BadRowsError, match=re.escape(message)):
        embedder.transform(["a", LONG, "b"])
    vectors = embedder.set_params(bad_rows="nan").transform(["a", LONG, "b"])
    assert np.isnan(vectors).all(axis=1).tolist() == [False, True, False]


def test_prompt_is_put_before_each_text(tiny_bert, texts):
    prompted = BertEmbedder(tiny_bert, prompt="query: ").fit_transform(texts[:5])
    by_hand = BertEmbedder(tiny_bert).fit_transform([f"query: {text}" for text in texts[:5]])
    np.testing.assert_array_equal(prompted, by_hand)


def test_prompts_of_the_model_go_by_name(tmp_path, texts):
    prompts = {"query": "query: ", "passage": "passage: "}
    folder = add_modules(save_tiny_bert(tmp_path), prompts=prompts, default="passage")

    def vectors(**parameters):
        return BertEmbedder(folder, backend="torch", **parameters).fit_transform(texts[:5])

    none = vectors(prompt="")
    assert np.array_equal(vectors(), vectors(prompt="passage: "))  # the default prompt
    assert np.array_equal(vectors(prompt="query"), vectors(prompt="query: "))
    assert not np.allclose(vectors(), none)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("pooling", "max"),
        ("layers", 0),
        ("normalize", True),
        ("truncate_dim", 4),
        ("max_length", 8),
        ("long_texts", "chunk"),
        ("prompt", "query: "),
        ("precision", "bfloat16"),
        ("backend", "torch"),
        ("model", "other"),
    ],
)
def test_what_changes_the_vectors_changes_the_fingerprint(tiny_bert, tmp_path, name, value):
    """And what changes neither is in the test below; each parameter is in one of the two."""
    if value == "other":
        value = save_tiny_bert(tmp_path, seed=1)
    base = BertEmbedder(tiny_bert, long_texts="truncate").fit(["a"])
    other = clone(base).set_params(**{name: value}).fit(["a"])
    assert other.fingerprint_ != base.fingerprint_
    if name != "backend":
        rows = [LONG, "a cat"]
        vectors = []
        for embedder in (base, other):
            if embedder.long_texts == "chunk":
                vectors.append(embedder.transform(rows))
            else:
                with pytest.warns(TruncationWarning):
                    vectors.append(embedder.transform(rows))
        assert not np.array_equal(*vectors)


UNCHANGING = {
    "revision": "v1",
    "precompute": {"pooling": ["max", "cls"]},
    "batch_size": 3,
    "device": "cpu",
    "n_threads": 1,
    "cache": None,
    "bad_rows": "nan",
    "random_state": 3,
    "verbose": 1,
}


@pytest.mark.parametrize(("name", "value"), UNCHANGING.items())
def test_what_changes_no_vector_changes_no_fingerprint(tiny_bert, texts, name, value, capsys):
    base = BertEmbedder(tiny_bert).fit(texts)
    other = clone(base).set_params(**{name: value}).fit(texts)
    assert other.fingerprint_ == base.fingerprint_
    np.testing.assert_array_equal(other.transform(texts), base.transform(texts))


def test_each_parameter_is_in_one_of_the_two_tests_above():
    mark = test_what_changes_the_vectors_changes_the_fingerprint.pytestmark[0]
    changing = {name for name, _ in mark.args[1]}
    assert changing | UNCHANGING.keys() == BertEmbedder().get_params().keys()


def test_the_path_of_a_model_is_not_in_the_fingerprint(tiny_bert, tmp_path):
    same = save_tiny_bert(tmp_path / "elsewhere")
    assert (
        BertEmbedder(same, backend="torch").fit(["a"]).fingerprint_
        == BertEmbedder(tiny_bert, backend="torch").fit(["a"]).fingerprint_
    )


def test_verbose_shows_a_progress_bar_and_quiet_shows_nothing(tiny_bert, texts, capsys):
    BertEmbedder(tiny_bert, cache=None).fit_transform(texts)
    assert capsys.readouterr() == ("", "")
    BertEmbedder(tiny_bert, cache=None, verbose=1).fit_transform(texts)
    assert "BertEmbedder: 100%" in capsys.readouterr().err
    with skembed.config_context(progress=True):
        BertEmbedder(tiny_bert, cache=None).fit_transform(texts)
    assert "BertEmbedder: 100%" in capsys.readouterr().err


# -- bad input ------------------------------------------------------------------------------------


def test_bad_rows_message_is_exact(tiny_bert):
    rows = ["text"] * 1000
    rows[4], rows[17], rows[902] = None, float("nan"), b"abc"
    message = (
        "BertEmbedder: 3 of 1000 rows are not text (row 4: None, row 17: float nan, row 902: "
        "bytes; decode it with row.decode()). Fill in missing rows, correct the others, or set "
        'bad_rows="zero" or "nan".'
    )
    with pytest.raises(BadRowsError) as caught:
        BertEmbedder(tiny_bert).fit(rows)
    assert str(caught.value) == message
    assert isinstance(caught.value, ValueError)


def test_a_lone_surrogate_is_a_bad_row(tiny_bert):
    with pytest.raises(BadRowsError, match="row 1: str with a lone surrogate"):
        BertEmbedder(tiny_bert).fit(["a", "\ud800"])


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        (
            {"pooling": "median"},
            "The 'pooling' parameter of BertEmbedder must be 'auto', one of ['mean', 'cls', "
            "'max', 'mean_sqrt_len', 'weighted_mean', 'last', 'mean_max'] or a list of them. "
            "Got 'median' instead.",
        ),
        ({"pooling": []}, "Got [] instead."),
        ({"layers": 3}, "must be an index from -3 to 2 (0 is the embedding layer)"),
        ({"layers": [0, -4]}, "Got [0, -4] instead."),
        ({"layers": []}, "Got [] instead."),
        ({"layers": [1.7]}, "Got [1.7] instead."),
        ({"layers": ["a"]}, "Got ['a'] instead."),
        ({"layers": True}, "Got True instead."),
        ({"device": "gpu"}, "must be 'auto', 'cpu', 'cuda', 'cuda:<number>' or 'mps'."),
        ({"prompt": "query"}, "The model has no prompt named 'query'; it has []."),
        ({"cache": ""}, "The folder of a cache must be a path, got ''."),
        ({"backend": "onnx", "precision": "bfloat16"}, "set backend='torch'"),
        ({"backend": "onnx", "device": "cuda"}, "device='cuda' with backend='onnx' needs"),
        ({"backend": "torch", "precision": "int8"}, "set backend='onnx'"),
        ({"device": "cuda", "precision": "int8"}, "runs int8 on the CPU; got device='cuda'"),
        ({"device": "cpu", "precision": "float16"}, "precision='float16' is for CUDA"),
        ({"device": "cuda:7", "backend": "torch"}, "torch finds no CUDA device"),
    ],
)
def test_what_cannot_be_had_says_why(tiny_bert, parameters, message):
    if "cuda" in str(parameters) and torch.cuda.is_available():
        pytest.skip("there is a CUDA device here")
    with pytest.raises(ValueError, match=re.escape(message)):
        BertEmbedder(tiny_bert, **parameters).fit(["a"]).transform(["a"])


def test_a_model_that_is_nowhere(tmp_path):
    with pytest.raises(ModelNotFoundError) as caught:
        BertEmbedder("nobody/no-such-model").fit(["a"])
    message = str(caught.value)
    for part in (
        "Model 'nobody/no-such-model' was not found. Tried:",
        "a local path",
        "the hub's local cache",
        "a packaged copy",
        "the hub: not searched",
        "Remedies:",
        "hf download nobody/no-such-model",
    ):
        assert part in message


def test_a_folder_without_a_tokenizer(tiny_bert, tmp_path):
    folder = save_tiny_bert(tmp_path)
    (folder / "tokenizer.json").unlink()
    with pytest.raises(ModelFormatError, match=r"has no tokenizer\.json\. Write one"):
        BertEmbedder(folder).fit(["a"])


def test_a_tokenizer_that_is_none(tmp_path):
    folder = save_tiny_bert(tmp_path)
    (folder / "tokenizer.json").write_text("{}")
    with pytest.raises(ModelFormatError, match=r"tokenizer\.json is not a tokenizer"):
        BertEmbedder(folder).fit(["a"])


# -- embed_tokens ---------------------------------------------------------------------------------


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


# -- rows of no tokens ----------------------------------------------------------------------------

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
    parameters = {"pooling": list(POOLINGS), "cache": None, **runtime}
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


# -- families -------------------------------------------------------------------------------------


_SMALL = {"num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24}
_SHIFTED = {"hidden_size": 16, "max_position_embeddings": 42, "pad_token_id": 0, **_SMALL}
FAMILIES = {
    "Roberta": _SHIFTED,
    "XLMRoberta": _SHIFTED,
    "MPNet": _SHIFTED,
    "DistilBert": {
        "dim": 16,
        "n_layers": 2,
        "n_heads": 2,
        "hidden_dim": 24,
        "max_position_embeddings": 40,
    },
    "ModernBert": {  # its first layer sees all tokens, its second one four on either side
        "hidden_size": 16,
        "max_position_embeddings": 40,
        "global_attn_every_n_layers": 2,
        "local_attention": 8,
        "pad_token_id": 0,
        **_SMALL,
    },
}


@pytest.fixture(scope="module")
def family(tmp_path_factory):
    """Make a tiny network of a family, once."""

    @functools.cache
    def make(name):
        return save_tiny_model(
            tmp_path_factory.mktemp("family") / name,
            getattr(transformers, f"{name}Config"),
            getattr(transformers, f"{name}Model"),
            **FAMILIES[name],
        )

    return make


@pytest.mark.parametrize("name", FAMILIES)
def test_other_families(name, family, texts):
    """RoBERTa numbers positions from 2 on, DistilBERT and MPNet name things in their own way."""
    folder = family(name)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    model = transformers.AutoModel.from_pretrained(folder).eval()
    expected = []
    for text in texts:
        inputs = tokenizer(text, return_tensors="pt")
        inputs = {k: v for k, v in inputs.items() if k != "token_type_ids"}
        with torch.no_grad():
            expected.append(model(**inputs).last_hidden_state[0].mean(dim=0).numpy())
    for backend in ("onnx", "torch"):
        vectors = BertEmbedder(folder, backend=backend).fit_transform(texts)
        np.testing.assert_allclose(vectors, expected, atol=1e-4, err_msg=backend)
    vectors = BertEmbedder(folder, precision="int8", normalize=True).fit_transform(texts)
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    assert (vectors * expected).sum(axis=1).min() > 0.97


@pytest.mark.parametrize("name", FAMILIES)
def test_attention_is_one_operator(name, family):
    """Where transformers lets attention be chosen, as it does not for MPNet."""
    embedder = BertEmbedder(family(name), backend="onnx").fit(["a"])
    graph = onnx.load(graph_of(embedder._network), load_external_data=False).graph
    operators = [node.op_type for node in graph.node]
    assert operators.count("MultiHeadAttention") == (0 if name == "MPNet" else 2)
    assert operators.count("Softmax") == (2 if name == "MPNet" else 0)


def test_attention_that_is_wrong_as_one_operator_is_exported_plainly(
    tiny_bert, tmp_path, texts, monkeypatch
):
    def wrong(*states, scaling=None, **kwargs):
        return _attention._attention(*states, scaling=9.0, **kwargs)

    monkeypatch.setitem(transformers.AttentionInterface._global_mapping, _attention.FUSED, wrong)
    with skembed.config_context(cache_folder=tmp_path):
        embedder = BertEmbedder(tiny_bert, backend="onnx").fit(texts)
        graph = onnx.load(graph_of(embedder._network), load_external_data=False).graph
        assert "MultiHeadAttention" not in {node.op_type for node in graph.node}
        assert embedder.show_runtime()["max_difference"] < 1e-5
