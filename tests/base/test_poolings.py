"""Poolings of torch by hand-made sums; test_graph_heads compares those of graphs with them."""

import pytest
import torch

from skembed.base._poolings import MAP_POOLING_NAMES, POOLING_NAMES, POOLINGS

STATES = torch.randn(3, 5, 4, generator=torch.Generator().manual_seed(0))


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


def test_names_of_poolings_are_those_of_the_table():
    """Fingerprints depend on the names, and `POOLING_NAMES` are values of a public parameter."""
    assert tuple(POOLINGS) == (*POOLING_NAMES, *MAP_POOLING_NAMES)
    assert POOLING_NAMES == ("mean", "cls", "max", "mean_sqrt_len", "weighted_mean", "last")
    assert MAP_POOLING_NAMES == ("gem", "flat")


@pytest.mark.parametrize("name", POOLING_NAMES)
@pytest.mark.parametrize("n_tokens", [1, 2, 5])
def test_poolings_are_what_their_definitions_say(name, n_tokens):
    """For one token and for several."""
    states = STATES[:, :n_tokens]
    expected = torch.stack([by_definition(name, row) for row in states])
    torch.testing.assert_close(POOLINGS[name].torch(states, 0), expected, atol=1e-6, rtol=0)
