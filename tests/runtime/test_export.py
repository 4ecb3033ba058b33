"""Exports: equal to torch, made once, whole or not there, and never believed unchecked."""

import contextlib
import errno
import hashlib
import logging
import os
import shutil
import subprocess
import sys
import textwrap
import warnings
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from skembed.base._digest import file_sha256
from skembed.exceptions import ExportError, MissingDependencyError, ModelFormatError
from skembed.models._backbone import load_backbone
from skembed.models._head import POOLING_NAMES, Dense, Head
from skembed.models._modules import Network
from skembed.runtime import _torch_export
from skembed.runtime._export import ensure_exported
from skembed.runtime._export_folder import ensure_joined, write_standalone
from skembed.runtime._onnx import OnnxRunner
from skembed.runtime._precisions import PRECISIONS
from skembed.text._bert import TEXTS

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


# -- equal to torch ------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def dense(tmp_path_factory):
    path = tmp_path_factory.mktemp("dense") / "model.safetensors"
    generator = torch.Generator().manual_seed(0)
    weights = {"linear.weight": torch.randn(6, 32, generator=generator)}
    save_file(weights, path)
    return Dense(str(path), file_sha256(path), "Tanh", False, 6)


HEADS = {
    "each pooling": Head(pooling=POOLING_NAMES),
    "each pooling after a prompt": Head(pooling=POOLING_NAMES, skip=2),
    "layers": Head(layers=(0, 1, -1), pooling=("mean", "last")),
    "a layer twice": Head(layers=(-1, 2)),
    "cut and normalized": Head(layers=(-2,), truncate_dim=5, normalize=True),
    "tokens": Head(layers=(-1, 1)).for_tokens(),
    "dense": Head(pooling=("mean", "max"), normalize=True),  # and the dense layer of the fixture
}


class BertExport(NamedTuple):
    """A BERT and the folder that its backbone, and one head, were exported to."""

    backbone: nn.Module
    folder: Path
    before: tuple  # its attention and a state, before the export


@pytest.fixture(scope="session")
def bert(tiny_bert, tmp_path_factory):
    backbone = load_backbone(tiny_bert, TEXTS)
    with torch.inference_mode():
        before = (
            backbone.model.config._attn_implementation,
            backbone(torch.from_numpy(PROBES[2]))[-1],
        )
    export = BertExport(backbone, tmp_path_factory.mktemp("bert") / "export", before)
    export_pieces(export, HEADS["each pooling"].pieces())
    return export


def export_pieces(bert, pieces, **given):
    export = ensure_exported(
        *(bert.folder, pieces, partial(Network, bert.backbone), lambda: PROBES, "input_ids"),
        **given,
    )
    return export["verdicts"]


@pytest.mark.parametrize("name", HEADS)
def test_a_joined_head_gives_the_vectors_of_torch(bert, dense, name):
    """On inputs of other shapes than those it was exported and checked with."""
    head = HEADS[name]
    if name == "dense":
        head = replace(head, dense=(dense,))
    pieces = head.pieces(3)
    for verdict, piece in zip(export_pieces(bert, pieces), pieces, strict=True):
        assert verdict["agrees"], verdict["reason"]
        assert verdict["n_dims"] == piece.n_dims(16)
        assert verdict["max_difference"] < 1e-5
        assert verdict["min_cosine"] > 0.999999
    network = Network(bert.backbone, pieces)
    names = tuple(f"piece_{i}" for i in range(len(pieces)))
    parts = OnnxRunner(ensure_joined(bert.folder, pieces), "input_ids", names).run(OTHERS, 2)
    whole = [None] * len(OTHERS)
    if head.pooling:
        graph = ensure_joined(bert.folder, pieces, head)
        whole = [answer for (answer,) in OnnxRunner(graph, "input_ids").run(OTHERS, 2)]
    for item, ours, vectors in zip(OTHERS, parts, whole, strict=True):
        with torch.inference_mode():
            expected = [part.numpy() for part in network(torch.from_numpy(item))]
        for part, reference in zip(ours, expected, strict=True):
            assert part.dtype == np.float32
            np.testing.assert_allclose(part, reference, atol=1e-5, rtol=0)
        if head.pooling:  # the graph of an exported folder ends in the vector
            np.testing.assert_allclose(vectors, head.finished(expected), atol=1e-5, rtol=0)
            assert vectors.shape[1] == head.n_dims(16)


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


