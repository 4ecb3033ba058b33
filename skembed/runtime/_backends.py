"""Backends: the libraries that run a network, as a table.

A runner, whatever the backend, has two methods:

``run(batches, n_threads)``
    Yields for each batch, in order, a tuple of float32 arrays, one for each output. Their first
    axis is that of the batch's rows.
``describe()``
    Returns ``library`` and ``device`` as a dict of str.
"""

import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

from skembed.base._optional import import_optional
from skembed.runtime._precisions import PRECISIONS


@dataclass(frozen=True)
class Backend:
    """A library that runs networks.

    Parameters
    ----------
    device : callable
        Takes the parameters `device` and `precision`, returns the name of the device; raises
        ValueError if there is no such device.
    load : callable
        Takes a source and the device, returns a runner. A source has the methods ``network()``,
        which returns a torch module, and ``graph()``, which returns the path of an ONNX graph and
        the names of its outputs; and the attribute ``inputs``, further arguments of `OnnxRunner`.
    libraries : tuple of str
        Distributions whose versions can change a vector.
    needs_export : bool
        Whether `load` calls ``graph()``.
    label : str
        Name of the library, for messages.
    fallback : str, default=None
        With ``backend="auto"``: name of the backend that runs a network whose export failed.
    """

    device: Callable
    load: Callable
    libraries: tuple
    needs_export: bool
    label: str
    fallback: str | None = None


def _onnx_device(device, precision):
    import onnxruntime

    if device in ("auto", "cpu"):
        return "cpu"
    if device == "mps" or PRECISIONS[precision].cpu_only:
        raise ValueError(f"ONNX Runtime runs {precision} on the CPU; got device={device!r}.")
    providers = onnxruntime.get_available_providers()
    if "CUDAExecutionProvider" not in providers:
        raise ValueError(
            f"device={device!r} with backend='onnx' needs onnxruntime-gpu; the onnxruntime "
            f"installed has only {providers}."
        )
    return device


def _torch_device(device, precision):
    torch = import_optional("torch", extra="torch", purpose="backend='torch'")
    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if device.startswith("cuda") and not torch.cuda.is_available():
        raise ValueError(f"device={device!r} was asked for, but torch finds no CUDA device.")
    if device == "mps" and not torch.backends.mps.is_available():
        raise ValueError("device='mps' was asked for, but torch finds no such device.")
    return device


def _load_onnx(source, device):
    from skembed.runtime._onnx import OnnxRunner

    graph, outputs = source.graph()
    return OnnxRunner(graph, outputs=outputs, device=device, **source.inputs)


def _load_torch(source, device):
    from skembed.runtime._torch import TorchRunner

    return TorchRunner(source.network(), device)


# In the order of preference on a CPU.
BACKENDS = {
    "onnx": Backend(
        _onnx_device,
        _load_onnx,
        libraries=("onnxruntime",),
        needs_export=True,
        label="ONNX Runtime",
        fallback="torch",
    ),
    "torch": Backend(
        _torch_device,
        _load_torch,
        libraries=("torch", "transformers"),
        needs_export=False,
        label="torch",
    ),
}


def backends_of_graphs():
    """Return the names of the backends that run an ONNX graph, the preferred one first."""
    return [name for name, backend in BACKENDS.items() if backend.needs_export]


def precisions_of_graphs():
    """Return the names of the precisions that an exported graph may have."""
    able = set(backends_of_graphs())
    return [name for name, precision in PRECISIONS.items() if able & set(precision.backends)]


def choose(backend, device, precision):
    """Return the names of backend and device for the parameters of these names.

    Raises
    ------
    ValueError
        If the combination is not supported.
    """
    check_device(device)
    able = PRECISIONS[precision].backends
    if backend == "auto":
        on_cpu = device == "cpu" or (device == "auto" and not _has_cuda())
        backend = able[0] if on_cpu else able[-1]
    if backend not in able:
        known = [name for name, other in PRECISIONS.items() if backend in other.backends]
        raise ValueError(
            f"backend={backend!r} computes in {' or '.join(known)}; for precision={precision!r} "
            f"set backend={able[0]!r}."
        )
    device = BACKENDS[backend].device(device, precision)
    if PRECISIONS[precision].slow_on_cpu and device == "cpu":
        raise ValueError(PRECISIONS[precision].slow_on_cpu)
    return backend, device


def check_device(device):
    """Raise a ValueError if the parameter `device` has an unknown value."""
    if device not in ("auto", "cpu", "cuda") and not re.fullmatch(r"cuda:\d+|mps", device):
        raise ValueError(
            f"The 'device' parameter must be 'auto', 'cpu', 'cuda', 'cuda:<number>' or 'mps'. Got "
            f"{device!r} instead."
        )


@cache
def _has_cuda():
    """Tell whether torch finds a CUDA device; do not import torch without an NVIDIA driver."""
    if not any(os.path.exists(path) for path in ("/dev/nvidiactl", "/dev/dxg")) and os.name != "nt":
        return False
    try:
        import torch
    except ImportError:
        return False
    return torch.cuda.is_available()
