"""What a network is: its fingerprints and its pickle."""

import pickle
from dataclasses import replace

import numpy as np
import pytest
from time_series import SERIES, SeriesPreprocessor
from tiny import save_tiny_bert

import skembed
from skembed import BertEmbedder
from skembed.models._head import Dense, Head
from skembed.models._projection import Projection
from skembed.network import _spec
from skembed.network._learned import Learned
from skembed.network._spec import FORMAT, NetworkSpec, folder_of


def test_one_bit_of_the_weights_is_another_fingerprint(tmp_path):
    folder = save_tiny_bert(tmp_path / "model", seed=8)
    before = BertEmbedder(folder, backend="torch").fit(["a"]).fingerprint_
    weights = folder / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    assert BertEmbedder(folder, backend="torch").fit(["a"]).fingerprint_ != before


# -- a spec by itself -----------------------------------------------------------------------------

DENSE = Dense("/somewhere/dense.safetensors", "d" * 64, "Tanh", False, 4)


def spec_of(**changes):
    fields = {
        "modality": SERIES,
        "model": "series-cnn",
        "revision": None,
        "seed": 0,
        "path": "/somewhere/series",
        "backbone_digest": "b" * 64,
        "head": Head(layers=(0, -1), pooling=("mean", "max"), truncate_dim=5, normalize=True),
        "preprocessor": SeriesPreprocessor(100),
        "output": None,
        "backend": "onnx",
        "precision": "float32",
        "device": "cpu",
        "ready_made": False,
        "n_states": 3,
        "report": {"agrees": True, "sha256": "e" * 64},
    }
    return NetworkSpec(**{**fields, **changes})


@pytest.fixture
def versions(monkeypatch):
    """Versions of libraries, the same wherever the tests run."""
    found = {"onnxruntime": "1.0", "torch": "2.0", "transformers": "5.0"}
    monkeypatch.setattr(_spec, "_version", found.__getitem__)
    return found


RECORDED = {
    "fingerprint": "2d9f0dbd4e44b2cc87112408dac379d408b558b988f51b46c01b1b44a0566a96",
    "pieces": [
        "3746a1cfca280bbfd138a8c94bcca9f71c7e6a8ced601ddca378ae84b761102b",
        "ab96f20c38a999e2e9f0effd5ddde3e6639a782fa2aa497aa035a336f9dc29f9",
        "b0e4014012ebbcf75f6a60d9b890bbd27f0a4af7bfcd8f2a5580e48169f80d41",
        "49554c5ce5e2e8cb68c77a7d58d50eb9c2ac05c8f74aecfb7268ade3ac87d056",
    ],
}


def test_a_fingerprint_is_the_same_as_ever(versions):
    """A change of what it is made of forgets the cached vectors of all users.

    Raise FORMAT and record the new values if skembed computes other vectors; otherwise restore what
    a fingerprint is made of.
    """
    spec = spec_of()
    assert FORMAT == 2
    assert spec.fingerprint == RECORDED["fingerprint"]
    assert spec.fingerprints == RECORDED["pieces"]


@pytest.mark.parametrize(
    "changes",
    [
        {"backbone_digest": "c" * 64},
        {"preprocessor": SeriesPreprocessor(99)},
        {"backend": "torch"},
        {"precision": "int8"},
        {"device": "cuda"},
        {"output": "second"},
        {"report": {"agrees": True, "sha256": "f" * 64}},
        {"learned": Learned(ranges=((0.0, 1.0),))},
        {"learned": Learned(weights=b"weights")},
    ],
    ids=lambda changes: "-".join(changes),
)
def test_what_changes_every_vector_changes_all_fingerprints(versions, changes):
    before, after = spec_of(), spec_of(**changes)
    assert before.fingerprint != after.fingerprint
    assert set(before.fingerprints).isdisjoint(after.fingerprints)


def test_another_version_of_a_library_is_another_network(versions):
    spec = spec_of()
    before = spec.fingerprint, spec.fingerprints
    versions["torch"] = "2.1"  # of the other backend
    assert (spec.fingerprint, spec.fingerprints) == before
    versions["onnxruntime"] = "1.1"
    assert spec.fingerprint != before[0]
    assert set(spec.fingerprints).isdisjoint(before[1])


@pytest.mark.parametrize(
    "changes",
    [
        {"model": "other"},
        {"revision": "main"},
        {"path": "/elsewhere"},
        {"widths": (8,) * 4},
        {"n_dims": 5},
        {"report": {"agrees": True, "sha256": "e" * 64, "max_difference": 1e-6}},
    ],
    ids=lambda changes: "-".join(changes),
)
def test_what_changes_no_vector_changes_no_fingerprint(versions, changes):
    before, after = spec_of(), spec_of(**changes)
    assert before.fingerprint == after.fingerprint
    assert before.fingerprints == after.fingerprints


