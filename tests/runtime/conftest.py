"""Exports that tests share."""

import shutil

import pytest
import torch

from runtime.toys import PROBES, BertExport, Toy, export_pieces, to_onnx_once
from skembed.base._poolings import POOLING_NAMES
from skembed.models._backbone import load_backbone
from skembed.models._head import Head
from skembed.runtime import _torch_export
from skembed.text._bert import TEXTS


@pytest.fixture
def toy(tmp_path, monkeypatch):
    monkeypatch.setattr(_torch_export, "_to_onnx", to_onnx_once)
    return Toy(tmp_path / "export")


@pytest.fixture(scope="session")
def whole_toy(tmp_path_factory):
    """An export that is there; tests copy it."""
    toy = Toy(tmp_path_factory.mktemp("toy") / "export")
    toy.export()
    toy.graph()
    return toy


@pytest.fixture
def there(whole_toy, toy):
    shutil.copytree(whole_toy.folder, toy.folder)
    return toy


@pytest.fixture(scope="session")
def bert(tiny_bert, tmp_path_factory):
    backbone = load_backbone(tiny_bert, TEXTS)
    with torch.inference_mode():
        before = (
            backbone.model.config._attn_implementation,
            backbone(torch.from_numpy(PROBES[2]))[-1],
        )
    export = BertExport(backbone, tmp_path_factory.mktemp("bert") / "export", before)
    export_pieces(export, Head(pooling=POOLING_NAMES).pieces())
    return export
