"""Verdicts on vectors that are compared with a reference."""

import numpy as np
import pytest

from skembed.runtime._compare import add_difference, judge, new_verdict

VECTORS = np.array([[1.0, 2.0], [3.0, 4.0]], dtype=np.float32)


def verdict_on(*pairs, precision="float32", **given):
    verdict = new_verdict()
    for vectors, reference in pairs:
        add_difference(verdict, vectors, reference)
    judge(verdict, precision, **given)
    return verdict


def test_equal_vectors_agree():
    verdict = verdict_on((VECTORS, VECTORS))
    assert verdict["agrees"]
    assert verdict["reason"] == ""
    assert verdict["n_dims"] == 2
    assert verdict["max_difference"] == 0
    assert verdict["min_cosine"] == pytest.approx(1, abs=1e-6)


def test_the_worst_of_all_comparisons_counts():
    near, far = VECTORS * np.float32(1 + 1e-6), VECTORS + np.array([[0.1, 0]], np.float32)
    verdict = verdict_on((near, VECTORS), (far, VECTORS), (near, VECTORS), reference="float32")
    assert not verdict["agrees"]
    assert "in float32 differs from float32 by 0.025" in verdict["reason"]
    assert verdict_on((far, VECTORS), precision="int8")["agrees"]


@pytest.mark.parametrize("precision", ["float32", "int8"])
def test_vectors_that_are_not_numbers_never_agree(precision):
    broken = VECTORS * np.float32("nan")
    assert not verdict_on((VECTORS, VECTORS), (broken, VECTORS), precision=precision)["agrees"]


def test_vectors_of_zeros_have_no_cosine():
    assert verdict_on((VECTORS * 0, VECTORS * 0))["agrees"]