@pytest.mark.parametrize(
    "changes",
    [
        {"truncate_dim": 4},
        {"normalize": False},
        {"truncate_last": True},
        {"projection": Projection.of(np.ones((8, 5)))},
    ],
    ids=str,
)
def test_arithmetic_on_pieces_changes_only_the_heads_fingerprint(versions, changes):
    """The vectors of pieces are shared."""
    before = spec_of()
    after = spec_of(head=replace(before.head, **changes))
    assert before.fingerprint != after.fingerprint
    assert before.fingerprints == after.fingerprints


def test_the_order_of_layers_and_poolings_changes_only_the_heads_fingerprint(versions):
    before = spec_of()
    after = spec_of(head=replace(before.head, layers=(-1, 0), pooling=("max", "mean")))
    assert before.fingerprint != after.fingerprint
    assert before.fingerprints == after.fingerprints


def test_layers_have_one_name_from_either_end(versions):
    ends = [spec_of(head=Head(layers=layers)) for layers in ((-1,), (2,))]
    assert ends[0].fingerprint == ends[1].fingerprint
    assert ends[0].fingerprints == ends[1].fingerprints


def test_projections_have_fingerprints_of_their_own(versions):
    matrix = np.ones((8, 5), np.float32)
    found = {None: spec_of().fingerprint}
    for scale in (1, 2):
        head = replace(spec_of().head, projection=Projection.of(scale * matrix))
        found[scale] = spec_of(head=head).fingerprint
        assert (
            spec_of(head=replace(head, projection=Projection.of(scale * matrix))).fingerprint
            == (found[scale])
        )
    assert len(set(found.values())) == 3


def test_a_dense_layer_is_its_content_and_not_its_path(versions):
    spec = spec_of(head=Head(dense=(DENSE,)))
    moved = spec_of(head=Head(dense=(replace(DENSE, weights="/elsewhere"),)))
    other = spec_of(head=Head(dense=(replace(DENSE, sha256="0" * 64),)))
    assert moved.fingerprints == spec.fingerprints != other.fingerprints


# -- its pieces -----------------------------------------------------------------------------------


def test_pieces_are_each_there_once_with_those_of_other_heads():
    spec = spec_of(precomputed=(Head(layers=(1,)), Head(layers=(-1,))))
    assert len(spec.head_pieces) == 4
    assert set(spec.pieces) == {*spec.head_pieces, Head(layers=(1,))}
    assert [piece.name for piece in spec.pieces] == sorted({p.name for p in spec.pieces})


def test_vectors_are_joined_in_the_order_of_the_head():
    spec = spec_of(head=Head(layers=(0, -1), pooling=("mean", "max")))
    vectors = {part: np.full((1, 2), i, np.float32) for i, part in enumerate(spec.head_pieces)}
    of_pieces = [vectors[piece] for piece in spec.pieces]
    assert spec.finished(of_pieces).tolist() == [[0, 0, 1, 1, 2, 2, 3, 3]]
    assert spec.of_tokens(of_pieces).tolist() == [[0, 0, 1, 1, 2, 2, 3, 3]]


def test_a_ready_made_graph_gives_finished_vectors():
    vectors = np.ones((2, 9), np.float32)
    assert spec_of(ready_made=True).finished([vectors]) is vectors


# -- its pickle -----------------------------------------------------------------------------------


def test_a_pickle_leaves_out_what_is_as_by_default():
    spec = spec_of(report=None, n_states=None)
    state = spec.__getstate__()
    assert set(state).isdisjoint(
        {"precomputed", "learned", "n_states", "widths", "n_dims", "report"}
    )
    again = pickle.loads(pickle.dumps(spec))
    assert again == spec
    assert again.learned == Learned()
    assert again.modality is SERIES


def test_a_pickle_keeps_what_differs():
    learned = Learned(ranges=((0.0, 1.0),), weights=b"weights")
    spec = spec_of(learned=learned, n_dims=5, widths=(8, 8), precomputed=(Head(layers=(1,)),))
    assert pickle.loads(pickle.dumps(spec)) == spec


def test_a_pickle_of_fewer_fields_gets_the_defaults():
    """As a version of skembed before a field was added wrote it."""
    spec = spec_of(n_dims=5)
    state = spec.__getstate__()
    del state["n_dims"]
    again = object.__new__(NetworkSpec)
    again.__setstate__(state)
    assert again == replace(spec, n_dims=0)


# -- its folder -----------------------------------------------------------------------------------


def test_a_seed_means_random_weights(tmp_path):
    """One folder for a seed and an architecture, with the weights in it."""
    with skembed.config_context(cache_folder=tmp_path):
        folders = [folder_of(SERIES, "series-cnn", None, seed) for seed in (0, 0, 1)]
        assert folders[0].digest == folders[1].digest != folders[2].digest
        assert folder_of(SERIES, folders[0].path, None, None).digest == folders[0].digest
