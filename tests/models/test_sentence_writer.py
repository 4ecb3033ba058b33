"""Heads as modules of Sentence Transformers: its own vectors are those of the embedder."""

import json
import re

import numpy as np
import pytest
from tiny import add_modules, save_tiny_bert

from skembed import BertEmbedder
from skembed.exceptions import ExportError
from skembed.models._folder import ModelFolder
from skembed.models._head import Head
from skembed.models._sentence_writer import check_head, write_modules

sentence_transformers = pytest.importorskip("sentence_transformers")

pytestmark = pytest.mark.filterwarnings("ignore::skembed.exceptions.TruncationWarning")
DENSE = {
    "in_features": 16,
    "out_features": 6,
    "bias": True,
    "activation_function": "torch.nn.modules.activation.Tanh",
}


@pytest.fixture
def source(tmp_path):
    return save_tiny_bert(tmp_path / "source")


def assert_written(source, texts, **given):
    """Compare three: the embedder, its folder in skembed, its folder in Sentence Transformers."""
    settings = {"backend": "torch", "cache": None}
    embedder = BertEmbedder(source, **settings, **given).fit(texts)
    vectors = embedder.transform(texts)
    folder = embedder.export(source.parent / "folder", format="transformers")
    again = BertEmbedder(folder, **settings).fit_transform(texts)
    np.testing.assert_allclose(again, vectors, atol=1e-6)
    model = sentence_transformers.SentenceTransformer(str(folder), device="cpu")
    np.testing.assert_allclose(model.encode(texts), vectors, atol=1e-5)
    return folder, model


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"pooling": "cls"},
        {"pooling": "mean_max"},
        {"pooling": ["last", "weighted_mean", "mean_sqrt_len"], "normalize": True},
        {"layers": 2},
        {"normalize": True},
        {"truncate_dim": 5},
        {"truncate_dim": 5, "normalize": True},
        {"truncate_dim": 16, "normalize": True},
        {"max_length": 7},
        {"prompt": "query: "},
    ],
    ids=str,
)
def test_parameters(given, source, texts):
    assert_written(source, texts, **given)


@pytest.mark.parametrize("given", [{}, {"truncate_dim": 4}, {"truncate_dim": 4, "normalize": True}])
def test_the_models_own_modules(given, source, texts):
    """Its dense layers, pooling and length are kept."""
    add_modules(source, pooling={"pooling_mode_cls_token": True}, dense=DENSE, normalize=True)
    assert_written(source, texts, **given)


def test_a_models_own_final_length_stays_the_last_step(source, texts):
    add_modules(source, normalize=True)
    path = source / "config_sentence_transformers.json"
    path.write_text(json.dumps({"truncate_dim": 5, "similarity_fn_name": "dot"}))
    folder, model = assert_written(source, texts)
    assert model.truncate_dim == 5
    assert model.similarity_fn_name == "dot"
    assert not list(folder.glob("*_Dense"))


def test_prompts_of_the_model_are_kept(source, texts):
    """The one that the embedder uses is the default, and one that it does not use is none."""
    pooling = {"pooling_mode_mean_tokens": True, "include_prompt": False}
    add_modules(source, pooling=pooling, prompts={"query": "the cat: "}, default="query")
    _, model = assert_written(source, texts, prompt="to town: ")
    assert model.prompts["query"] == "the cat: "
    assert model.default_prompt_name == "default"


def test_no_prompt_where_the_model_has_a_default(source, texts):
    add_modules(source, prompts={"query": "the cat: "}, default="query")
    _, model = assert_written(source, texts, prompt="")
    assert model.default_prompt_name is None


def test_the_name_of_a_prompt_is_not_taken_twice(source, texts):
    add_modules(source, prompts={"default": "the cat: "})
    _, model = assert_written(source, texts, prompt="to town: ")
    assert model.default_prompt_name == "default_1"


def test_lowercase_is_written(source, texts):
    add_modules(source)
    (source / "sentence_bert_config.json").write_text(
        '{"max_seq_length": 24, "do_lower_case": true}'
    )
    folder, _ = assert_written(source, ["THE CAT", "a Dog"])
    settings = json.loads((folder / "sentence_bert_config.json").read_text())
    assert settings == {"max_seq_length": 24, "do_lower_case": True}


def test_a_projection_is_a_dense_layer(source, texts):
    """Without bias and activation; truncated before it is normalized."""
    folder = (
        BertEmbedder(source, backend="torch")
        .fit(texts)
        .export(source.parent / "folder", format="transformers")
    )
    plain = BertEmbedder(source, backend="torch", cache=None).fit_transform(texts)
    projection = np.random.default_rng(0).standard_normal((6, 16)).astype(np.float32)
    head = Head(truncate_dim=4, normalize=True)
    write_modules(folder, head, ModelFolder(source), n_hidden=16, prompt="", projection=projection)
    expected = (plain @ projection.T)[:, :4]
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    model = sentence_transformers.SentenceTransformer(str(folder), device="cpu")
    np.testing.assert_allclose(model.encode(texts), expected, atol=1e-5)


def test_heads_without_modules_are_refused():
    check_head(Head(layers=(6,)), 6)
    with pytest.raises(ExportError, match=re.escape("and layers=5. Fit with layers=-1, or use")):
        check_head(Head(layers=(5,)), 6)
    with pytest.raises(ExportError, match="Sentence Transformers has no pooling 'gem'"):
        check_head(Head(pooling=("gem",)), 6)
