"""Arrays of the dense layers that Sentence Transformers saved, without torch."""

from typing import NamedTuple

import numpy as np

from skembed.exceptions import ModelFormatError
from skembed.models._tensors import read_tensors, tensor_shapes


class DenseTensors(NamedTuple):
    """The arrays of a dense layer, in float32."""

    weight: np.ndarray  # (n_out, n_in)
    bias: np.ndarray | None  # (n_out,)
    residual: np.ndarray | None  # (n_out, n_in): multiplied by the input, and added to the output
    adds_input: bool  # whether the input itself is added to the output


def dense_tensors(dense):
    """Return the arrays of a dense layer.

    Parameters
    ----------
    dense : Dense
        The layer. Its file is compared with nothing; see `check_dense`.

    Raises
    ------
    ModelFormatError
        If the file is damaged, or its arrays are not those of a dense layer.
    """
    shapes = tensor_shapes(dense.weights)
    shape = shapes.get("linear.weight", ())
    expected = {"linear.weight": shape}
    if "linear.bias" in shapes:
        expected["linear.bias"] = shape[:1]
    same_length = len(set(shape)) == 1
    if dense.residual and not same_length:
        expected["residual.weight"] = shape
    if len(shape) != 2 or shape[0] != dense.out_features or shapes != expected:
        raise ModelFormatError(
            f"{dense.weights} contains no dense layer with {dense.out_features} outputs: it has "
            f"the arrays {shapes}."
        )
    read = read_tensors(dense.weights, shapes)
    arrays = {name: array.astype(np.float32, copy=False) for name, array in read.items()}
    return DenseTensors(
        weight=arrays["linear.weight"],
        bias=arrays.get("linear.bias"),
        residual=arrays.get("residual.weight"),
        adds_input=dense.residual and same_length,
    )