def test_pieces_are_the_same_to_the_bit_whatever_is_computed_beside_them(bert):
    pieces = Head(layers=(0, 1, 2), pooling=POOLING_NAMES).pieces(3)
    export_pieces(bert, pieces)
    names = tuple(f"piece_{i}" for i in range(len(pieces)))
    together = OnnxRunner(ensure_joined(bert.folder, pieces), "input_ids", names).run(OTHERS, 1)
    together = list(together)
    for i, piece in enumerate(pieces):
        alone = OnnxRunner(ensure_joined(bert.folder, [piece]), "input_ids").run(OTHERS, 1)
        for ours, (vectors,) in zip(together, alone, strict=True):
            np.testing.assert_array_equal(ours[i], vectors)


def test_the_backbone_computes_as_before_after_its_export(bert):
    """Its attention is what it was, and its states are the same to the bit."""
    attention, state = bert.before
    assert bert.backbone.model.config._attn_implementation == attention
    with torch.inference_mode():
        assert torch.equal(bert.backbone(torch.from_numpy(PROBES[2]))[-1], state)


# -- made once -----------------------------------------------------------------------------------


def test_an_export_is_made_once(there, whole_toy):
    """The second time nothing is built, and the report is the same."""
    assert there.export() == whole_toy.export()
    assert there.n_built == 0
    assert there.is_right()


def test_an_export_leaves_its_files_and_no_others(whole_toy):
    """The graph's digest is in the report."""
    names = {path.name for path in whole_toy.folder.iterdir()} - {"export.lock"}
    graph = whole_toy.graph()
    digest = graph.with_suffix(".sha256")
    assert names == {"backbone.onnx", "backbone.onnx.data", "export.json", graph.name, digest.name}
    assert digest.read_text() == hashlib.sha256(graph.read_bytes()).hexdigest()
    assert whole_toy.export()["reason"] == ""


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


def test_the_lock_of_a_process_that_died_holds_nobody_up(toy):
    """The system lets it go; its file may stay."""
    toy.folder.mkdir()
    code = (
        "import sys, filelock; lock = filelock.FileLock(sys.argv[1]); lock.acquire(); "
        "print('held', flush=True); sys.stdin.readline()"
    )
    command = [sys.executable, "-c", code, str(toy.folder / "export.lock")]
    pipes = dict.fromkeys(("stdin", "stdout"), subprocess.PIPE)
    with subprocess.Popen(command, text=True, **pipes) as holder:
        assert holder.stdout.readline() == "held\n"
        holder.kill()
        holder.wait(60)
    assert (toy.folder / "export.lock").exists()
    assert toy.export()["agrees"]


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
        path for path in toy.folder.iterdir() if path.name.startswith(("tmp", "export.json"))
    ]
    assert toy.export()["agrees"]
    assert toy.is_right()


def test_too_little_memory_is_an_error_and_no_verdict(toy, monkeypatch):
    """It says nothing about the network."""

    def too_large(*arguments):
        raise MemoryError

    monkeypatch.setattr(_torch_export, "_compare", too_large)
    with pytest.raises(MemoryError):
        toy.export()
    assert not (toy.folder / "export.json").exists()


@pytest.mark.parametrize("file", ["graph", "backbone.onnx", "backbone.onnx.data"])
def test_a_file_that_was_lost_is_made_again(there, file):
    """As a cleaner of old files leaves a cache folder."""
    (there.graph() if file == "graph" else there.folder / file).unlink()
    assert there.export()["agrees"]
    assert there.n_built == (0 if file == "graph" else 1)
    assert there.is_right()


# -- never believed unchecked --------------------------------------------------------------------


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


def test_without_the_exporter_the_remedy_is_named(toy, monkeypatch):
    """And no verdict is kept."""
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    with pytest.raises(MissingDependencyError, match=r"pip install 'skembed\[torch\]'"):
        toy.export()
    assert not (toy.folder / "export.json").exists()


# -- copies that stand alone ---------------------------------------------------------------------


def test_a_standalone_copy_needs_no_other_file(whole_toy, tmp_path):
    """It carries its weights, and gives the same vectors to the bit."""
    write_standalone(whole_toy.graph(), tmp_path / "model.onnx")
    assert [path.name for path in tmp_path.iterdir()] == ["model.onnx"]
    vectors = OnnxRunner(tmp_path / "model.onnx", "input_ids").run(PROBES, 1)
    for (ours,), theirs in zip(vectors, whole_toy.vectors(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_what_cannot_be_read_is_named(there, tmp_path):
    """The graph without its weights."""
    graph = there.graph()
    (there.folder / "backbone.onnx.data").unlink()
    with pytest.raises(ExportError, match=f"{graph} cannot be read: "):
        write_standalone(graph, tmp_path / "model.onnx")
    assert not (tmp_path / "model.onnx").exists()
