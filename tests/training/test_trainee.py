"""What is trained: padded rows have the vectors that they have alone; layers, low rank, heads."""

import numpy as np
import pytest
import torch

from skembed import AudioEmbedder, BertEmbedder, CNNImageEmbedder, Training
from skembed.training._trainee import TrainedHead, TrainedNetwork, mixed_precision

TEXTS = ["the cat", "a dog ran over the hill to the town", "cat", "the dog sat on the mat"]


def spec_of(folder, **given):
    return BertEmbedder(folder, backend="torch", **given).fit(TEXTS)._network


def inputs_of(spec):
    prepared, _ = spec.preprocessor.prepare(TEXTS, [b""] * len(TEXTS), 1)
    return [row.inputs[0] for row in prepared]


@pytest.mark.parametrize("trainable", ["last:1", "all", "lora"])
@pytest.mark.parametrize("pooling", ["mean", "max", "cls", "mean_max"])
def test_padded_rows_are_as_alone(tiny_bert, trainable, pooling):
    spec = spec_of(tiny_bert, pooling=pooling, normalize=True)
    trainee = TrainedNetwork(spec, Training(trainable=trainable, mixed_precision=False))
    items = trainee.kept(inputs_of(spec))
    shapes = [tuple(item.shape) for item in inputs_of(spec)]
    assert trainee.parts_of(shapes) == [[2, 0, 3, 1]]
    together = trainee(items, shapes)
    alone = [trainee([item], [shape]) for item, shape in zip(items, shapes, strict=True)]
    torch.testing.assert_close(together, torch.cat(alone), atol=1e-5, rtol=1e-5)
    expected = BertEmbedder(tiny_bert, backend="torch", pooling=pooling, normalize=True)
    expected = torch.from_numpy(expected.fit_transform(TEXTS))
    torch.testing.assert_close(together.detach(), expected, atol=1e-5, rtol=1e-5)


def test_rows_whose_mask_changes_something_are_not_padded(tiny_bert, monkeypatch):
    from skembed.models._backbone import HiddenStates

    real = HiddenStates.forward

    def unmasked(self, inputs):
        self.mask = None
        return real(self, inputs)

    monkeypatch.setattr(HiddenStates, "forward", unmasked)
    spec = spec_of(tiny_bert)
    trainee = TrainedNetwork(spec, Training(trainable="all", mixed_precision=False))
    assert trainee.parts_of([(4,), (9,), (4,)]) == [[0, 2], [1]]


@pytest.mark.parametrize(
    ("trainable", "expected"),
    [
        ("last:1", {"encoder.layer.1"}),
        ("all", {"embeddings", "encoder.layer.0", "encoder.layer.1"}),
    ],
)
def test_gradients_reach_exactly_the_named_parameters(tiny_bert, trainable, expected):
    spec = spec_of(tiny_bert)
    trainee = TrainedNetwork(spec, Training(trainable=trainable))
    items = trainee.kept(inputs_of(spec))
    trainee(items, [tuple(item.shape) for item in inputs_of(spec)]).sum().backward()
    found = {name for name, p in trainee.backbone.named_parameters() if p.grad is not None}
    assert found
    reached = {name.removeprefix("model.") for name in found}
    assert {next((e for e in expected if name.startswith(e)), name) for name in reached} == expected


def test_low_rank_changes_start_from_the_network(tiny_bert):
    spec = spec_of(tiny_bert)
    trainee = TrainedNetwork(spec, Training(trainable="lora", mixed_precision=False))
    assert trainee.trained
    assert all(".lora_" in name for name in trainee.trained)
    assert trainee.learned().weights == b""  # nothing has changed yet
    trainee.train_mode()
    dropouts = [m for m in trainee.backbone.modules() if isinstance(m, torch.nn.Dropout)]
    assert all(module.training for module in dropouts)


def test_convolutions_take_changes_of_low_rank():
    rows = [np.full((32, 32, 3), 40 * i, dtype=np.uint8) for i in range(4)]
    training = Training(trainable="lora", epochs=2, learning_rate=1e-2, mixed_precision=False)
    embedder = CNNImageEmbedder(
        "resnet-small-32", pretrained=False, random_state=0, backend="torch", training=training
    )
    vectors = embedder.fit_transform(rows, [0, 1, 0, 1])
    frozen = embedder.set_params(training=None).fit_transform(rows)
    assert not np.allclose(vectors, frozen)


def test_a_head_is_a_projection(tiny_bert):
    spec = spec_of(tiny_bert, normalize=True)
    vectors = torch.randn(3, 32, generator=torch.Generator().manual_seed(0))
    whole = TrainedHead(spec, 32, Training(trainable="head"))
    expected = torch.nn.functional.normalize(vectors)
    torch.testing.assert_close(whole(list(vectors), [(32,)] * 3), expected)
    short = TrainedHead(spec, 32, Training(trainable="head", projection_dim=5))
    found = short(list(vectors), [(32,)] * 3)
    assert found.shape == (3, 5)
    np.testing.assert_allclose(short.learned().projection.matrix, short.head.projection.detach())


def test_sounds_of_several_lengths_are_repeated_in_training_only():
    embedder = AudioEmbedder("cnn-small", pretrained=False, random_state=0, backend="torch")
    spec = embedder.fit([(np.ones(4000, dtype=np.float32), 16_000)])._network
    trainee = TrainedNetwork(spec, Training(trainable="all"))
    shapes = [(20, 64), (30, 64), (20, 64)]
    trainee.train_mode()
    assert trainee.parts_of(shapes) == [[0, 1, 2]]
    trainee.eval()
    assert trainee.parts_of(shapes) == [[0, 2], [1]]


@pytest.mark.parametrize("given", [True, False])
def test_mixed_precision_can_be_chosen(given):
    assert mixed_precision(given, torch.device("cpu")) is given
    assert mixed_precision("auto", torch.device("cpu")) in (True, False)
