"""Dense layers after a pooling as ONNX operators, without torch.

Imports onnx inside functions.
"""

from skembed.base._poolings import floats
from skembed.runtime._graph_writer import Writer

_OPSET = 20  # all operators here are the same since MIN_OPSET


def _gelu(add, x):
    """Return x times the distribution function of the normal distribution."""
    twice = add("Add", add("Erf", add("Mul", x, floats(0.5**0.5))), floats(1))
    return add("Mul", add("Mul", x, twice), floats(0.5))


def _operator(name, **attributes):
    return lambda add, x: add(name, x, **attributes)


def _clip(low, high):
    return lambda add, x: add("Min", add("Max", x, floats(low)), floats(high))


def _gated(gate):
    """Return the function that multiplies x with a function of x."""
    return lambda add, x: add("Mul", x, gate(add, x))


_hard_sigmoid = _operator("HardSigmoid", alpha=1 / 6, beta=0.5)

# Class of torch.nn, with its default arguments -> a function that appends the same as operators.
ACTIVATIONS = {
    "Identity": _operator("Identity"),
    "Tanh": _operator("Tanh"),
    "ReLU": _operator("Relu"),
    "ReLU6": _clip(0, 6),
    "LeakyReLU": _operator("LeakyRelu", alpha=0.01),
    "ELU": _operator("Elu", alpha=1.0),
    "CELU": _operator("Elu", alpha=1.0),  # the same function for this alpha
    "SELU": _operator("Selu"),
    "GELU": _gelu,
    "SiLU": _gated(_operator("Sigmoid")),
    "Mish": _gated(lambda add, x: add("Tanh", add("Softplus", x))),
    "Sigmoid": _operator("Sigmoid"),
    "LogSigmoid": lambda add, x: add("Neg", add("Softplus", add("Neg", x))),
    "Softplus": _operator("Softplus"),
    "Softsign": _operator("Softsign"),
    "Softshrink": _operator("Shrink", lambd=0.5, bias=0.5),
    "Hardshrink": _operator("Shrink", lambd=0.5, bias=0.0),
    "Tanhshrink": lambda add, x: add("Sub", x, add("Tanh", x)),
    "Hardtanh": _clip(-1, 1),
    "Hardsigmoid": _hard_sigmoid,
    "Hardswish": _gated(_hard_sigmoid),
}


def dense_model(layers):
    """Return the graph of dense layers, to be passed to `_graph_heads.join`.

    Parameters
    ----------
    layers : list of (DenseTensors, str)
        The arrays of each layer (see `models._dense`) and its activation, a key of `ACTIVATIONS`.

    Returns
    -------
    model : onnx.ModelProto
        Its input is ``pooled``, (n_rows, n_in), and its output ``answer``, (n_rows, n_out).
    """
    from onnx import TensorProto
    from onnx.helper import make_graph, make_model, make_opsetid, make_tensor_value_info

    given, found = (
        make_tensor_value_info(name, TensorProto.FLOAT, [None, None])
        for name in ("pooled", "answer")
    )
    graph = make_graph([], "dense", [given], [found])
    add, vectors = Writer(graph, "dense", _OPSET), "pooled"
    for tensors, activation in layers:
        output = add("MatMul", vectors, tensors.weight.T.copy())
        if tensors.bias is not None:
            output = add("Add", output, tensors.bias)
        output = ACTIVATIONS[activation](add, output)
        if tensors.residual is not None:
            output = add("Add", output, add("MatMul", vectors, tensors.residual.T.copy()))
        elif tensors.adds_input:
            output = add("Add", output, vectors)
        vectors = output
    add("Identity", vectors, output="answer")
    return make_model(graph, opset_imports=[make_opsetid("", _OPSET)], ir_version=10)
