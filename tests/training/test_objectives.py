"""Losses against their formulas, written in NumPy."""

import numpy as np
import pytest
import torch

from skembed.training._objectives import OBJECTIVES, PAIRS, SCORED_PAIRS, objective_of
from skembed.training._training import Training

RANDOM = np.random.default_rng(0)
VECTORS = RANDOM.normal(size=(12, 5))
CLASSES = np.array(["c", "a", "b"] * 4)
NUMBERS = np.array([2, 0, 1] * 4)  # of the classes, in sorted order
UNIT = VECTORS / np.linalg.norm(VECTORS, axis=1, keepdims=True)
STANDARD = (VECTORS - VECTORS.mean(axis=1, keepdims=True)) / np.sqrt(
    VECTORS.var(axis=1, keepdims=True) + 1e-5
)


def loss_of(objective, labels, own=None, right=None, **given):
    """Return a loss, its own parameters replaced."""
    training = Training(objective if isinstance(objective, str) else "classification", **given)
    if isinstance(objective, str):
        objective = OBJECTIVES[objective]
    targets = objective.targets(np.asarray(labels))
    module = objective.loss(targets, VECTORS.shape[1], training).double()
    others = [] if right is None else [torch.from_numpy(right)]
    for parameter, value in zip(module.parameters(), own or [], strict=own is not None):
        parameter.data = torch.from_numpy(value)
    values = torch.from_numpy(targets.values)
    values = values.double() if values.is_floating_point() else values
    return float(module(values, torch.from_numpy(VECTORS), *others).mean().detach())


def linear(n_outputs):
    weights, bias = RANDOM.normal(size=(n_outputs, 5)), RANDOM.normal(size=n_outputs)
    return [weights, bias], STANDARD @ weights.T + bias


def test_cross_entropy():
    own, logits = linear(3)
    logs = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    expected = -logs[np.arange(12), NUMBERS]
    assert loss_of("classification", CLASSES, own) == pytest.approx(expected.mean(), abs=1e-5)
    weights = np.array([1.0, 2.0, 3.0])[NUMBERS]
    found = loss_of("classification", CLASSES, own, class_weight={"a": 1.0, "b": 2.0, "c": 3.0})
    assert found == pytest.approx((weights * expected).mean(), abs=1e-5)


def test_binary_cross_entropy():
    own, logits = linear(2)
    labels = RANDOM.integers(0, 2, size=(12, 2))
    chances = 1 / (1 + np.exp(-logits))
    expected = -(labels * np.log(chances) + (1 - labels) * np.log(1 - chances)).mean()
    assert loss_of("classification", labels, own) == pytest.approx(expected, abs=1e-5)


def test_squared_error_of_standardized_targets():
    own, found = linear(1)
    y = RANDOM.normal(size=12) * 40 + 7
    expected = ((found[:, 0] - (y - y.mean()) / y.std()) ** 2).mean()
    assert loss_of("regression", y, own) == pytest.approx(expected, abs=1e-5)


def test_cosines_are_one_or_zero():
    cosines = UNIT @ UNIT.T
    same = np.equal.outer(NUMBERS, NUMBERS)
    once = np.triu(np.ones((12, 12), dtype=bool), k=1)
    near = ((1 - cosines[same & once]) ** 2).mean()
    far = (cosines[~same & once] ** 2).mean()
    assert loss_of("cosine", CLASSES) == pytest.approx((near + far) / 2, abs=1e-5)


def test_supervised_contrastive():
    scores = UNIT @ UNIT.T / 0.3
    losses = []
    for i in range(12):
        others = np.arange(12) != i
        same = others & (NUMBERS == NUMBERS[i])
        logs = scores[i] - np.log(np.exp(scores[i][others]).sum())
        losses.append(-logs[same].mean())
    found = loss_of("supcon", CLASSES, temperature=0.3)
    assert found == pytest.approx(np.mean(losses), abs=1e-5)


