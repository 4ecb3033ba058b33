"""Exports: made once for all heads and processes, whole or not there."""

import contextlib
import errno
import os
import subprocess
import sys
import textwrap

import pytest

from runtime.toys import PROBES, export_pieces
from skembed.exceptions import MissingDependencyError
from skembed.models._head import Head
from skembed.runtime import _torch_export
from skembed.runtime._export import ensure_exported

# -- one export for all heads --------------------------------------------------------------------


def test_heads_are_joined_to_one_export_of_the_backbone(bert, monkeypatch):
    """Which takes the time, and holds the weights."""
    monkeypatch.setattr(_torch_export, "_export_backbone", None)
    (verdict,) = export_pieces(bert, [Head(layers=(0,), pooling=("last",))])
    assert verdict["agrees"]


def test_poolings_that_were_checked_with_the_backbone_need_no_torch(bert, tmp_path):
    """Of any layer, counted from either end."""
    bert = bert._replace(folder=tmp_path / "export")
    export_pieces(bert, Head().pieces(), poolings=("mean", "max"))

    def make_network(pieces):
        raise AssertionError("torch was asked")

    pieces = Head(layers=(0, -2, 2), pooling=("max", "mean")).pieces()
    export = ensure_exported(bert.folder, pieces, make_network, lambda: PROBES, "input_ids")
    assert all(verdict["agrees"] for verdict in export["verdicts"])


# -- made once -----------------------------------------------------------------------------------


def test_an_export_is_made_once(there, whole_toy):
    """The second time nothing is built, and the report is the same."""
    assert there.export() == whole_toy.export()
    assert there.n_built == 0
    assert there.is_right()


RACE = """
    import contextlib, os, sys
    from pathlib import Path
    import numpy as np
    from skembed.models._head import Head
    from skembed.runtime import _export
    from skembed.runtime._export import ensure_exported
    from skembed.runtime._export_folder import ensure_joined
    from skembed.runtime._onnx import OnnxRunner

    _export.in_child = False

    def make_network(pieces):
        with open("marker", "a") as marker:
            marker.write("x")
        import torch
        from skembed.models._modules import Network

        class Backbone(torch.nn.Embedding):
            attentions, attention = ("only",), contextlib.nullcontext
            def forward(self, inputs):
                return (super().forward(inputs),)

        torch.manual_seed(int(sys.argv[1]))
        return Network(Backbone(64, 4), pieces)

    print("ready", flush=True)
    sys.stdin.readline()
    probes = [np.arange(6).reshape(2, 3), np.arange(5).reshape(1, 5)]
    folder, pieces = Path("export"), Head().pieces(1)
    export = ensure_exported(folder, pieces, make_network, lambda: probes, "input_ids")
    assert export["verdicts"][0]["agrees"], export
    vectors = next(iter(OnnxRunner(ensure_joined(folder, pieces), "input_ids").run(probes, 1)))[0]
    print(vectors.tobytes().hex())
"""


def test_two_processes_that_want_one_export_make_it_once(tmp_path):
    """One makes it, the other waits and takes it: their seeds differ, their vectors do not."""
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(RACE), seed],
            cwd=tmp_path,
            text=True,
            **dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE),
        )
        for seed in "12"
    ]
    with contextlib.ExitStack() as stack:
        for process in processes:
            stack.enter_context(process)
            stack.callback(process.kill)
        for process in processes:
            assert process.stdout.readline() == "ready\n"
        for process in processes:
            process.stdin.write("go\n")
            process.stdin.flush()
        answers = [process.communicate(timeout=240) for process in processes]
    assert [process.returncode for process in processes] == [0, 0], answers
    assert (tmp_path / "marker").read_text() == "x"
    assert answers[0][0] == answers[1][0] != ""


# -- whole or not there --------------------------------------------------------------------------


class Crash(BaseException):
    """The end of the process, as far as the code is concerned."""


@pytest.mark.parametrize("file", ["backbone.onnx.data", "backbone.onnx", "export.json"])
@pytest.mark.parametrize("moment", ["before", "after"])
def test_after_a_crash_the_export_is_made_again(toy, monkeypatch, file, moment):
    """Whichever file was the last to be there: none that is there is half written."""
    replace_file = os.replace

    def crash(source, target):
        if os.path.basename(target) != file:
            return replace_file(source, target)
        if moment == "after":
            replace_file(source, target)
        raise Crash

    monkeypatch.setattr(os, "replace", crash)
    with pytest.raises(Crash):
        toy.export()
    monkeypatch.setattr(os, "replace", replace_file)
    # What a process that was killed could not tidy up.
    (toy.folder / "tmpleft").write_bytes(b"half a gr")
    (toy.folder / "tmpfolder").mkdir()
    (toy.folder / "tmpfolder" / "backbone.onnx").write_bytes(b"half a gr")
    whole = (file, moment) == ("export.json", "after")
    assert (toy.folder / "export.json").exists() == whole

    assert toy.export()["agrees"]
    assert toy.n_built == (1 if whole else 2)
    assert toy.is_right()


def test_a_full_disk_is_an_error_and_no_verdict(toy, monkeypatch):
    """Nothing half written stays, and the next try may succeed."""

    def full(handle):
        raise OSError(errno.ENOSPC, "No space left on device")

    fsync = os.fsync
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        toy.export()
    monkeypatch.setattr(os, "fsync", fsync)
    assert not [
        path for path in toy.folder.iterdir() if path.name.startswith((".", "tmp", "export.json"))
    ]
    assert toy.export()["agrees"]
    assert toy.is_right()


@pytest.mark.parametrize("file", ["graph", "backbone.onnx", "backbone.onnx.data"])
def test_a_file_that_was_lost_is_made_again(there, file):
    """As a cleaner of old files leaves a cache folder."""
    (there.graph() if file == "graph" else there.folder / file).unlink()
    assert there.export()["agrees"]
    assert there.n_built == (0 if file == "graph" else 1)
    assert there.is_right()


def test_without_the_exporter_the_remedy_is_named(toy, monkeypatch):
    """And no verdict is kept."""
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    with pytest.raises(MissingDependencyError, match=r"pip install 'skembed\[torch\]'"):
        toy.export()
    assert not (toy.folder / "export.json").exists()
