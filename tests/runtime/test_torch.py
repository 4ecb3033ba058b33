"""torch: batches in order, in whatever the network computes; on a GPU where there is one."""

import numpy as np
import pytest
import torch

from skembed import BertEmbedder
from skembed.runtime._torch import TorchRunner

gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="torch finds no CUDA device here")


def batches_of(n):
    random = np.random.default_rng(0)
    return [random.random((i % 4 + 1, 3), dtype=np.float32) for i in range(n)]


class Pair(torch.nn.Module):
    """Gives two pieces."""

    def __init__(self):
        super().__init__()
        self.linear = torch.nn.Linear(3, 2)

    def forward(self, inputs):
        vectors = self.linear(inputs)
        return vectors, -vectors


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=gpu)])
@pytest.mark.parametrize("n", [0, 1, 9])
def test_each_batch_is_answered_in_order(device, n):
    """More batches than are in flight at a time, fewer, and none."""
    runner = TorchRunner(Pair(), device)
    weight, bias = (p.detach().cpu().numpy() for p in runner._network.linear.parameters())
    batches = batches_of(n)
    answers = list(runner.run(batches, 2))
    assert len(answers) == n
    for batch, answer in zip(batches, answers, strict=True):
        np.testing.assert_allclose(answer[0], batch @ weight.T + bias, atol=1e-6)
        np.testing.assert_array_equal(answer[1], -answer[0])


@gpu
@pytest.mark.parametrize(
    ("precision", "cosine"), [("float32", 0.9999), ("bfloat16", 0.99), ("float16", 0.999)]
)
def test_a_gpu_gives_the_vectors_of_a_cpu(tiny_bert, texts, precision, cosine):
    """In float32 but for rounding, in 16 bits nearly."""
    expected = BertEmbedder(tiny_bert, normalize=True).fit_transform(texts)
    given = {"device": "cuda", "precision": precision, "normalize": True}
    vectors = BertEmbedder(tiny_bert, **given).fit_transform(texts)
    assert (vectors * expected).sum(axis=1).min() >= cosine
