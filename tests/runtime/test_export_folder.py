"""The folder of an export: its files, graphs with heads, copies that stand alone."""

import hashlib
import json
import os
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from runtime.toys import OTHERS, PROBES, export_pieces
from skembed.base._digest import file_sha256
from skembed.base._poolings import POOLING_NAMES
from skembed.exceptions import ExportError
from skembed.models._head import Dense, Head
from skembed.models._modules import Network
from skembed.runtime._export_folder import (
    REPORT,
    dense_file,
    digest_of_backbone,
    ensure_joined,
    record_of,
    write,
    write_standalone,
)
from skembed.runtime._onnx import OnnxRunner


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


def test_an_export_leaves_its_files_and_no_others(whole_toy):
    """The graph's digest is in the report."""
    names = {path.name for path in whole_toy.folder.iterdir()} - {"export.lock"}
    graph = whole_toy.graph()
    digest = graph.with_suffix(".sha256")
    assert names == {"backbone.onnx", "backbone.onnx.data", "export.json", graph.name, digest.name}
    assert digest.read_text() == hashlib.sha256(graph.read_bytes()).hexdigest()
    assert whole_toy.export()["reason"] == ""


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


# -- its files one by one -------------------------------------------------------------------------

RECORD = {"failed": "", "sha256": "0", "n_states": 3, "pieces": {}}


@pytest.fixture
def recorded(tmp_path):
    """A folder with a record and the files of a backbone."""
    for name in ("backbone.onnx", "backbone.onnx.data"):
        (tmp_path / name).write_bytes(name.encode())
    (tmp_path / REPORT).write_text(json.dumps(RECORD))
    return tmp_path


def test_a_record_is_read_where_its_files_are(recorded):
    assert record_of(recorded) == RECORD
    (recorded / "backbone.onnx.data").unlink()
    assert record_of(recorded) is None


def test_a_record_of_a_failure_needs_no_files(tmp_path):
    record = {**RECORD, "failed": "the export failed: no kernel"}
    (tmp_path / REPORT).write_text(json.dumps(record))
    assert record_of(tmp_path) == record


@pytest.mark.parametrize(
    "content", ["", "{", "[]", "3", "{}", '{"failed": ""}', '{"failed": "", "pieces": []}', "\xff"]
)
def test_a_damaged_record_is_none(recorded, content):
    (recorded / REPORT).write_text(content)
    assert record_of(recorded) is None


def test_there_is_no_record_without_a_folder(tmp_path):
    assert record_of(tmp_path / "nowhere") is None


@pytest.mark.parametrize("file", ["backbone.onnx", "backbone.onnx.data"])
def test_the_digest_is_of_graph_and_weights(recorded, file):
    before = digest_of_backbone(recorded)
    assert digest_of_backbone(recorded) == before
    (recorded / file).write_bytes(b"others")
    assert digest_of_backbone(recorded) != before


def test_files_of_dense_layers_are_named_by_their_content(tmp_path):
    dense = Dense("/a", "0" * 64, "Tanh", False, 6)
    name = dense_file(tmp_path, Head(dense=(dense,)))
    assert name.name.startswith("dense-")
    assert dense_file(tmp_path, Head((0,), ("max",), dense=(replace(dense, weights="/b"),))) == name
    assert dense_file(tmp_path, Head(dense=(replace(dense, sha256="1" * 64),))) != name


def test_a_file_is_replaced_as_a_whole(tmp_path, monkeypatch):
    """Or not at all, and nothing is left beside it."""
    write(tmp_path / "file", b"old")
    write(tmp_path / "file", b"new")
    assert (tmp_path / "file").read_bytes() == b"new"

    def full(handle):
        raise OSError("No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write(tmp_path / "file", b"newer")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    assert (tmp_path / "file").read_bytes() == b"new"


@pytest.mark.parametrize("damage", ["graph", "mark", "no mark"])
def test_a_damaged_graph_of_a_head_is_joined_again(there, damage):
    """Without an export."""
    graph = there.graph()
    content, mark = graph.read_bytes(), graph.with_suffix(".sha256")
    if damage == "graph":
        graph.write_bytes(content[:-1])
    elif damage == "mark":
        mark.write_bytes(b"\xff")
    else:
        mark.unlink()
    assert there.graph() == graph
    assert graph.read_bytes() == content
    assert mark.read_text() == hashlib.sha256(content).hexdigest()
    assert there.n_built == 0
