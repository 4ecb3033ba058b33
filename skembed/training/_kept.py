"""The states below the layers that are trained: computed once, and shared by fits.

A state depends on the network below it and on the network input alone. So it is stored under the
digest of the input, and folds and candidates of a search find the states of one another.

Imports torch, and so imported only when a network is trained.
"""

import contextlib
import hashlib
import struct
import tempfile

import numpy as np
import torch

from skembed.base._digest import digest
from skembed.base._threads import same_shape_batches
from skembed.cache import NoCache
from skembed.exceptions import ExportError, MissingDependencyError, ModelFormatError
from skembed.network._states import of_state, state_runner

_HALF_BYTES = 256 * 2**20  # states that take more in float32 are kept in float16
_FILE_BYTES = 2**30  # states that take more lie in a file while a network is trained
_DIFFERENCE = 1e-3  # of a graph from torch
_N_ROWS = 64  # that are looked up and computed in one go


class KeptStates:
    """Compute the states of network inputs, or read them.

    Parameters
    ----------
    spec : NetworkSpec
        The network before training, on torch.
    layer : int
        Which state; 0 is the embedding layer.
    compute : callable
        Takes a tensor of inputs of one shape, returns their states: on torch.
    store : Store, default=None
        Where states are kept beyond this training. None: nowhere.
    max_bytes : float, default=0
        How many bytes of the store this training may use.
    on_graph : bool, default=False
        Whether ONNX Runtime computes the states, if it agrees with torch.
    n_threads : int, default=1
        Of ONNX Runtime.
    """

    def __init__(
        self, spec, layer, compute, *, store=None, max_bytes=0, on_graph=False, n_threads=1
    ):
        self._compute, self._probes = compute, spec.preprocessor.probes
        self._n_elements = spec.modality.batch_elements
        self._store, self._room = store or NoCache(), max_bytes
        self._n_threads, self._map_sizes = n_threads, {}
        self._name = f"{spec.model} (states of layer {layer})"
        self._spec, self._runner = of_state(spec, layer, on_graph=False), None
        if on_graph:
            with contextlib.suppress(ExportError, ModelFormatError, MissingDependencyError):
                self._use_graph(of_state(spec, layer, on_graph=True))

    def _use_graph(self, spec):
        """Use a graph if it agrees with torch."""
        if spec is None:
            return
        runner = state_runner(spec)
        for probe in self._probes():
            expected = self._on_torch(probe)
            ((found,),) = runner.run([probe], 1)
            if found.ndim + 1 == expected.ndim:
                found = self._like_torch(probe, found)
            if found.shape != expected.shape or not np.allclose(found, expected, atol=_DIFFERENCE):
                return
        self._spec, self._runner = spec, runner

    def _on_torch(self, batch):
        return self._compute(torch.from_numpy(batch)).float().cpu().numpy()

    def _like_torch(self, batch, states):
        """Return states of a graph, which are tokens, as maps if torch gives maps."""
        shape = batch.shape[1:]
        if shape not in self._map_sizes:
            state = self._on_torch(batch[:1])
            self._map_sizes[shape] = state.shape[1:] if state.ndim == 4 else None
        if self._map_sizes[shape] is None:
            return states
        return states.transpose(0, 2, 1).reshape(-1, *self._map_sizes[shape])

    def of(self, inputs):
        """Return the state of each input, a tensor in float32 or float16, on the CPU.

        Parameters
        ----------
        inputs : list of ndarray
            Network inputs.
        """
        n_bytes = 4 * self._on_torch(inputs[0][None]).size / max(inputs[0].size, 1)
        n_bytes *= sum(item.size for item in inputs)
        dtype = np.float16 if n_bytes > _HALF_BYTES else np.float32
        fingerprint = digest([*self._spec.fingerprints, "state", np.dtype(dtype).name])
        self._store.describe(fingerprint, self._name)
        shelf = _Shelf(n_bytes * np.dtype(dtype).itemsize / 4 > _FILE_BYTES)
        order = sorted(range(len(inputs)), key=lambda i: inputs[i].shape)
        for start in range(0, len(order), _N_ROWS):
            part = order[start : start + _N_ROWS]
            for state in self._read_or_computed(fingerprint, [inputs[i] for i in part], dtype):
                shelf.add(state)
        states = shelf.tensors()
        return [states[place] for place in np.argsort(order)]

    def _read_or_computed(self, fingerprint, inputs, dtype):
        keys = [_key(item) for item in inputs]
        unique = list(dict.fromkeys(keys))
        values = dict(zip(unique, self._store.read(fingerprint, unique), strict=True))
        states = {key: None if value is None else unpacked(value) for key, value in values.items()}
        known = dict(zip(keys, inputs, strict=True))
        missing = [key for key in unique if states[key] is None]
        self._room -= sum(len(value) for value in values.values() if value is not None)
        if missing:
            computed = self._computed([known[key] for key in missing])
            states |= {key: _as(item, dtype) for key, item in zip(missing, computed, strict=True)}
            self._write(fingerprint, missing, [packed(states[key]) for key in missing])
        return [states[key] for key in keys]

    def _write(self, fingerprint, keys, values):
        """Store the values that there is room for."""
        sizes = np.cumsum([len(value) for value in values])
        n_kept = int((sizes <= self._room).sum())
        self._room -= int(sizes[-1])
        self._store.write(fingerprint, keys[:n_kept], values[:n_kept])

    def _computed(self, inputs):
        """Return the states of inputs, in float32."""
        groups = same_shape_batches(inputs, "auto", self._n_elements)
        stacked = [np.stack([inputs[i] for i in group]) for group in groups]
        if self._runner is None:
            outputs = map(self._on_torch, stacked)
        else:
            outputs = self._runner.run(stacked, self._n_threads)
            outputs = (self._like_torch(b, o) for b, (o,) in zip(stacked, outputs, strict=True))
        states = [None] * len(inputs)
        for group, output in zip(groups, outputs, strict=True):
            for i, state in zip(group, output, strict=True):
                states[i] = state
        return states


