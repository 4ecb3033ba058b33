"""Append ONNX operators to a graph, in the form that the graph's operator set has.

Graphs that skembed exports have one operator set; graphs made elsewhere have theirs. Imports onnx
inside functions.
"""

import numpy as np

from skembed.base._poolings import ints
from skembed.exceptions import ModelFormatError

MIN_OPSET = 11  # before it, operators such as Range are missing

# Operator -> the operator set since which its axes are an input and not an attribute.
_AXES_ARE_INPUTS = {
    "Squeeze": 13,
    "Unsqueeze": 13,
    "ReduceSum": 13,
    "ReduceMax": 18,
    "ReduceL2": 18,
}
_SHAPE_HAS_RANGE = 15  # the operator set since which Shape has the attributes start and end


class Writer:
    """Append operators to a graph; calls return the names of outputs, to be used as inputs.

    Parameters
    ----------
    graph : onnx.GraphProto
        Changed in place.
    prefix : str
        Beginning of the names of outputs and constants, which must differ between writers.
    opset : int, default=20
        The graph's operator set. Operators are called as in set 20.
    """

    def __init__(self, graph, prefix, opset=20):
        self._graph, self._prefix, self._opset, self._n = graph, prefix, opset, 0

    def _name(self):
        self._n += 1
        return f"{self._prefix}/{self._n}"

    def constant(self, value, name=None):
        """Append a constant; return its name, which is new if none is given."""
        from onnx import numpy_helper

        name = name or self._name()
        self._graph.initializer.append(numpy_helper.from_array(np.asarray(value), name))
        return name

    def __call__(self, operator, *inputs, output=None, n_outputs=None, **attributes):
        """Append an operator; return the name of its output, or the names of its `n_outputs`.

        Arrays among its inputs become constants.
        """
        from onnx.helper import make_node

        if operator == "Shape" and attributes and self._opset < _SHAPE_HAS_RANGE:
            start, end = ints(attributes["start"]), ints(attributes["end"])
            return self("Slice", self("Shape", *inputs), start, end, output=output)
        if len(inputs) == 2 and self._opset < _AXES_ARE_INPUTS.get(operator, 0):
            attributes["axes"] = inputs[1].tolist()
            inputs = inputs[:1]
        inputs = [item if isinstance(item, str) else self.constant(item) for item in inputs]
        outputs = [output or self._name() for _ in range(n_outputs or 1)]
        self._graph.node.append(make_node(operator, inputs, outputs, **attributes))
        return outputs[0] if n_outputs is None else outputs


def opset_of(model):
    """Return the version of the standard operator set that a model uses.

    Raises
    ------
    ModelFormatError
        If nothing can be appended to graphs of this version.
    """
    versions = [item.version for item in model.opset_import if item.domain in ("", "ai.onnx")]
    opset = max(versions, default=0)
    if opset < MIN_OPSET:
        raise ModelFormatError(
            f"The graph has the operator set {opset}. Its output can be pooled from operator set "
            f"{MIN_OPSET} on: export the graph again with a newer one."
        )
    return opset
