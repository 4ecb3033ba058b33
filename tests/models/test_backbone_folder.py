"""A network written and read again: equal states, or an error."""

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from skembed.exceptions import ExportError
from skembed.models import _backbone_folder
from skembed.models._backbone import load_backbone
from skembed.models._backbone_folder import write_backbone
from skembed.text._bert import TEXTS

PROBE = np.array([[2, 7, 9, 3]])


def write(source, folder, change=lambda backbone: None):
    return write_backbone(source, folder, TEXTS, change=change, stem=None, probe=PROBE)


def test_changed_weights_are_written(tiny_bert, tmp_path):
    def change(backbone):
        with torch.no_grad():
            backbone.model.encoder.layer[1].output.dense.weight.add_(0.5)

    assert write(tiny_bert, tmp_path, change) == 16
    before, after = (load_file(path / "model.safetensors") for path in (tiny_bert, tmp_path))
    assert set(before) == set(after)
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed == {"encoder.layer.1.output.dense.weight"}
    assert all(tensor.dtype == torch.float32 for tensor in after.values())


def test_a_network_in_half_precision_is_written_in_float32(tiny_bert, tmp_path):
    import transformers

    model = transformers.AutoModel.from_pretrained(tiny_bert).to(torch.bfloat16)
    model.save_pretrained(tmp_path / "half")
    (tmp_path / "folder").mkdir()
    write(tmp_path / "half", tmp_path / "folder")
    backbone = load_backbone(tmp_path / "folder", TEXTS)
    assert backbone.model.config.dtype == torch.float32


def test_a_network_that_is_read_differently_is_refused(tiny_bert, tmp_path, monkeypatch):
    """As a version of transformers that loses a weight would do."""

    def losing(folder, modality, load=_backbone_folder.load_model):
        loaded = load(folder, modality)
        if folder == tmp_path:
            with torch.no_grad():
                loaded.model.encoder.layer[1].output.dense.weight.zero_()
        return loaded

    monkeypatch.setattr(_backbone_folder, "load_model", losing)
    with pytest.raises(ExportError, match="changes when transformers saves and loads it"):
        write(tiny_bert, tmp_path)