def _key(item):
    key = hashlib.blake2b(f"{item.shape} {item.dtype.str} ".encode(), digest_size=32)
    key.update(np.ascontiguousarray(item))
    return key.digest()


def _as(state, dtype):
    """Return a state in a type, or as it is if a number is too large for that."""
    with np.errstate(over="ignore"):
        found = state.astype(dtype, copy=False)
    return found if np.isfinite(found).all() else state


def packed(state):
    """Return the bytes that are stored: type, number of axes, shape, content."""
    head = struct.pack(f"<cB{state.ndim}I", state.dtype.char.encode(), state.ndim, *state.shape)
    return head + state.tobytes()


def unpacked(value):
    """Return the state of stored bytes; None if they are damaged.

    Examples
    --------
    >>> unpacked(packed(np.ones((1, 2), dtype=np.float16)))
    array([[1., 1.]], dtype=float16)
    >>> unpacked(b"e") is None
    True
    """
    try:
        name, n_axes = struct.unpack_from("<cB", value)
        shape = struct.unpack_from(f"<{n_axes}I", value, 2)
        content = np.frombuffer(value, {b"e": "<f2", b"f": "<f4"}[name], offset=2 + 4 * n_axes)
        return content.reshape(shape)
    except (struct.error, ValueError, KeyError):
        return None


class _Shelf:
    """Arrays one after another, in memory or in a file without a name.

    Parameters
    ----------
    in_file : bool
        Whether they are in a file. The system drops it when they are no longer used.
    """

    def __init__(self, in_file):
        self._file = tempfile.TemporaryFile() if in_file else None
        self._arrays = []  # or, in a file: where each begins, type and shape

    def add(self, array):
        if self._file is None:
            self._arrays.append(array)
            return
        self._arrays.append((self._file.tell(), array.dtype, array.shape))
        self._file.write(np.ascontiguousarray(array))

    def tensors(self):
        """Return the arrays as tensors."""
        if self._file is None:
            # Copied, because bytes of a store cannot be written to, which torch warns of.
            return [torch.from_numpy(np.array(array)) for array in self._arrays]
        with self._file as file:
            file.flush()
            whole = torch.from_numpy(np.memmap(file, np.uint8, "c"))
        tensors = []
        for start, dtype, shape in self._arrays:
            kind = torch.float16 if dtype == np.float16 else torch.float32
            part = whole[start : start + int(np.prod(shape)) * dtype.itemsize]
            tensors.append(part.view(kind).reshape(shape))
        return tensors
