"""Run a network on ONNX Runtime."""

import os
import threading
from functools import partial

import numpy as np
import onnxruntime

from skembed.base._failures import reason_of
from skembed.base._threads import in_threads
from skembed.exceptions import ExportError, ModelFormatError

# Fusions of ONNX Runtime that are slower than what they replace: in the fused operators the loop
# over a row is not vectorized (profiled with 1.32; 7 % of MiniLM's time).
_SLOW_FUSIONS = ["SkipLayerNormFusion", "BiasGeluFusion"]
_DTYPES = {
    "tensor(int64)": np.int64,
    "tensor(int32)": np.int32,
    "tensor(bool)": np.bool_,
    "tensor(float)": np.float32,
    "tensor(float16)": np.float16,
    "tensor(double)": np.float64,
}


class OnnxRunner:
    """Run a graph in sessions of one thread, called from several threads.

    A batch then runs the same instructions in the same order whatever the number of threads, so
    that vectors do not depend on it, and batches of several estimators share the cores fairly.

    Parameters
    ----------
    path : path
        The graph.
    input_name : str
        The input that rows become.
    outputs : tuple of str, default=None
        Names of the outputs to return. None: the first.
    device : str, default="cpu"
        ``"cpu"``, ``"cuda"`` or ``"cuda:<number>"``.
    implied : dict, default=None
        Functions of the input, by name, for further inputs of graphs that were made elsewhere.
    any_name : bool, default=True
        Whether a graph's only unknown input is taken for the input, whatever its name.
    one_by_one : bool, default=False
        Whether a run takes one row, because the graph has scales that rows of a batch would share.
    name : path, default=None
        The file to name in messages. None: `path`.

    Raises
    ------
    ModelFormatError
        If the graph cannot be read, or has inputs that are not known.
    ExportError
        If the device is a GPU, and ONNX Runtime does not run the graph there.
    """

    def __init__(
        self,
        path,
        input_name,
        outputs=None,
        device="cpu",
        *,
        implied=None,
        any_name=True,
        one_by_one=False,
        name=None,
    ):
        self._path, self._device = str(path), device
        self._name = str(path if name is None else name)
        self._session = self._open(n_threads=1)
        # Sessions with threads inside, for a batch by itself; by process, because threads do not
        # survive a fork.
        self._wide = {}
        self._lock = threading.Lock()
        self._input_name = input_name
        nodes = self._session.get_inputs()
        self._inputs = {node.name: node.type for node in nodes}
        self._implied = implied or {}
        unknown = set(self._inputs) - {input_name} - set(self._implied)
        if any_name and input_name not in self._inputs and len(unknown) == 1:
            input_name = self._input_name = unknown.pop()
        if input_name not in self._inputs or unknown:
            more = f" and, with it, {sorted(self._implied)}" if self._implied else ""
            raise ModelFormatError(
                f"{self._name} has the inputs {sorted(self._inputs)}; skembed can feed "
                f"{input_name!r}{more}, not {sorted(unknown) if unknown else 'a graph without it'}."
            )
        # Some graphs accept only one row at a time.
        shape = next(node.shape for node in nodes if node.name == input_name)
        self._one_by_one = one_by_one or (bool(shape) and shape[0] == 1)
        self._shape = shape or []
        known = [node.name for node in self._session.get_outputs()]
        if not known:
            raise ModelFormatError(f"{self._name} has no output.")
        outputs = known[:1] if outputs is None else outputs
        missing = [name for name in outputs if name not in known]
        if missing:
            raise ModelFormatError(f"{self._name} has no output {missing[0]!r}; it has {known}.")
        self._outputs = list(outputs)

    def _open(self, n_threads):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = n_threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        kind, _, number = self._device.partition(":")
        providers = ["CPUExecutionProvider"]
        if kind == "cuda":
            providers.insert(0, ("CUDAExecutionProvider", {"device_id": int(number or 0)}))
        try:
            session = onnxruntime.InferenceSession(
                self._path, options, providers=providers, disabled_optimizers=_SLOW_FUSIONS
            )
        except Exception as error:  # its errors have no common base class
            raise ModelFormatError(
                f"{self._name} cannot be read by onnxruntime {onnxruntime.__version__}: {error}"
            ) from error
        if kind == "cuda" and session.get_providers()[0] != "CUDAExecutionProvider":
            raise ExportError(
                f"ONNX Runtime was asked for device={self._device!r} and fell back to "
                f"{session.get_providers()}: its CUDA libraries do not load. Set backend='torch'."
            )
        return session

    def _run(self, batch, session=None):
        if self._one_by_one and len(batch) > 1:
            single = [self._run(row[None], session) for row in batch]
            return tuple(np.concatenate(outputs) for outputs in zip(*single, strict=True))
        self._check_shape(batch)
        feed = {}
        for name, kind in self._inputs.items():
            values = batch if name == self._input_name else self._implied[name](batch)
            feed[name] = values.astype(_DTYPES.get(kind, values.dtype), copy=False)
        outputs = self._run_graph(feed, session)
        # A pooled map of size 1 x 1 is a vector.
        outputs = (a[:, :, 0, 0] if a.shape[2:] == (1, 1) else a for a in outputs)
        return tuple(a.astype(np.float32, copy=False) for a in outputs)

    def _check_shape(self, batch):
        """Raise a ModelFormatError if the graph takes inputs of another size than these."""
        pairs = zip(self._shape[1:], batch.shape[1:], strict=False)
        fits = len(self._shape) in (0, batch.ndim)
        fits = fits and all(size == given for size, given in pairs if isinstance(size, int))
        n_rows = self._shape[0] if self._shape else None
        if not fits or (isinstance(n_rows, int) and n_rows != len(batch)):
            raise ModelFormatError(
                f"{self._name} takes inputs of the shape {tuple(self._shape)}, where a name or "
                f"None stands for any size; these have the shape {batch.shape}. Export the graph "
                "again with axes of any size, or give rows of that size."
            )

    def _run_graph(self, feed, session=None):
        """Run the graph; return arrays of numbers with one entry a row."""
        n_rows = len(feed[self._input_name])
        try:
            outputs = (session or self._session).run(self._outputs, feed)
        except Exception as error:  # its errors have no common base class
            inputs = feed[self._input_name]
            raise ModelFormatError(
                f"{self._name} fails on inputs of shape {inputs.shape} with values from "
                f"{inputs.min()} to {inputs.max()}: {reason_of(error)}"
            ) from error
        for output in outputs:
            shape = getattr(output, "shape", None)
            if not shape or shape[0] != n_rows or output.dtype.kind not in "fiu":
                found = f"shape {shape} of {output.dtype}" if shape is not None else type(output)
                raise ModelFormatError(
                    f"{self._name} returns {found} for {n_rows} rows; an array of numbers "
                    "whose first axis is that of the rows is needed."
                )
        return outputs

    def _session_of(self, n_threads):
        with self._lock:
            key = os.getpid(), n_threads
            if key not in self._wide:
                self._wide[key] = self._open(n_threads)
            return self._wide[key]

    def run(self, batches, n_threads):
        """Yield the vectors of each batch, in order.

        Parameters
        ----------
        batches : list of ndarray
            Network inputs, each of rows of one shape.
        n_threads : int
            Batches that run at the same time; threads inside, for a batch by itself.

        Yields
        ------
        vectors : tuple of ndarray, (n_rows, n_dims) or (n_rows, n_tokens, n_dims), float32
            One for each output.
        """
        run = self._run
        if len(batches) == 1 and n_threads > 1 and self._device == "cpu":
            run = partial(run, session=self._session_of(n_threads))
        yield from in_threads(run, batches, n_threads)

    def describe(self):
        """Return what runs the network, as a dict."""
        return {
            "library": f"onnxruntime {onnxruntime.__version__}",
            "device": ", ".join(self._session.get_providers()),
        }
