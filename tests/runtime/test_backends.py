"""Which backend and device stand for the parameters, and how a backend loads a network."""

import os
import sys

import onnxruntime
import pytest
import torch

from skembed.exceptions import MissingDependencyError
from skembed.runtime import _backends, _onnx, _torch
from skembed.runtime._backends import BACKENDS, check_device, choose
from skembed.runtime._precisions import PRECISIONS

ON_CUDA = ["CUDAExecutionProvider", "CPUExecutionProvider"]


@pytest.fixture
def machine(monkeypatch):
    """Make this machine one with or without CUDA, and onnxruntime one for it."""

    def make(cuda, onnx_cuda=False):
        providers = ON_CUDA if onnx_cuda else ON_CUDA[1:]
        monkeypatch.setattr(_backends, "_has_cuda", lambda: cuda)
        monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
        monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
        monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: providers)

    return make


@pytest.mark.parametrize(
    ("parameters", "on_cpu", "on_cuda"),
    [
        # backend, device, precision
        (("auto", "auto", "float32"), ("onnx", "cpu"), ("torch", "cuda")),
        (("auto", "cpu", "float32"), ("onnx", "cpu"), ("onnx", "cpu")),
        (("auto", "cuda", "float32"), None, ("torch", "cuda")),
        (("auto", "cuda:1", "float32"), None, ("torch", "cuda:1")),
        (("onnx", "auto", "float32"), ("onnx", "cpu"), ("onnx", "cpu")),
        (("onnx", "cuda", "float32"), None, ("onnx", "cuda")),
        (("onnx", "mps", "float32"), None, None),
        (("torch", "auto", "float32"), ("torch", "cpu"), ("torch", "cuda")),
        (("torch", "cpu", "float32"), ("torch", "cpu"), ("torch", "cpu")),
        (("torch", "mps", "float32"), None, None),
        (("auto", "auto", "bfloat16"), ("torch", "cpu"), ("torch", "cuda")),
        (("onnx", "auto", "bfloat16"), None, None),
        (("auto", "auto", "float16"), None, ("torch", "cuda")),
        (("auto", "cpu", "float16"), None, None),
        (("auto", "auto", "int8"), ("onnx", "cpu"), ("onnx", "cpu")),
        (("onnx", "cuda", "int8"), None, None),
        (("torch", "auto", "int8"), None, None),
    ],
)
def test_the_choice_on_a_cpu_and_on_cuda(machine, parameters, on_cpu, on_cuda):
    """None: the combination is not supported there."""
    for cuda, expected in ((False, on_cpu), (True, on_cuda)):
        machine(cuda, onnx_cuda=cuda)
        if expected is None:
            with pytest.raises(ValueError, match=r"device|backend|CPU"):
                choose(*parameters)
        else:
            assert choose(*parameters) == expected


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        (("onnx", "auto", "bfloat16"), r"'onnx' computes in float32 or int8; .* backend='torch'"),
        (("torch", "auto", "int8"), r"computes in float32 or bfloat16 or .* backend='onnx'"),
        (("auto", "cpu", "float16"), "'float16' is for CUDA"),
        (("onnx", "cuda", "float32"), r"needs onnxruntime-gpu; .*\['CPUExecutionProvider'\]"),
        (("onnx", "cuda", "int8"), "runs int8 on the CPU; got device='cuda'"),
        (("onnx", "mps", "float32"), "runs float32 on the CPU; got device='mps'"),
        (("torch", "cuda:0", "float32"), "'cuda:0' was asked for, but torch finds no CUDA"),
        (("torch", "mps", "float32"), "'mps' was asked for, but torch finds no such"),
        (("auto", "gpu", "float32"), "'device' parameter must be .* Got 'gpu' instead"),
    ],
)
def test_messages_name_value_and_remedy(machine, parameters, message):
    machine(cuda=False)
    with pytest.raises(ValueError, match=message):
        choose(*parameters)


@pytest.mark.parametrize("device", ["auto", "cpu", "cuda", "cuda:0", "cuda:12", "mps"])
def test_devices(device):
    check_device(device)


@pytest.mark.parametrize("device", ["", "CPU", "cuda:", "cuda:x", "cuda:1 ", "mps:0", "tpu"])
def test_other_devices_are_refused(device):
    with pytest.raises(ValueError, match="'device' parameter must be"):
        check_device(device)


def test_precisions_of_each_backend():
    found = {
        name: [key for key, precision in PRECISIONS.items() if name in precision.backends]
        for name in BACKENDS
    }
    assert found == {"onnx": ["float32", "int8"], "torch": ["float32", "bfloat16", "float16"]}


def test_without_torch_its_installation_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(MissingDependencyError, match=r"skembed\[torch\]"):
        choose("torch", "auto", "float32")


@pytest.mark.skipif(os.name == "nt", reason="Windows has no files of devices")
def test_torch_is_not_asked_where_there_is_no_device(monkeypatch):
    """Its import takes longer than embedding some rows."""
    _backends._has_cuda.cache_clear()
    monkeypatch.setattr(os.path, "exists", lambda path: False)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: pytest.fail("torch was asked"))
    try:
        assert _backends._has_cuda() is False
    finally:
        _backends._has_cuda.cache_clear()


@pytest.mark.parametrize("cuda", [False, True])
def test_torch_is_asked_where_there_is_one(monkeypatch, cuda):
    _backends._has_cuda.cache_clear()
    monkeypatch.setattr(os.path, "exists", lambda path: True)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    try:
        assert _backends._has_cuda() is cuda
    finally:
        _backends._has_cuda.cache_clear()


class Source:
    """What a backend loads from; each may take only what it needs."""

    inputs = {"input_name": "x", "any_name": False}

    def __init__(self, name):
        self.name = name

    def graph(self):
        assert self.name == "onnx"
        return "model.onnx", ("a", "b")

    def network(self):
        assert self.name == "torch"
        return "network"


@pytest.mark.parametrize("name", BACKENDS)
def test_a_backend_asks_for_a_graph_or_for_a_network(monkeypatch, name):
    """As `needs_export` says."""
    module, runner = {"onnx": (_onnx, "OnnxRunner"), "torch": (_torch, "TorchRunner")}[name]
    monkeypatch.setattr(module, runner, lambda *given, **named: (*given, named))
    given = BACKENDS[name].load(Source(name), "cpu")
    if BACKENDS[name].needs_export:
        named = {"outputs": ("a", "b"), "device": "cpu", **Source.inputs}
        assert given == ("model.onnx", named)
    else:
        assert given == ("network", "cpu", {})
