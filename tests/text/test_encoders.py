"""Graphs that are built without torch compute what transformers computes, for all states."""

import numpy as np
import onnx
import pytest
import torch
import transformers
from tiny import save_tiny_model

from skembed import BertEmbedder
from skembed.models._folder import ModelFolder
from skembed.network._load import graph_of
from skembed.network._native import is_native
from skembed.runtime._encoder_graph import ACTIVATIONS, NativeGraph
from skembed.runtime._onnx import OnnxRunner
from skembed.text import _encoders
from skembed.text._bert import TEXTS

LENGTHS = (1, 2, 3, 4, 5, 7, 8, 9, 11, 13, 16, 17, 20, 31, 64, 65, 100, 130, 256, 512)
SIZES = {
    "vocab_size": 60,
    "hidden_size": 16,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "intermediate_size": 24,
    "max_position_embeddings": 520,
}
OF_DISTILBERT = {"vocab_size": 60, "dim": 16, "n_layers": 2, "n_heads": 4, "hidden_dim": 24}
OF_MODERN = SIZES | {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2, "local_attention": 8}
CASES = {
    "bert": ("BERT", "Bert", SIZES),
    "bert, one type, tanh": (
        "BERT",
        "Bert",
        SIZES | {"type_vocab_size": 1, "hidden_act": "gelu_new"},
    ),
    "bert, other norm": ("BERT", "Bert", SIZES | {"layer_norm_eps": 0.1, "hidden_act": "relu"}),
    "roberta": ("ROBERTA", "Roberta", SIZES),
    "roberta, other padding": ("ROBERTA", "Roberta", SIZES | {"pad_token_id": 5}),
    "xlm-roberta": ("XLM_ROBERTA", "XLMRoberta", SIZES),
    "mpnet": ("MPNET", "MPNet", SIZES),
    "mpnet, other padding": ("MPNET", "MPNet", SIZES | {"pad_token_id": 0}),
    "distilbert": ("DISTILBERT", "DistilBert", OF_DISTILBERT),
    "distilbert, relu": ("DISTILBERT", "DistilBert", OF_DISTILBERT | {"activation": "relu"}),
    "modernbert": ("MODERNBERT", "ModernBert", OF_MODERN),
    "modernbert, biases": (
        *("MODERNBERT", "ModernBert"),
        OF_MODERN | {"norm_bias": True, "attention_bias": True, "mlp_bias": True},
    ),
    "modernbert, other angles": (
        *("MODERNBERT", "ModernBert"),
        OF_MODERN | {"global_rope_theta": 500.0, "local_rope_theta": 50.0},
    ),
    "modernbert, local first": (
        *("MODERNBERT", "ModernBert"),
        OF_MODERN | {"layer_types": ["sliding_attention", "full_attention", "sliding_attention"]},
    ),
}


def random_model(name, config):
    """Return a network of transformers whose weights and biases all matter."""
    config = getattr(transformers, f"{name}Config")(**config)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = getattr(transformers, f"{name}Model")(config).eval()
        for parameter in model.parameters():
            torch.nn.init.normal_(parameter, std=0.3)
    return model


def reader_of(model):
    weights = {name: tensor.numpy() for name, tensor in model.state_dict().items()}

    def read(name, shape):
        assert weights[name].shape == tuple(shape)
        return weights[name]

    return read


@pytest.mark.parametrize("case", CASES)
def test_all_states_are_those_of_transformers(case, tmp_path):
    """Also for tokens that are the padding token, which some families number in another way."""
    encoder, name, config = CASES[case]
    model = random_model(name, config)
    encoder = getattr(_encoders, encoder)
    settings = model.config.to_dict()
    assert encoder.supports(settings)
    path = tmp_path / "graph.onnx"
    n_states = NativeGraph(encoder, settings, reader_of(model), "input_ids").write(path)
    states = tuple(f"state_{i}" for i in range(n_states))
    batches = [np.random.default_rng(n).integers(0, 60, (2, n)) for n in LENGTHS]
    found = OnnxRunner(path, "input_ids", states).run(batches, 1)
    for batch, ours in zip(batches, found, strict=True):
        with torch.no_grad():
            output = model(torch.from_numpy(batch), output_hidden_states=True)
        theirs = (*output.hidden_states[:-1], output.last_hidden_state)
        for number, (a, b) in enumerate(zip(ours, theirs, strict=True)):
            message = f"state {number}, {batch.shape[1]} tokens"
            np.testing.assert_allclose(a, b.numpy(), atol=2e-5, err_msg=message)


@pytest.mark.parametrize("case", ["bert", "roberta", "mpnet", "distilbert", "modernbert"])
def test_settings_that_a_config_leaves_out_have_the_defaults_of_transformers(case):
    encoder, name, _ = CASES[case]
    encoder = getattr(_encoders, encoder)
    full = getattr(transformers, f"{name}Config")().to_dict()
    ours, theirs = encoder._settings({}), encoder._settings(full)
    given = set(full) & set(ours) - {"rope_parameters"}  # what they say is in "full", "sliding"
    if not getattr(encoder, "positions_after_padding", False):
        given -= {"pad_token_id"}
    if name == "ModernBert":
        assert {"full", "sliding"} <= set(ours)
        given |= {"full", "sliding"}
    assert {name: ours[name] for name in given} == {name: theirs[name] for name in given}


WITHOUT = {
    "another activation": ("Bert", {"hidden_act": "silu"}),
    "another activation of DistilBERT": ("DistilBert", {"activation": "silu"}),
    "a decoder": ("Bert", {"is_decoder": True}),
    "another activation of ModernBERT": ("ModernBert", {"hidden_activation": "silu"}),
}


@pytest.mark.parametrize("case", WITHOUT)
def test_other_configs_are_exported_from_torch(case, tmp_path):
    name, changes = WITHOUT[case]
    sizes = {"Bert": SIZES, "DistilBert": OF_DISTILBERT, "ModernBert": OF_MODERN}[name]
    sizes = {key: value for key, value in sizes.items() if key != "vocab_size"} | changes
    classes = (getattr(transformers, f"{name}{kind}") for kind in ("Config", "Model"))
    folder = save_tiny_model(tmp_path / "model", *classes, **sizes)
    assert not is_native(TEXTS, ModelFolder(folder))


def test_angles_that_grow_with_the_length_are_exported_from_torch():
    scaled = {"rope_type": "linear", "factor": 2.0, "rope_theta": 10.0}
    assert not _encoders.MODERNBERT.supports({"rope_parameters": {"full_attention": scaled}})
    assert not _encoders.MODERNBERT.supports({"rope_scaling": {"type": "linear", "factor": 2.0}})
    assert not _encoders.BERT.supports({"position_embedding_type": "relative_key"})


def test_all_activations_of_encoders_can_be_written():
    assert set(_encoders._ACTIVATIONS) <= set(ACTIVATIONS)


def test_the_graph_of_an_embedder_is_built(tiny_bert):
    """With attention as one operator, and without torch's names of modules in it."""
    embedder = BertEmbedder(tiny_bert, backend="onnx").fit(["a"])
    graph = onnx.load(graph_of(embedder._network), load_external_data=False).graph
    assert [node.op_type for node in graph.node].count("MultiHeadAttention") == 2
