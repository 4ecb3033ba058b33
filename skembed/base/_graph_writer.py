"""Append operators to an ONNX graph.

Imports nothing of skembed, and onnx inside functions: a graph that is already exported runs without
it.
"""

import numpy as np


class GraphWriter:
    """Append operators to a graph; calls return the names of outputs, to be used as inputs.

    Parameters
    ----------
    graph : onnx.GraphProto
        Changed in place.
    prefix : str
        Beginning of the names of outputs and constants, which must differ between writers.
    """

    def __init__(self, graph, prefix):
        self._graph, self._prefix, self._n = graph, prefix, 0

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
        """Append an operator; return the name of its output, or names of its `n_outputs`.

        Arrays among its inputs become constants.
        """
        from onnx.helper import make_node

        inputs = [item if isinstance(item, str) else self.constant(item) for item in inputs]
        outputs = [output or self._name() for _ in range(n_outputs or 1)]
        self._graph.node.append(make_node(operator, inputs, outputs, **attributes))
        return outputs[0] if n_outputs is None else outputs
