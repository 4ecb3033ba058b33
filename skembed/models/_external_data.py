"""Find the files with the weights of an ONNX graph, without the package onnx.

An ONNX file is a message of protocol buffers: nested fields with a number and a length. Only fields
that may contain a tensor are parsed. Weights are skipped by their length, so that the file is not
read as a whole. Imports only `exceptions`.
"""

import mmap

from skembed.exceptions import ModelFormatError

# Message -> number of a field -> the message in this field, by onnx.proto.
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
MAX_DEPTH = 64  # of messages within messages


def external_files(graph):
    """Return the relative paths of the files that contain a graph's weights, in its order.

    Parameters
    ----------
    graph : path
        The ``.onnx`` file.

    Returns
    -------
    locations : list of str
        As stored in the graph, each once.

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
    """Add the locations in a message, data[start:stop], to `locations`.

    A tensor with external data has entries of a key and a value. The value of the key "location" is
    the path of its file.
    """
    if depth > MAX_DEPTH:
        raise ValueError("it is nested too deeply")
    known, entry = _FIELDS[message], {}
    for number, first, last in fields(data, start, stop):
        if message == "entry":
            entry[number] = data[first:last]
        elif number in known:
            _collect(data, first, last, known[number], locations, depth + 1)
    if entry.get(1) == b"location":
        locations[entry.get(2, b"").decode()] = None


def fields(data, start, stop):
    """Yield number, start and stop of each field of a message that has a length.

    A tag before each field contains its number and its kind. The kind determines how the size of
    the field is found.
    """
    while start < stop:
        tag, start = _varint(data, start, stop)
        number, kind = tag >> 3, tag & 7
        if kind == 0:  # a variable-length number
            _, start = _varint(data, start, stop)
        elif kind == 1:  # 64 bits
            start += 8
        elif kind == 5:  # 32 bits
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
    """Return the variable-length number at `start`, and the position after it.

    Each byte contains 7 bits, the lowest first. The highest bit states that another byte follows.
    """
    value = shift = 0
    while start < stop and shift < 70:
        byte = data[start]
        start += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, start
        shift += 7
    raise ValueError("it ends too early")
