"""Examples: views that belong together, with labels and weights of their rows."""

import numpy as np

from skembed.training._examples import labeled_examples, paired_examples
from skembed.training._objectives import OBJECTIVES, SCORED_PAIRS

INPUTS = [np.arange(n) for n in (3, 1, 2)]


def test_windows_have_the_label_and_weight_of_their_row():
    rows = np.array([0, 0, 2])
    labels = np.array(["b", "-", "a"])
    weights = np.array([1.0, 9.0, 2.0])
    examples = labeled_examples(INPUTS, rows, labels, OBJECTIVES["classification"], weights)
    assert examples.classes.tolist() == [1, 1, 0]
    assert examples.weights.tolist() == [1, 1, 2]
    assert examples.views.tolist() == [[0], [1], [2]]
    assert examples.lengths.tolist() == [3, 1, 2]
    assert len(examples) == 3


def test_without_labels_a_row_is_two_views():
    examples = labeled_examples(INPUTS, np.arange(3), None, OBJECTIVES["simcse"])
    assert examples.views.tolist() == [[0, 0], [1, 1], [2, 2]]
    assert examples.classes is None


def test_pairs_are_two_views():
    left, right = INPUTS[:2], INPUTS[1:]
    examples = paired_examples(left, right, np.array([0.5, 1.0]), SCORED_PAIRS)
    assert examples.views.tolist() == [[0, 2], [1, 3]]
    assert examples.lengths.tolist() == [3, 2]
    assert examples.targets.values.tolist() == [0.5, 1.0]
