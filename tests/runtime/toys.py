"""Networks that are exported in no time, and exports of a BERT."""

import contextlib
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import nn

from skembed.models._head import Head
from skembed.models._modules import Network
from skembed.runtime import _torch_export
from skembed.runtime._export import ensure_exported
from skembed.runtime._export_folder import ensure_joined
from skembed.runtime._onnx import OnnxRunner

random = np.random.default_rng(0)
PROBES = [random.integers(5, 60, shape) for shape in [(2, 11), (1, 4), (3, 40)]]
OTHERS = [random.integers(5, 60, shape) for shape in [(1, 3), (5, 23)]]

MEAN = Head()


class ToyBackbone(nn.Module):
    """A backbone of three states that is exported in no time."""

    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(64, 4)
        self.linear = nn.Linear(4, 4)
        torch.manual_seed(0)
        for parameter in self.parameters():
            nn.init.normal_(parameter)

    attentions = ("only",)

    def attention(self, name):
        return contextlib.nullcontext()

    def forward(self, inputs):
        states = self.embedding(inputs)
        return states, self.linear(states), self.linear(states).tanh()


class Toy:
    """Counts how often it was asked for its network, which is when it is exported."""

    def __init__(self, folder):
        self.folder = folder
        self.n_built = 0
        self.backbone = ToyBackbone()

    def export(self, head=MEAN, **given):
        """Return the verdict on a piece."""

        def make_network(pieces):
            self.n_built += 1
            return Network(self.backbone, pieces)

        export = ensure_exported(
            self.folder, [head], make_network, lambda: PROBES, "input_ids", **given
        )
        (verdict,) = export["verdicts"]
        return verdict

    def graph(self):
        return ensure_joined(self.folder, MEAN.pieces(3))

    def vectors(self, inputs=PROBES):
        return [answer for (answer,) in OnnxRunner(self.graph(), "input_ids").run(inputs, 1)]

    def is_right(self):
        network = Network(self.backbone, [MEAN])
        with torch.inference_mode():
            expected = [network(torch.from_numpy(item))[0].numpy() for item in OTHERS]
        pairs = zip(self.vectors(OTHERS), expected, strict=True)
        return all(np.allclose(ours, theirs, atol=1e-6, rtol=0) for ours, theirs in pairs)


to_onnx = _torch_export._to_onnx
known_programs = {}


def to_onnx_once(module, arguments, input_names, output_names, dynamic_shapes):
    """Export equal toys once: these tests are about what is done with the answer."""
    kind = type(module).__name__
    if kind not in known_programs:
        known_programs[kind] = to_onnx(module, arguments, input_names, output_names, dynamic_shapes)
    return known_programs[kind]


class BertExport(NamedTuple):
    """A BERT and the folder that its backbone, and one head, were exported to."""

    backbone: nn.Module
    folder: Path
    before: tuple  # its attention and a state, before the export


def export_pieces(bert, pieces, **given):
    export = ensure_exported(
        *(bert.folder, pieces, partial(Network, bert.backbone), lambda: PROBES, "input_ids"),
        **given,
    )
    return export["verdicts"]
