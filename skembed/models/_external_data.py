"""The files of weights that an ONNX graph names, found without the package onnx.

A graph is a message of protocol buffers: fields with a number and a length, nested. Only the fields
that lead to a tensor are entered; weights are skipped by their length. Imports only `exceptions`.
"""

import mmap

from skembed.exceptions import ModelFormatError

# Message -> number of a field -> the message in it, by onnx.proto.
_FIELDS = {
    "model": {7: "graph", 20: "training", 25: "function"},
    "training": {1: "graph", 2: "graph"},
    "function": {7: "node", 11: "attribute"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
    "tensor": {13: "entry"},
    "entry": {},
}
_MAX_DEPTH = 64  # of messages within messages


def external_files(graph):
    """Return the relative paths of the files that hold a graph's weights, in the graph's order.

    Parameters
    ----------
    graph : path
        The ``.onnx`` file.

    Returns
    -------
    locations : list of str
        As they stand in the graph, each once.

    Raises
    ------
    ModelFormatError
        If the file is not an ONNX graph.
    """
    locations = {}
    try:
        with (
            open(graph, "rb") as file,
            mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data,
        ):
            _collect(data, 0, len(data), "model", locations, 0)
    except (IndexError, UnicodeDecodeError, ValueError) as error:
        raise ModelFormatError(f"{graph} is not an ONNX graph: {error}") from error
    return list(locations)


def _collect(data, start, stop, message, locations, depth):
    """Enter the locations in a message, data[start:stop], into `locations`."""
    if depth > _MAX_DEPTH:
        raise ValueError("it is nested too deeply")
    known, entry = _FIELDS[message], {}
    for number, first, last in _fields(data, start, stop):
        if message == "entry":
            entry[number] = data[first:last]
        elif number in known:
            _collect(data, first, last, known[number], locations, depth + 1)
    if entry.get(1) == b"location":
        locations[entry.get(2, b"").decode()] = None


def _fields(data, start, stop):
    """Yield number, start and stop of the fields of a message that have a length."""
    while start < stop:
        tag, start = _varint(data, start, stop)
        number, kind = tag >> 3, tag & 7
        if kind == 0:  # a number
            _, start = _varint(data, start, stop)
        elif kind == 1:
            start += 8
        elif kind == 5:
            start += 4
        elif kind == 2:  # bytes, a string or a message
            size, start = _varint(data, start, stop)
            if start + size > stop:
                raise ValueError("it ends too early")
            yield number, start, start + size
            start += size
        else:
            raise ValueError(f"it has a field of the unknown kind {kind}")
    if start > stop:
        raise ValueError("it ends too early")


def _varint(data, start, stop):
    """Return the number at `start`, 7 bits a byte, and the position behind it."""
    value = shift = 0
    while start < stop and shift < 70:
        byte = data[start]
        start += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, start
        shift += 7
    raise ValueError("it ends too early")
