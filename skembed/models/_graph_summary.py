"""Outputs and operators of an ONNX graph, without the package onnx.

Reads the file as `_external_data` does: weights are skipped, so a large file costs milliseconds.
"""

import mmap
from typing import NamedTuple

from skembed.exceptions import ModelFormatError
from skembed.models._external_data import MAX_DEPTH, fields

# Message -> number of a field -> the message in this field, by onnx.proto.
_NODES = {
    "model": {7: "graph", 25: "function"},
    "function": {7: "node"},
    "graph": {1: "node", 12: "output"},
    "node": {5: "attribute"},
    "attribute": {6: "graph", 11: "graph"},
}
_NAME, _TYPE, _OPERATOR = 1, 2, 4  # fields of an output, and of a node
_ONE = b"\x08\x01"  # an axis of size 1


class GraphSummary(NamedTuple):
    """What `graph_summary` finds."""

    outputs: dict  # name -> number of axes, None if the graph does not state it
    operators: frozenset  # names of operators, also of those inside of functions and branches

    @property
    def per_token(self):
        """Names of the outputs that are pooled: one vector per token, or maps."""
        return [name for name, n_axes in self.outputs.items() if n_axes in (3, 4)]


def graph_summary(path):
    """Return the outputs and operators of a graph.

    A map of the size 1 x 1 counts as a vector, which has 2 axes.

    Raises
    ------
    ModelFormatError
        If the file is not an ONNX graph.
    """
    outputs, operators = {}, set()

    def collect(start, stop, message, depth):
        if depth > MAX_DEPTH:
            raise ValueError("it is nested too deeply")
        for number, first, last in fields(data, start, stop):
            inner = _NODES[message].get(number)
            if message == "node" and number == _OPERATOR:
                operators.add(data[first:last].decode())
            elif inner == "output":
                if depth == 1:  # not inside of a branch
                    name, n_axes = _output(data, first, last)
                    outputs[name] = n_axes
            elif inner is not None:
                collect(first, last, inner, depth + 1)

    try:
        with (
            open(path, "rb") as file,
            mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data,
        ):
            collect(0, len(data), "model", 0)
    except (IndexError, UnicodeDecodeError, ValueError) as error:
        raise ModelFormatError(f"{path} is not an ONNX graph: {error}") from error
    return GraphSummary(outputs, frozenset(operators))


def _output(data, start, stop):
    """Return the name of an output and its number of axes."""
    name, shape = "", None
    for number, first, last in fields(data, start, stop):
        if number == _NAME:
            name = data[first:last].decode()
        elif number == _TYPE:
            shape = _shape(data, first, last)
    if shape is None:
        return name, None
    return name, 2 if len(shape) == 4 and shape[2:] == [_ONE, _ONE] else len(shape)


def _shape(data, start, stop):
    """Return the axes of a tensor's type, as bytes; None if it is another type, or has no shape."""
    tensors = [item[1:] for item in fields(data, start, stop) if item[0] == 1]
    shapes = [item[1:] for place in tensors for item in fields(data, *place) if item[0] == 2]
    if not shapes:
        return None
    return [data[a:b] for number, a, b in fields(data, *shapes[-1]) if number == 1]
