"""The table of precisions."""

import pytest

from skembed.runtime import _precisions
from skembed.runtime._backends import BACKENDS
from skembed.runtime._precisions import PRECISIONS, Precision


def test_backends_of_each_precision():
    """The first is the one for a CPU."""
    assert {name: precision.backends for name, precision in PRECISIONS.items()} == {
        "float32": ("onnx", "torch"),
        "bfloat16": ("torch",),
        "float16": ("torch",),
        "int8": ("onnx",),
    }
    assert {name for precision in PRECISIONS.values() for name in precision.backends} == {*BACKENDS}


def test_limits_of_float32():
    """Rounding in another order of additions, and no more."""
    assert PRECISIONS["float32"] == Precision(backends=("onnx", "torch"))
    assert (PRECISIONS["float32"].max_difference, PRECISIONS["float32"].min_cosine) == (
        1e-4,
        0.99999,
    )


def test_only_float16_is_refused_on_a_cpu():
    refused = {name for name, precision in PRECISIONS.items() if precision.slow_on_cpu}
    assert refused == {"float16"}


def test_only_int8_runs_on_a_cpu_alone():
    assert {name for name, precision in PRECISIONS.items() if precision.cpu_only} == {"int8"}


def test_only_int8_learns_and_rewrites():
    assert {name for name, precision in PRECISIONS.items() if precision.needs_ranges} == {"int8"}
    assert {name for name, precision in PRECISIONS.items() if precision.rewrite} == {"int8"}


@pytest.mark.parametrize(
    ("ranges", "expected"),
    [(None, [("products", "graph")]), ((), [("convolutions", "graph", ())])],
)
def test_ranges_say_what_is_rewritten(monkeypatch, ranges, expected):
    """None: matrix products. A network of convolutions has ranges, if only an empty tuple."""
    called = []
    monkeypatch.setattr(_precisions, "quantize", lambda *a: called.append(("products", *a)))
    monkeypatch.setattr(
        _precisions, "quantize_convolutions", lambda *a: called.append(("convolutions", *a))
    )
    PRECISIONS["int8"].rewrite("graph", ranges)
    assert called == expected
