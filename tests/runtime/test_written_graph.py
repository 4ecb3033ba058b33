"""Backbones that are written without torch: once, checked, with heads joined to them later."""

import json

import numpy as np
import pytest

from runtime.test_encoder_graph import OneLayer, read
from skembed.exceptions import ModelFormatError
from skembed.models._head import Head
from skembed.runtime._encoder_graph import NativeGraph
from skembed.runtime._export_folder import REPORT
from skembed.runtime._written_graph import ensure_written

PROBES = [np.arange(6).reshape(2, 3), np.arange(4).reshape(1, 4)]


class Counted(NativeGraph):
    """A graph that counts how often it is written."""

    def write(self, path):
        written.append(path)
        return super().write(path)


written = []


@pytest.fixture(autouse=True)
def _nothing_written():
    written.clear()


def ensure(folder, pieces=None, precision="float32", read=read, **given):
    source = Counted(OneLayer(), {"model_type": "one"}, read, "ids", precision)
    inputs = {"input_name": "ids"}
    given = {"precision": precision, **given}
    return ensure_written(folder, pieces or [Head()], source, None, lambda: PROBES, inputs, **given)


def test_a_backbone_is_written_once_for_all_heads(tmp_path):
    first = ensure(tmp_path)
    assert first["n_states"] == 2
    assert first["verdicts"] == [{"agrees": True, "reason": "", "n_dims": 16}]
    second = ensure(tmp_path, [Head(layers=(0,), pooling=("max",))])
    assert second["verdicts"][0]["n_dims"] == 32
    assert second["sha256"] == first["sha256"]
    assert len(written) == 1
    assert len(json.loads((tmp_path / REPORT).read_text())["pieces"]) == 2


def test_a_damaged_backbone_is_written_again_if_it_is_verified(tmp_path):
    ensure(tmp_path)
    whole = (tmp_path / "backbone.onnx").read_bytes()
    (tmp_path / "backbone.onnx").write_bytes(whole[:-3])
    ensure(tmp_path, verify=True)
    assert (tmp_path / "backbone.onnx").read_bytes() == whole


def test_integers_are_compared_with_float32(tmp_path):
    (verdict,) = ensure(tmp_path, precision="int8")["verdicts"]
    assert verdict["agrees"]
    assert 0.95 < verdict["min_cosine"] < 1


def test_vectors_that_are_not_finite(tmp_path):
    def broken(name, shape):
        return read(name, shape) * (np.float32("nan") if name == "words" else 1)

    (verdict,) = ensure(tmp_path, read=broken)["verdicts"]
    assert not verdict["agrees"]
    assert verdict["reason"] == "its vectors are not finite"


def test_nothing_is_left_of_a_graph_that_cannot_be_written(tmp_path):
    def broken(name, shape):
        raise ModelFormatError("a weight is missing")

    with pytest.raises(ModelFormatError, match="a weight is missing"):
        ensure(tmp_path, read=broken)
    assert not (tmp_path / REPORT).exists()
    assert ensure(tmp_path)["verdicts"][0]["agrees"]
