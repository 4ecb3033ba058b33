"""Export a trained network from the export of the network before training.

The two graphs differ in their weights only. An export from torch takes tens of seconds, other
weights in a graph take one. Where a weight of the graph comes from is found by value: it equals a
tensor of the network before training, transposed or not, or a convolution with its batch norm in
it, which the exporter multiplies. What cannot be told apart is refused, and the result is compared
with torch as every export is. Imports onnx and torch inside functions.
"""

import hashlib
import shutil
from pathlib import Path

import numpy as np


class CannotReuse(Exception):
    """The graph with the trained weights cannot be made from that of the base."""


def has_fresh_norms(network):
    """Whether a network has batch norms that add nothing.

    The exporter drops the bias of 0 that they give a convolution, so that its graph has no place
    for the bias after training.
    """
    state = network.state_dict()
    means = [name for name in state if name.endswith(".running_mean")]
    shifts = [(state[name], state.get(name.replace("running_mean", "bias"))) for name in means]
    return any(shift is not None and not mean.any() and not shift.any() for mean, shift in shifts)


def with_other_weights(base, path, before, after):
    """Write the graph of a network whose weights changed.

    The files are those of an export from torch, to the byte.

    Parameters
    ----------
    base : pathlib.Path
        The graph of `before`; its weights are in ``<base>.data``.
    path : pathlib.Path
        The new graph; its weights are written to ``<path>.data``.
    before, after : torch.nn.Module
        The network before and after training.

    Raises
    ------
    CannotReuse
        If a changed tensor has no certain place in the graph.
    """
    import onnx

    model = onnx.load(base, load_external_data=False)
    weights = {item.name: item for item in model.graph.initializer}
    data = f"{base}.data"
    arrays = {name: _array(item, data) for name, item in weights.items()}
    new = _new_arrays(arrays, _Tensors(before, after), _constants(model.graph))
    shutil.copyfile(data, f"{path}.data")
    with open(f"{path}.data", "r+b") as file:
        for name, array in new.items():
            content, item = np.ascontiguousarray(array).tobytes(), weights[name]
            if item.external_data:
                file.seek(_place(item)[0])
                file.write(content)
            else:
                item.raw_data = content
    Path(path).write_bytes(model.SerializeToString())


def _place(item):
    """Return offset and length of an initializer in the file of weights."""
    entries = {entry.key: entry.value for entry in item.external_data}
    return int(entries.get("offset", 0)), int(entries["length"])


def _array(item, data):
    import onnx

    if not item.external_data:
        return onnx.numpy_helper.to_array(item)
    offset, length = _place(item)
    kind = onnx.helper.tensor_dtype_to_np_dtype(item.data_type)
    if not length:
        return np.zeros(item.dims, kind)
    content = np.fromfile(data, np.uint8, count=length, offset=offset)
    return content.view(kind).reshape(item.dims)


def _constants(graph):
    """Return the tensors in operators of a graph."""
    import onnx

    attributes = [attribute for node in graph.node for attribute in node.attribute]
    if any(item.HasField("g") or item.graphs for item in attributes):
        raise CannotReuse("the graph contains other graphs")
    return [onnx.numpy_helper.to_array(item.t) for item in attributes if item.HasField("t")]


def _key(array):
    content = np.ascontiguousarray(array)
    return array.shape, array.dtype.str, hashlib.sha256(content).digest()


