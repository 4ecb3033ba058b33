"""The loop: rates, best weights, one training at a time; torch is left as it was."""

from contextlib import contextmanager

import numpy as np
import pytest
import torch

from skembed import BertEmbedder, Training
from skembed.training._examples import labeled_examples
from skembed.training._loop import Auto, train
from skembed.training._objectives import objective_of
from skembed.training._trainee import TrainedNetwork, torch_network

TEXTS = ["the cat sat", "a dog ran", "the cat ran", "a dog sat"] * 3
LABELS = np.array([0, 1, 0, 1] * 3)


class Recorder:
    """Stands for a `Watch` and for its bar."""

    def __init__(self, stop_after=None):
        self.seen, self._stop_after, self.stop = [], stop_after, False

    @contextmanager
    def course(self, n_steps):
        self.seen.append(n_steps)
        yield self

    @contextmanager
    def epoch(self, trainee):
        self.seen.append("epoch")
        yield self
        self.stop = self.seen.count("epoch") == self._stop_after

    def update(self, n):
        self.seen.append(n)

    def set_postfix_str(self, text, refresh=True):
        self.seen.append(text)


@pytest.fixture
def spec(tiny_bert):
    return BertEmbedder(tiny_bert, backend="torch").fit(TEXTS)._network


def run(spec, watch=None, weights=None, **given):
    given = {"batch_size": 4, "epochs": 4, "mixed_precision": False, **given}
    training = Training(trainable="last:1", **given)
    prepared, _ = spec.preprocessor.prepare(TEXTS, [b""] * len(TEXTS), 1)
    inputs = [row.inputs[0] for row in prepared]
    examples = labeled_examples(inputs, np.arange(12), LABELS, objective_of(training), weights)
    return train(
        lambda: TrainedNetwork(spec, training),
        examples,
        training,
        auto=Auto(1e-3, 200, 30),
        seed=0,
        n_threads=1,
        watch=watch or Recorder(),
    )


def test_the_rate_rises_and_falls(spec):
    watch = Recorder()
    _, history = run(spec, watch, learning_rate=2e-3, warmup=0.5)
    rates = [step["learning_rate"] for step in history["steps"]]
    assert len(rates) == 12
    assert rates[:6] == sorted(rates[:6])
    assert rates[5:] == sorted(rates[5:], reverse=True)
    assert max(rates) == pytest.approx(2e-3)
    assert watch.seen[0] == 12
    assert watch.seen.count(1) == 12
    assert watch.seen.count(f"loss {history['steps'][-1]['loss']:.4f}") >= 1


def test_weights_of_rows_have_the_mean_one_over_all_batches(spec):
    weights = np.arange(12.0)
    _, history = run(spec, weights=weights, learning_rate=1e-12, epochs=1, batch_size=2)
    found = [step["loss"] for step in history["steps"]]
    assert np.mean(found) == pytest.approx(np.log(2), rel=0.2)  # of a classifier of zeros
    assert np.ptp(found) > 0.2  # batches with heavier rows count more


def test_epochs_hold_times_and_losses(spec):
    _, history = run(spec)
    assert [epoch["epoch"] for epoch in history["epochs"]] == [1, 2, 3, 4]
    assert all(epoch["rows_per_second"] > 0 for epoch in history["epochs"])
    for i, epoch in enumerate(history["epochs"]):
        losses = [step["loss"] for step in history["steps"][3 * i : 3 * i + 3]]
        assert epoch["loss"] == pytest.approx(np.mean(losses))


def test_auto_epochs_make_about_the_same_number_of_steps(spec):
    _, history = run(spec, epochs="auto")  # 3 steps an epoch
    assert len(history["epochs"]) == 30


def test_a_callback_can_stop_it(spec):
    _, history = run(spec, Recorder(stop_after=2))
    assert len(history["epochs"]) == 2


def test_torch_is_left_as_it_was(spec):
    torch.manual_seed(3)
    state, n_threads = torch.get_rng_state(), torch.get_num_threads()
    run(spec)
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.get_num_threads() == n_threads
    assert torch.is_grad_enabled()


def test_the_shared_network_is_not_changed(spec):
    network = torch_network(spec, spec.head_pieces)
    before = {name: t.clone() for name, t in network.state_dict().items()}
    learned, _ = run(spec)
    assert learned.weights
    for name, tensor in network.state_dict().items():
        assert torch.equal(tensor, before[name]), name
