"""The export of a backbone and its comparison with torch: never believed unchecked."""

import logging
import warnings
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from torch import nn

from runtime.toys import PROBES, Toy, ToyBackbone
from skembed.exceptions import ModelFormatError
from skembed.models._backbone import Backbone
from skembed.models._head import Head
from skembed.models._modules import Network
from skembed.runtime import _torch_export
from skembed.runtime._export import ensure_exported
from skembed.runtime._export_folder import ensure_joined
from skembed.runtime._onnx import OnnxRunner
from skembed.runtime._precisions import PRECISIONS
from skembed.runtime._quantize_convolutions import ranges_of


def test_the_backbone_computes_as_before_after_its_export(bert):
    """Its attention is what it was, and its states are the same to the bit."""
    attention, state = bert.before
    assert bert.backbone.model.config._attn_implementation == attention
    with torch.inference_mode():
        assert torch.equal(bert.backbone(torch.from_numpy(PROBES[2]))[-1], state)


def test_an_export_is_the_same_each_time_and_changes_nothing_else(whole_toy, tmp_path, capfd):
    """Two machines have one fingerprint; logs and warnings are as before."""
    logger = logging.getLogger("torch.onnx")
    state = logger.level, list(warnings.filters)
    other = Toy(tmp_path / "export")
    assert other.export() == whole_toy.export()
    for file in ("export.json", other.graph().name):
        assert (other.folder / file).read_bytes() == (whole_toy.folder / file).read_bytes()
    assert capfd.readouterr() == ("", "")
    assert (logger.level, list(warnings.filters)) == state


class TinyBackbone(Backbone):
    """So few weights that the exporter keeps all of them in the graph."""

    def __init__(self):
        super().__init__()
        self.convolution = nn.Conv1d(1, 8, 5, padding=2)

    def forward(self, inputs):
        return (self.convolution(inputs[:, None]).transpose(1, 2),)


def without_empty_files(save):
    """Return a `_save_backbone` like that of exporters that write no file without content."""

    def saved(path, *arguments):
        last = save(path, *arguments)
        data = path.with_name(f"{path.name}.data")
        if data.stat().st_size == 0:
            data.unlink()
        return last

    return saved


@pytest.mark.parametrize("precision", ["float32", "int8"])
def test_a_backbone_of_few_weights_is_exported(tmp_path, monkeypatch, precision):
    """There is no weight large enough for the file beside the graph."""
    save = without_empty_files(_torch_export._save_backbone)
    monkeypatch.setattr(_torch_export, "_save_backbone", save)
    torch.manual_seed(0)
    backbone, head = TinyBackbone(), Head()
    probes = [np.linspace(-1, 1, 40 * n, dtype=np.float32).reshape(n, 40) for n in (2, 1)]
    job = ([head], partial(Network, backbone), lambda: probes, "x")
    ensure_exported(tmp_path / "float32", *job)
    ranges = ranges_of(tmp_path / "float32" / "backbone.onnx", list(probes[0]))
    folder = tmp_path / precision
    found = ensure_exported(folder, *job, precision=precision, ranges=ranges)
    assert found["verdicts"][0]["agrees"]
    (vectors,) = OnnxRunner(ensure_joined(folder, head.pieces(1)), "x").run(probes[1:], 1)
    with torch.inference_mode():
        expected = Network(backbone, [head])(torch.from_numpy(probes[1]))[0].numpy()
    limit = 1e-6 if precision == "float32" else 0.02
    np.testing.assert_allclose(vectors[0], expected, atol=limit)


def test_too_little_memory_is_an_error_and_no_verdict(toy, monkeypatch):
    """It says nothing about the network."""

    def too_large(*arguments):
        raise MemoryError

    monkeypatch.setattr(_torch_export, "_compare", too_large)
    with pytest.raises(MemoryError):
        toy.export()
    assert not (toy.folder / "export.json").exists()


def test_the_gate_reports_what_differs(toy, monkeypatch):
    """By how much, and what is allowed; the verdict is kept."""
    monkeypatch.setitem(
        PRECISIONS, "float32", replace(PRECISIONS["float32"], max_difference=-1.0, min_cosine=1.0)
    )
    report = toy.export()
    assert report["agrees"] is False
    assert report["reason"].startswith("ONNX Runtime in float32 differs from torch by ")
    assert report["reason"].endswith(" (limit -1e+00), cosine 1.000000 (limit 1.0)")
    assert toy.export() == report
    assert toy.n_built == 1


@pytest.mark.parametrize(
    ("change", "shown"),
    [
        (lambda vectors: vectors + 2e-4, "differs from torch by 0.0002 (limit 1e-04)"),
        (lambda vectors: -vectors, "cosine -1.000000 (limit 0.99999)"),
        (lambda vectors: vectors * np.nan, "differs from torch by nan"),
        (lambda vectors: np.where(vectors < 0, np.inf, vectors), "differs from torch by inf"),
        (lambda vectors: vectors[:, :3], "the export failed: "),
    ],
    ids=["shifted", "turned", "NaN", "infinite", "shorter"],
)
def test_the_gate_lets_nothing_else_through(toy, monkeypatch, change, shown):
    """One batch of three that is wrong is enough."""

    class WrongRunner(OnnxRunner):
        def _run(self, batch):
            answer = super()._run(batch)
            return tuple(map(change, answer)) if len(batch) == 1 else answer

    monkeypatch.setattr(_torch_export, "OnnxRunner", WrongRunner)
    report = toy.export()
    assert report["agrees"] is False
    assert shown in report["reason"]


def test_the_gate_is_relative_for_large_vectors(tmp_path):
    """States of thousands cannot agree to 1e-4."""
    toy = Toy(tmp_path / "export")
    with torch.no_grad():
        toy.backbone.embedding.weight *= 1e5
        toy.backbone.linear.weight *= 1e3
    report = toy.export(Head(layers=(1,)))
    assert report["agrees"], report["reason"]


def test_vectors_of_zeros_have_no_direction_to_differ_in(tmp_path):
    toy = Toy(tmp_path / "export")
    with torch.no_grad():
        for parameter in toy.backbone.parameters():
            parameter.zero_()
    report = toy.export(Head(layers=(1,)))
    assert report["agrees"], report["reason"]


def test_a_graph_that_does_not_load_is_a_verdict(toy, monkeypatch):
    """An estimator with backend="auto" then goes on with torch."""

    class NoRunner:
        def __init__(self, path, input_name, output=None):
            raise ModelFormatError("no kernel for this operator\nand more")

    monkeypatch.setattr(_torch_export, "OnnxRunner", NoRunner)
    assert toy.export() == {
        "agrees": False,
        "reason": "the export failed: ModelFormatError: no kernel for this operator",
    }


class Undecided(ToyBackbone):
    """Computes by the values of its input, which no graph can say."""

    def forward(self, inputs):
        states = super().forward(inputs)
        return states if bool(states[0].sum() > 0) else states[::-1]


def test_a_network_that_cannot_be_exported_is_a_verdict(toy):
    """In one line; global state is as before."""
    toy.backbone = Undecided()
    logger = logging.getLogger("torch.onnx")
    state = logger.level, list(warnings.filters)
    report = toy.export()
    assert report["agrees"] is False
    assert report["reason"].startswith("the export failed: ")
    assert "\n" not in report["reason"]
    assert toy.export() == report
    assert toy.n_built == 1
    assert (logger.level, list(warnings.filters)) == state
