"""Which outputs of a graph made elsewhere are pooled."""

from types import SimpleNamespace

import pytest

from skembed.exceptions import ModelFormatError
from skembed.models._graph_summary import GraphSummary
from skembed.network._external import described_precision, pooled_outputs


def chosen(outputs, layers=-1, manifest=None, onnx="a.onnx"):
    graph = GraphSummary(outputs, frozenset())
    folder = SimpleNamespace(onnx=onnx, manifest=manifest, graph=graph)
    return pooled_outputs(SimpleNamespace(layers=layers, estimator="Estimator"), folder)


@pytest.mark.parametrize(
    ("outputs", "layers", "expected"),
    [
        ({"a": 3}, -1, (0,)),
        ({"a": 2, "b": 3}, -1, None),
        ({"a": 4, "b": 2}, -1, (0,)),
        ({"a": 2, "last_hidden_state": 3}, -1, (1,)),
        ({"a": 3, "last_hidden_state": 2}, -1, (0,)),
        ({"a": 2, "b": 3}, "b", (1,)),
        ({"a": 2, "b": 3}, "a", None),
        ({"a": 3, "b": 4, "c": 3}, ["c", "a"], (2, 0)),
        ({"a": None}, -1, None),
        ({"a": 2}, ["a"], None),
    ],
)
def test_outputs_per_token_are_pooled(outputs, layers, expected):
    assert chosen(outputs, layers) == expected


def test_weights_and_exports_of_skembed_are_not_meant():
    assert chosen({"a": 3}, manifest={}) is None
    assert chosen({"a": 3}, onnx=None) is None


@pytest.mark.parametrize(
    ("outputs", "layers", "error", "message"),
    [
        ({}, -1, ModelFormatError, "a.onnx has no output"),
        ({"a": 3}, "b", ModelFormatError, r"no output 'b'; it has \['a'\]"),
        ({"a": 3}, 0, ValueError, "must be the name of an output of a.onnx"),
        ({"a": 3}, [-1], ValueError, "must be the name of an output"),
        ({"a": 3}, [], ValueError, "must be the name of an output"),
        ({"a": 3, "b": 2}, ["a", "b"], ValueError, "the output 'b' of a.onnx does not have"),
    ],
)
def test_others_are_refused(outputs, layers, error, message):
    with pytest.raises(error, match=message):
        chosen(outputs, layers)


def test_the_precision_of_a_network_with_weights_is_its_own():
    spec = SimpleNamespace(ready_made=False, external_graph=False, precision="int8")
    assert described_precision(spec) == "int8"
    spec.external_graph = True
    assert described_precision(spec) == "as in the graph"
