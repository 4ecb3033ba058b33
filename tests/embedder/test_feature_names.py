"""Names of columns: recorded in fit, compared in transform."""

import pandas as pd
import pytest
from sklearn.base import BaseEstimator

from skembed.base._rows import Columns
from skembed.embedder._feature_names import check_feature_names


class Estimator(BaseEstimator):
    pass


def columns(*names):
    """Return columns of these names; a frame has a header unless its names are repeated."""
    header = None
    if None not in names and len(set(names)) == len(names):
        header = pd.DataFrame({name: [] for name in names})
    return Columns([], 0, list(names), header, None)


def fitted(*names):
    estimator = Estimator()
    check_feature_names(estimator, columns(*names), reset=True)
    return estimator


def test_fit_records_the_names():
    estimator = fitted("a", "b")
    assert estimator.n_features_in_ == 2
    assert estimator.feature_names_in_.tolist() == ["a", "b"]
    check_feature_names(estimator, columns("a", "b"), reset=False)


def test_a_refit_without_names_forgets_them():
    estimator = fitted("a", "b")
    check_feature_names(estimator, columns(None), reset=True)
    assert estimator.n_features_in_ == 1
    assert not hasattr(estimator, "feature_names_in_")


def test_repeated_names_are_recorded_and_compared():
    """scikit-learn reads no frame of repeated names, so the check is our own."""
    estimator = fitted("x", "x", "y")
    assert estimator.feature_names_in_.tolist() == ["x", "x", "y"]
    check_feature_names(estimator, columns("x", "x", "y"), reset=False)
    with pytest.raises(ValueError, match=r"should match .* \['x', 'x', 'y'\]. Got \['x', 'y', 'x'"):
        check_feature_names(estimator, columns("x", "y", "x"), reset=False)


@pytest.mark.parametrize(
    ("before", "now", "message"),
    [
        (("a", "b"), ("b", "a"), "must be in the same order"),
        (("a", "b"), ("a", "c"), "unseen at fit time"),
        (("a",), ("a", "b"), "unseen at fit time"),
        ((None,), (None, None), "X has 2 features, but Estimator is expecting 1 features"),
        (("x", "x"), ("x",), "X has 1 features, but Estimator is expecting 2 features"),
        (("a", "b"), ("x", "x"), r"should match those .* \['a', 'b'\]. Got \['x', 'x'\]"),
    ],
)
def test_other_columns_are_refused(before, now, message):
    with pytest.raises(ValueError, match=message):
        check_feature_names(fitted(*before), columns(*now), reset=False)


@pytest.mark.parametrize(
    ("before", "now"),
    [(("a", "b"), (None, None)), ((None, None), ("a", "b")), (("x", "x"), (None,) * 2)],
)
def test_names_on_one_side_only_are_not_compared(before, now):
    """Rows of a list have no names, and frames may be given where fit had none."""
    check_feature_names(fitted(*before), columns(*now), reset=False)
