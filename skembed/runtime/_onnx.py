"""Running a network on ONNX Runtime."""

import numpy as np
import onnxruntime

from skembed.exceptions import ModelFormatError
from skembed.runtime._schedule import in_threads

# Inputs of graphs made elsewhere, which skembed's one input implies: rows are never padded.
_IMPLIED = {
    "attention_mask": np.ones_like,
    "token_type_ids": np.zeros_like,
    "position_ids": lambda ids: np.broadcast_to(np.arange(ids.shape[1]), ids.shape).copy(),
}
# Fusions of ONNX Runtime that are slower than what they replace: in the fused operators the loop
# over a row is not vectorised (profiled with 1.32; 7 % of MiniLM's time).
_SLOW_FUSIONS = ["SkipLayerNormFusion", "BiasGeluFusion"]
_DTYPES = {"tensor(int64)": np.int64, "tensor(int32)": np.int32, "tensor(float)": np.float32}


class OnnxRunner:
    """One session with one thread inside, called from as many threads as are given.

    A batch then runs the same instructions in the same order whatever the number of threads, so
    that vectors do not depend on it, and batches of several estimators share the cores fairly.

    Parameters
    ----------
    path : path
        The graph. Its first output is the answer.
    input_name : str
        The input that rows become.

    Raises
    ------
    ModelFormatError
        If the graph cannot be read, or has inputs that are not known.
    """

    def __init__(self, path, input_name):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        try:
            self._session = onnxruntime.InferenceSession(
                str(path),
                options,
                providers=["CPUExecutionProvider"],
                disabled_optimizers=_SLOW_FUSIONS,
            )
        except Exception as error:  # its errors have no base of their own
            raise ModelFormatError(
                f"{path} cannot be read by onnxruntime {onnxruntime.__version__}: {error}"
            ) from error
        self._input_name = input_name
        self._inputs = {node.name: node.type for node in self._session.get_inputs()}
        unknown = set(self._inputs) - {input_name} - set(_IMPLIED)
        if input_name not in self._inputs or unknown:
            raise ModelFormatError(
                f"{path} has the inputs {sorted(self._inputs)}; skembed can feed {input_name!r} "
                f"and, with it, {sorted(_IMPLIED)}."
            )
        self._output = self._session.get_outputs()[0].name

    def _run(self, batch):
        feed = {}
        for name, kind in self._inputs.items():
            values = batch if name == self._input_name else _IMPLIED[name](batch)
            feed[name] = values.astype(_DTYPES.get(kind, values.dtype), copy=False)
        return self._session.run([self._output], feed)[0]

    def run(self, batches, n_threads):
        """Yield the vectors of each batch, in order.

        Parameters
        ----------
        batches : list of ndarray
            Network inputs, each of rows of one shape.
        n_threads : int
            Batches that run at the same time.

        Yields
        ------
        vectors : ndarray of shape (n_rows, n_dims) or (n_rows, n_tokens, n_dims), float32
        """
        yield from in_threads(self._run, batches, n_threads)

    def describe(self):
        """Return what runs the network, as a dict."""
        return {
            "library": f"onnxruntime {onnxruntime.__version__}",
            "device": ", ".join(self._session.get_providers()),
        }
