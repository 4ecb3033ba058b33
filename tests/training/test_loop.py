"""The loop: rates, best weights, one training at a time; torch is left as it was."""

import numpy as np
import pytest
import torch

from skembed import BertEmbedder, Training
from skembed.training import _loop
from skembed.training._loop import train

TEXTS = ["the cat sat", "a dog ran", "the cat ran", "a dog sat"] * 3
LABELS = np.array([0, 1, 0, 1] * 3)


@pytest.fixture
def spec(tiny_bert):
    return BertEmbedder(tiny_bert, backend="torch").fit(TEXTS)._network


def run(spec, **given):
    training = Training(trainable="last:1", **{"batch_size": 4, "epochs": 4, **given})
    prepared, _ = spec.preprocessor.prepare(TEXTS, [b""] * len(TEXTS), 1)
    bars = []

    class Bar:
        def __enter__(self):
            return self

        def __exit__(self, *_):
            pass

        def update(self, n):
            bars.append(n)

    def progress(total):
        bars.append(total)
        return Bar()

    inputs = [row.inputs[0] for row in prepared]
    learned, history = train(
        spec, inputs, LABELS, training, n_last=1, seed=0, n_threads=1, progress=progress
    )
    return learned, history, bars


def test_the_rate_rises_and_falls(spec):
    _, history, bars = run(spec, learning_rate=1e-3, warmup=0.5)
    rates = [step["learning_rate"] for step in history["steps"]]
    assert len(rates) == 12
    assert rates[:6] == sorted(rates[:6])
    assert rates[5:] == sorted(rates[5:], reverse=True)
    assert max(rates) == pytest.approx(1e-3)
    assert bars == [12, *[1] * 12]


def test_epochs_hold_times_and_losses(spec):
    _, history, _ = run(spec)
    assert [epoch["epoch"] for epoch in history["epochs"]] == [1, 2, 3, 4]
    assert all(epoch["rows_per_second"] > 0 for epoch in history["epochs"])
    for i, epoch in enumerate(history["epochs"]):
        losses = [step["loss"] for step in history["steps"][3 * i : 3 * i + 3]]
        assert epoch["loss"] == pytest.approx(np.mean(losses))


def test_auto_epochs_make_about_the_same_number_of_steps(spec):
    _, history, _ = run(spec, epochs="auto")
    assert len(history["epochs"]) == _loop._MOST_EPOCHS


def test_torch_is_left_as_it_was(spec):
    torch.manual_seed(3)
    state, n_threads = torch.get_rng_state(), torch.get_num_threads()
    run(spec)
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.get_num_threads() == n_threads
    assert torch.is_grad_enabled()


def test_the_shared_network_is_not_changed(spec):
    network = _loop.torch_network(spec, spec.head_pieces)
    before = {name: t.clone() for name, t in network.state_dict().items()}
    learned, _, _ = run(spec)
    assert learned.weights
    for name, tensor in network.state_dict().items():
        assert torch.equal(tensor, before[name]), name
