"""Parameters of a `Training`: checked, cloned, converted from the name of an objective."""

import pytest
from numpydoc.validate import validate
from pytorch_metric_learning.losses import TripletMarginLoss
from pytorch_metric_learning.miners import TripletMarginMiner
from sklearn.base import clone
from torch.nn import CrossEntropyLoss

from skembed import Training
from skembed.training._training import training_of


@pytest.mark.parametrize(("trainable", "n_last"), [("all", None), ("last:1", 1), ("last:12", 12)])
def test_how_many_layers_are_trained(trainable, n_last):
    training = Training(trainable=trainable)
    training.check()
    assert training.n_last == n_last


@pytest.mark.parametrize("trainable", ["heads", "last", "last:", "last:0", "last:-1", "first:2"])
def test_other_parts_are_refused(trainable):
    with pytest.raises(ValueError, match="must be 'head', 'last:N' with N >= 1, 'lora'"):
        Training(trainable=trainable).check()


@pytest.mark.parametrize(
    "given",
    [
        {"objective": 7},
        {"projection_dim": 0},
        {"lora_rank": 0},
        {"augment": "much"},
        {"batch_size": 1},
        {"learning_rate": 0},
        {"warmup": 2},
        {"validation_fraction": 1.0},
        {"class_weight": "even"},
        {"temperature": "hot"},
    ],
)
def test_values_are_checked_in_scikit_learns_words(given):
    (name,) = given
    with pytest.raises(ValueError, match=f"The {name!r} parameter of Training must be"):
        Training(**given).check()


def test_objectives_are_names_or_losses():
    with pytest.raises(ValueError, match=r"'magic' is no objective\. There are: 'classification'"):
        Training("magic").check()
    for wrong in (TripletMarginLoss, (TripletMarginLoss(), None, None), ()):
        with pytest.raises(
            ValueError, match=r"a loss of pytorch-metric-learning or \(loss, miner\)"
        ):
            Training(wrong).check()
    Training((TripletMarginLoss(), TripletMarginMiner())).check()


@pytest.mark.parametrize(
    ("objective", "message"),
    [
        ((TripletMarginMiner(), TripletMarginLoss()), "The loss is a miner: TripletMarginMiner"),
        (TripletMarginMiner(), "The loss is a miner: TripletMarginMiner"),
        ((TripletMarginLoss(), TripletMarginLoss()), "The miner is a loss: TripletMarginLoss"),
        (CrossEntropyLoss(), r"CrossEntropyLoss\(\) is a loss of torch, which compares no vectors"),
    ],
)
def test_other_objects_of_torch_are_named(objective, message):
    with pytest.raises(ValueError, match=message):
        Training(objective).check()


def test_augment_needs_a_network():
    with pytest.raises(ValueError, match="augment changes the network's input, and trainable"):
        Training(trainable="head", augment=abs).check()


@pytest.mark.parametrize("objective", ["simcse", "simclr"])
def test_two_views_need_a_network(objective):
    with pytest.raises(ValueError, match=f"objective='{objective}' compares two views"):
        Training(objective, trainable="head").check()


def test_a_name_stands_for_the_defaults():
    assert training_of("supcon").get_params() == Training("supcon").get_params()
    assert training_of(None) is None
    training = Training(epochs=3)
    assert training_of(training) is training


def test_it_is_cloned_and_shown():
    training = Training("triplet", epochs=3)
    assert clone(training).get_params() == training.get_params()
    assert "triplet" in training._repr_html_()


def test_its_docstring_follows_numpydoc():
    left_out = {"GL01", "GL02", "GL03", "GL08", "SS06", "ES01", "SA01", "SA04", "EX01"}
    errors = [e for e in validate("skembed.Training")["errors"] if e[0] not in left_out]
    assert errors == []
