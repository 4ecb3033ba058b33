"""Networks of other families than BERT, and their attention in exported graphs.

`models/_attention` is tested here: its operator exists only in the exported graph of a network.
`text/_families` is a table of encoders, which test_sentence_transformers.py loads.
"""

import functools

import numpy as np
import onnx
import pytest
import torch
import transformers
from tiny import save_tiny_model

import skembed
from skembed import BertEmbedder
from skembed.models import _attention
from skembed.network._load import graph_of

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


@pytest.mark.parametrize("name", ["Electra", "T5"])
def test_attention_is_one_operator(name, tiny_electra, tmp_path):
    """Where transformers lets attention be chosen, as it does not for T5."""
    folder = tiny_electra
    if name == "T5":
        sizes = {"d_model": 16, "d_kv": 8, "d_ff": 24, "num_layers": 2, "num_heads": 2}
        folder = save_tiny_model(
            tmp_path, transformers.T5Config, transformers.T5EncoderModel, **sizes
        )
    embedder = BertEmbedder(folder, backend="onnx").fit(["a"])
    graph = onnx.load(graph_of(embedder._network), load_external_data=False).graph
    operators = [node.op_type for node in graph.node]
    assert operators.count("MultiHeadAttention") == (2 if name == "Electra" else 0)
    assert operators.count("Softmax") == (0 if name == "Electra" else 2)


def test_attention_that_is_wrong_as_one_operator_is_exported_plainly(
    tiny_electra, tmp_path, texts, monkeypatch
):
    def wrong(*states, scaling=None, **kwargs):
        return _attention._attention(*states, scaling=9.0, **kwargs)

    monkeypatch.setitem(transformers.AttentionInterface._global_mapping, _attention.FUSED, wrong)
    with skembed.config_context(cache_folder=tmp_path):
        embedder = BertEmbedder(tiny_electra, backend="onnx").fit(texts)
        graph = onnx.load(graph_of(embedder._network), load_external_data=False).graph
        assert "MultiHeadAttention" not in {node.op_type for node in graph.node}
        assert embedder.show_runtime()["max_difference"] < 1e-5
