"""The folder of an export: its files, graphs with heads, copies that stand alone."""

import hashlib
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
from skembed.runtime._export_folder import ensure_joined, write_standalone
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