def test_triplets_that_are_semi_hard():
    distances = np.sqrt(np.maximum(2 - 2 * UNIT @ UNIT.T, 0))
    losses = []
    for i in range(12):
        for j in np.flatnonzero((NUMBERS == NUMBERS[i]) & (np.arange(12) != i)):
            for k in np.flatnonzero(NUMBERS != NUMBERS[i]):
                gap = distances[i, k] - distances[i, j]
                if 0 < gap <= 0.2:
                    losses.append(0.2 - gap)
    assert len(losses) > 5
    assert loss_of("triplet", CLASSES) == pytest.approx(np.mean(losses), abs=1e-5)


def test_proxy_anchor():
    proxies = RANDOM.normal(size=(3, 5))
    units = proxies / np.linalg.norm(proxies, axis=1, keepdims=True)
    scores = UNIT @ units.T
    own = np.equal.outer(NUMBERS, np.arange(3))
    near = np.log1p((np.exp(-32 * (scores - 0.1)) * own).sum(axis=0)).mean()
    far = np.log1p((np.exp(32 * (scores + 0.1)) * ~own).sum(axis=0)).mean()
    assert loss_of("proxy_anchor", CLASSES, [proxies]) == pytest.approx(near + far, abs=1e-5)


RIGHT = RANDOM.normal(size=(12, 5))
UNIT_RIGHT = RIGHT / np.linalg.norm(RIGHT, axis=1, keepdims=True)


@pytest.mark.parametrize("objective", ["simcse", PAIRS])
def test_each_row_ranks_its_own_partner_first(objective):
    scores = UNIT @ UNIT_RIGHT.T / 0.05
    expected = -(np.diag(scores) - np.log(np.exp(scores).sum(axis=1))).mean()
    assert loss_of(objective, CLASSES, right=RIGHT) == pytest.approx(expected, abs=1e-5)


def test_two_views_against_all_others():
    units = np.concatenate([UNIT, UNIT_RIGHT])
    scores = units @ units.T / 0.1
    np.fill_diagonal(scores, -np.inf)
    partner = scores[np.arange(24), (np.arange(24) + 12) % 24]
    expected = -(partner - np.log(np.exp(scores).sum(axis=1))).mean()
    assert loss_of("simclr", CLASSES, right=RIGHT) == pytest.approx(expected, abs=1e-5)


def test_cosines_in_the_order_of_similarities():
    similarity = RANDOM.normal(size=12)
    cosines = (UNIT * UNIT_RIGHT).sum(axis=1) / 0.05
    terms = [
        np.exp(cosines[i] - cosines[j])
        for i in range(12)
        for j in range(12)
        if similarity[i] < similarity[j]
    ]
    expected = np.log1p(np.sum(terms))
    assert loss_of(SCORED_PAIRS, similarity, right=RIGHT) == pytest.approx(expected, abs=1e-5)


def test_a_given_loss_is_used_with_its_miner_and_stays_as_it_was():
    from pytorch_metric_learning.losses import ArcFaceLoss, ContrastiveLoss
    from pytorch_metric_learning.miners import TripletMarginMiner

    loss = ArcFaceLoss(3, 5)
    before = loss.W.detach().clone()
    training = Training(loss)
    objective = objective_of(training)
    module = objective.loss(objective.targets(CLASSES), 5, training)
    found = module(torch.from_numpy(NUMBERS), torch.from_numpy(VECTORS).float())
    found.sum().backward()
    assert next(module.parameters()).grad is not None
    assert loss.W.grad is None
    assert torch.equal(loss.W, before)
    training = Training((ContrastiveLoss(), TripletMarginMiner(0.05, type_of_triplets="hard")))
    module = objective_of(training).loss(objective.targets(CLASSES), 5, training)
    vectors = torch.from_numpy(VECTORS)
    expected = ContrastiveLoss()(
        vectors,
        torch.from_numpy(NUMBERS),
        TripletMarginMiner(0.05, type_of_triplets="hard")(vectors, torch.from_numpy(NUMBERS)),
    )
    torch.testing.assert_close(module(torch.from_numpy(NUMBERS), vectors)[0], expected)