class _Tensors:
    """The tensors of a network before and after training, and its batch norms."""

    def __init__(self, before, after):
        from torch.nn.modules.batchnorm import _BatchNorm

        self.before, self.after = (
            {name: tensor.detach().cpu().numpy() for name, tensor in network.state_dict().items()}
            for network in (before, after)
        )
        self.changed = {
            name
            for name, array in self.before.items()
            if array.tobytes() != self.after[name].tobytes()
        }
        self.norms = {
            name: module.eps
            for name, module in before.named_modules()
            if isinstance(module, _BatchNorm) and module.affine and module.track_running_stats
        }
        self._named = {}  # value -> (name, whether it is transposed), several for equal tensors
        for name, array in self.before.items():
            self._named.setdefault(_key(array), []).append((name, False))
            if array.ndim == 2:
                self._named.setdefault(_key(array.T), []).append((name, True))

    def equal_to(self, array):
        return self._named.get(_key(array), [])

    def of(self, name, transposed):
        return self.after[name].T if transposed else self.after[name]

    def folded(self, state, convolution, norm):
        """Return weight and bias of a convolution and its batch norm, as the exporter does."""
        mean, variance = state[f"{norm}.running_mean"], state[f"{norm}.running_var"]
        bias = state.get(f"{convolution}.bias", np.zeros_like(mean))
        epsilon = np.array(self.norms[norm], dtype=mean.dtype)
        scale = state[f"{norm}.weight"] / np.sqrt(variance + epsilon)
        weight = state[f"{convolution}.weight"]
        by_channel = scale.reshape(-1, *(1,) * (weight.ndim - 1))
        return weight * by_channel, (bias - mean) * scale + state[f"{norm}.bias"]


def _new_arrays(arrays, tensors, constants):
    """Return the initializers that change, by name."""
    real = {name: array for name, array in arrays.items() if array.dtype.kind == "f"}
    new, used = {}, set()
    _add_folded(real, tensors, new, used)
    for name in [name for name in real if name not in new]:
        found = tensors.equal_to(real[name])
        # Equal tensors, such as biases of 0, are told apart by their names.
        found = [item for item in found if item == (name, False)] or found
        values = {tensors.of(*item).tobytes() for item in found}
        if len(values) > 1:
            raise CannotReuse(f"{name} equals several tensors")
        if found:
            new[name] = tensors.of(*found[0])
            used |= {item[0] for item in found}
    unknown = [array for name, array in real.items() if name not in new]
    unknown += [array for array in constants if array.dtype.kind == "f"]
    known = {_key(real[name]) for name in new}
    # If every array of the graph has its source, no state depends on the other tensors. But the
    # exporter may have written equal tensors once.
    whole = all(array.size == 1 for array in unknown)
    for name in sorted(tensors.changed - used):
        if not whole or _key(tensors.before[name]) in known:
            raise CannotReuse(f"{name} has no certain place in the graph")
    return {name: array for name, array in new.items() if _key(array) != _key(real[name])}


def _add_folded(real, tensors, new, used):
    """Find convolutions that contain their batch norm; the exporter keeps the weight's name."""
    order = {name: i for i, name in enumerate(tensors.before)}
    free = dict.fromkeys(tensors.norms)
    for name in [name for name in order if name in real and not tensors.equal_to(real[name])]:
        convolution, _, kind = name.rpartition(".")
        if kind != "weight":
            continue
        ours = f"{convolution}.bias"
        bias = f"{name}_bias" if f"{name}_bias" in real else ours
        following = (norm for norm in free if order[f"{norm}.weight"] > order[name])
        for norm in following:
            pair = real[name], real.get(bias)
            if _is_pair(tensors.folded, tensors.before, convolution, norm, pair):
                del free[norm]
                new[name], new[bias] = tensors.folded(tensors.after, convolution, norm)
                used |= {name, ours, *(item for item in order if item.startswith(f"{norm}."))}
                break


def _is_pair(folded, state, convolution, norm, pair):
    """Whether weight and bias of a graph are a convolution with this batch norm."""
    weight, bias = pair
    before = state[f"{convolution}.weight"]
    if bias is None or before.shape != weight.shape:
        return False
    if state[f"{norm}.weight"].shape != bias.shape or len(weight) != len(bias):
        return False
    expected = folded(state, convolution, norm)
    return all(
        np.allclose(ours, theirs, rtol=1e-5, atol=1e-7)
        for ours, theirs in zip(pair, expected, strict=True)
    )
