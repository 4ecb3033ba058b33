"""The upper part of a network, from a kept state: the same states and gradients as the whole."""

import pytest
import torch
from tiny import save_tiny_bert
from tiny_images import save_tiny_cnn
from tiny_sounds import save_tiny_hearing, sound
from transformers import AlbertConfig, AlbertModel

from skembed import AudioEmbedder, Training
from skembed.image._cnn import IMAGES
from skembed.models._backbone import load_backbone
from skembed.text._bert import TEXTS
from skembed.training._upper import Upper

IDS = torch.tensor([[2, 7, 9, 3], [2, 5, 6, 3]])
PIXELS = torch.randn(2, 3, 40, 40, generator=torch.Generator().manual_seed(0))


def backbone_of(folder, family):
    if family == "bert":
        return load_backbone(save_tiny_bert(folder / "bert"), TEXTS), IDS
    return load_backbone(save_tiny_cnn(folder / family, family), IMAGES), PIXELS


@pytest.mark.parametrize("family", ["bert", "resnet", "resnet-basic", "convnext", "mobilenet_v2"])
def test_states_above_are_those_of_the_whole_network(family, tmp_path):
    backbone, inputs = backbone_of(tmp_path, family)
    with torch.no_grad():
        expected = backbone(inputs)
        n_layers = len(expected) - 1 - (family != "bert")
        for layer in range(n_layers):
            upper = Upper(backbone, layer, inputs)
            states = upper(torch.zeros_like(inputs), upper.kept_state(inputs))
            for a, b in zip(states[layer + 1 :], expected[layer + 1 :], strict=True):
                torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-5)
        for a, b in zip(backbone(inputs), expected, strict=True):
            torch.testing.assert_close(a, b)  # nothing is left behind


def test_parameters_are_those_above(tmp_path):
    backbone, inputs = backbone_of(tmp_path, "bert")
    before = {name: p.requires_grad for name, p in backbone.named_parameters()}
    upper = Upper(backbone, 1, inputs)
    assert upper.parameters
    assert all("encoder.layer.1." in name for name in upper.parameters)
    assert {name: p.requires_grad for name, p in backbone.named_parameters()} == before


def test_gradients_are_those_of_the_whole_network(tmp_path):
    backbone, inputs = backbone_of(tmp_path, "bert")
    upper = Upper(backbone, 1, inputs)
    name = min(upper.parameters)
    parameter = dict(backbone.named_parameters())[name]
    parameter.requires_grad_(True)
    weights = torch.randn(16, generator=torch.Generator().manual_seed(1))
    expected = torch.autograd.grad((backbone(inputs)[-1] * weights).sum(), parameter)[0]
    state = upper.kept_state(inputs)
    found = torch.autograd.grad((upper(inputs, state)[-1] * weights).sum(), parameter)[0]
    torch.testing.assert_close(found, expected)


def test_layers_above_do_not_run_for_a_kept_state(tmp_path):
    backbone, inputs = backbone_of(tmp_path, "bert")
    upper, calls = Upper(backbone, 1, inputs), []
    for layer in backbone.model.encoder.layer:
        layer.register_forward_hook(lambda module, given, output: calls.append(module))
    state = upper.kept_state(inputs)
    assert calls == [backbone.model.encoder.layer[0]]
    torch.testing.assert_close(state, backbone(inputs)[1].detach())


def test_layers_that_share_weights_are_refused(tmp_path):
    config = AlbertConfig(
        vocab_size=20,
        embedding_size=8,
        hidden_size=8,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=8,
    )
    AlbertModel(config).save_pretrained(tmp_path)
    backbone = load_backbone(tmp_path, TEXTS)
    with pytest.raises(ValueError, match="trainable='last:N' does not work for this network"):
        Upper(backbone, 1, IDS)


@pytest.mark.parametrize("family", ["wavlm", "whisper", "clap"])
def test_networks_that_need_more_than_a_state_are_refused(family, tmp_path):
    """Their layers pass on positions or masks; the message names the remedy."""
    folder = save_tiny_hearing(tmp_path, family)
    embedder = AudioEmbedder(folder, training=Training(trainable="last:1"), cache=None)
    rows = [(sound(0.5, seed=i), 16_000) for i in range(4)]
    with pytest.raises(ValueError, match=r"trainable='last:N' does not work .*Use trainable='all'"):
        embedder.fit(rows, [0, 1, 0, 1])
