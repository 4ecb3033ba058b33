"""Poolings against their formulas; graphs are compared in tests/runtime/test_graph_heads.py."""

import numpy as np
import pytest
import torch

from skembed.base._poolings import MAP_POOLING_NAMES, POOLING_NAMES, POOLINGS

STATES = np.random.default_rng(0).normal(size=(3, 5, 4)).astype(np.float32)
FORMULAS = {
    "mean": lambda states, skip: states.mean(axis=1),
    "cls": lambda states, skip: states[:, 0],
    "max": lambda states, skip: states.max(axis=1),
    "mean_sqrt_len": lambda states, skip: states.sum(axis=1) / np.sqrt(states.shape[1]),
    "weighted_mean": lambda states, skip: np.average(
        states, axis=1, weights=np.arange(1, states.shape[1] + 1) + skip
    ),
    "last": lambda states, skip: states[:, -1],
    "gem": lambda states, skip: np.cbrt((np.maximum(states, 1e-6) ** 3).mean(axis=1)),
    "flat": lambda states, skip: states.transpose(0, 2, 1).reshape(len(states), -1),
}


@pytest.mark.parametrize("skip", [0, 3])
@pytest.mark.parametrize("n_tokens", [1, 5])
@pytest.mark.parametrize("name", POOLINGS)
def test_a_pooling_is_its_formula(name, n_tokens, skip):
    states = STATES[:, :n_tokens]
    found = POOLINGS[name].torch(torch.from_numpy(states), skip).numpy()
    np.testing.assert_allclose(found, FORMULAS[name](states, skip), rtol=1e-5, atol=1e-6)


def test_names_of_tokens_and_of_maps():
    """Every pooling is in one of the two, in the order of the table."""
    assert (*POOLING_NAMES, *MAP_POOLING_NAMES) == tuple(POOLINGS)
    assert MAP_POOLING_NAMES == ("gem", "flat")
    assert POOLING_NAMES == ("mean", "cls", "max", "mean_sqrt_len", "weighted_mean", "last")


def by_definition(name, tokens):
    """Pool the tokens of one row, (n_tokens, n_dims), as the literature writes it."""
    n_tokens = len(tokens)
    total = sum(tokens[1:], start=tokens[0])
    weighted = sum(((i + 1) * tokens[i] for i in range(1, n_tokens)), start=tokens[0])
    return {
        "mean": total / n_tokens,
        "cls": tokens[0],
        "max": torch.stack(list(tokens)).max(dim=0).values,
        "mean_sqrt_len": total / n_tokens**0.5,
        "weighted_mean": weighted / (n_tokens * (n_tokens + 1) / 2),
        "last": tokens[-1],
    }[name]


@pytest.mark.parametrize("name", POOLING_NAMES)
@pytest.mark.parametrize("n_tokens", [1, 2, 5])
def test_poolings_are_what_their_definitions_say(name, n_tokens):
    """For one token and for several."""
    states = torch.from_numpy(STATES)[:, :n_tokens]
    expected = torch.stack([by_definition(name, row) for row in states])
    torch.testing.assert_close(POOLINGS[name].torch(states, 0), expected, atol=1e-6, rtol=0)
