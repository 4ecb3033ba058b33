"""Attention as one operator: what goes into the graph, and which mask."""

import numpy as np
import onnxruntime
import pytest
import torch
from torch import nn

from skembed.models import _attention
from skembed.models._attention import ATTENTIONS, FUSED

N_ROWS, N_TOKENS, N_DIMS = 2, 5, 4
pytestmark = pytest.mark.skipif(FUSED not in ATTENTIONS, reason="this transformers lacks the masks")


def states(n_heads, seed):
    random = np.random.default_rng(seed)
    return random.normal(size=(N_ROWS, n_heads, N_TOKENS, N_DIMS)).astype(np.float32)


class Attention(nn.Module):
    def __init__(self, scaling):
        super().__init__()
        self.scaling = scaling

    def forward(self, query, key, value, mask=None):
        return _attention._attention(self, query, key, value, mask, scaling=self.scaling)[0]


def run(path, arrays, scaling=None):
    """Export the operator, and run it in ONNX Runtime."""
    names = ["query", "key", "value", "mask"][: len(arrays)]
    program = torch.onnx.export(
        Attention(scaling),
        tuple(map(torch.from_numpy, arrays)),
        dynamo=True,
        opset_version=20,
        input_names=names,
        verbose=False,
    )
    program.save(path)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return session.run(None, dict(zip(names, arrays, strict=True)))[0]


@pytest.mark.filterwarnings("ignore")  # the exporter's
@pytest.mark.parametrize(
    ("n_heads", "n_shared", "scaling", "masked"),
    [(2, 1, None, False), (2, 1, 0.3, False), (4, 2, None, False), (2, 1, None, True)],
    ids=["plain", "scaled", "shared keys", "masked"],
)
def test_the_operator_is_scaled_dot_product_attention(tmp_path, n_heads, n_shared, scaling, masked):
    """With heads side by side; queries may share a key."""
    query = states(n_heads, 0)
    key, value = (states(n_heads // n_shared, seed) for seed in (1, 2))
    arrays = [query, key, value]
    mask = None
    if masked:
        mask = np.where(np.arange(N_TOKENS) < 3, 0, -1e9).astype(np.float32)
        mask = np.broadcast_to(mask, (N_ROWS, 1, N_TOKENS, N_TOKENS)).copy()
        arrays.append(mask)
    found = run(tmp_path / "graph.onnx", arrays, scaling)
    key, value = (np.repeat(item, n_shared, axis=1) for item in (key, value))
    tensors = map(torch.from_numpy, (query, key, value))
    expected = nn.functional.scaled_dot_product_attention(
        *tensors, attn_mask=None if mask is None else torch.from_numpy(mask), scale=scaling
    )
    assert found.shape == (N_ROWS, N_TOKENS, n_heads, N_DIMS)
    np.testing.assert_allclose(found, expected.transpose(1, 2).numpy(), atol=1e-6)


def test_there_is_no_mask_where_every_token_sees_every_other():
    assert _attention._mask(mask_function=_attention.bidirectional_mask_function) is None


@pytest.mark.parametrize(
    "given",
    [
        {"mask_function": "another"},
        {"local_size": 3},
        {"attention_mask": "padding"},
    ],
    ids=lambda given: next(iter(given)),
)
def test_any_other_mask_is_transformers_own(monkeypatch, given):
    asked = {}
    monkeypatch.setattr(_attention, "eager_mask", lambda **given: asked.update(given) or "a mask")
    settings = {"mask_function": _attention.bidirectional_mask_function, "q_length": 5, **given}
    assert _attention._mask(**settings) == "a mask"
    assert asked == {"local_size": None, "attention_mask": None, **settings}


def test_attentions_are_tried_in_order_of_speed():
    assert ATTENTIONS == (FUSED, "eager")


@pytest.mark.parametrize("missing", ["eager_mask", "interface"])
def test_without_transformers_interface_only_products_are_left(monkeypatch, missing):
    if missing == "eager_mask":
        monkeypatch.setattr(_attention, "eager_mask", None)
    else:
        monkeypatch.setattr(_attention.transformers, "AttentionInterface", object())
    assert _attention._register() is False
