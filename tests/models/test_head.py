"""Heads: their pieces, names, lengths and arithmetic."""

from dataclasses import replace

import numpy as np
import pytest

from skembed.base._poolings import MAP_POOLING_NAMES, POOLING_NAMES
from skembed.models._head import Dense, Head
from skembed.models._modules import POOLINGS
from skembed.models._projection import Projection

DENSE = Dense("/a/dense.safetensors", "0" * 64, "Tanh", True, 6)
SWAPPED = Projection.of([[0, 1, 0], [1, 0, 0], [0, 0, 1]])
NARROW = Projection.of([[1, 0], [0, 1], [1, 0]])


def test_names_of_poolings_are_those_that_torch_computes():
    assert {*POOLING_NAMES, *MAP_POOLING_NAMES} == set(POOLINGS)


# -- pieces ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("head", "pieces"),
    [
        (Head(), [Head(layers=(2,))]),
        (
            Head(layers=(0, -1), pooling=("max", "cls"), skip=2),
            [
                Head(layers=(layer,), pooling=(name,), skip=2)
                for name in ("max", "cls")
                for layer in (0, 2)
            ],
        ),
        (Head(truncate_dim=3, normalize=True, truncate_last=True), [Head(layers=(2,))]),
        (
            Head(pooling=("mean", "max"), dense=(DENSE,), truncate_dim=3, normalize=True),
            [Head(layers=(2,), pooling=("mean", "max"), dense=(DENSE,))],
        ),
        (Head(layers=(1, -1), pooling=(), skip=2), [Head((1,), ()), Head((2,), ())]),
        (Head(projection=NARROW), [Head(layers=(2,))]),
        (Head(dense=(DENSE,), projection=NARROW), [Head(layers=(2,), dense=(DENSE,))]),
    ],
)
def test_pieces_have_one_layer_and_one_pooling(head, pieces):
    assert list(head.pieces(3)) == pieces


def test_layers_stay_as_they_are_where_their_number_is_not_known():
    assert Head(layers=(-1, 4)).pieces() == (Head(layers=(-1,)), Head(layers=(4,)))


def test_a_layer_that_is_not_there():
    with pytest.raises(IndexError):
        Head(layers=(3,)).pieces(3)


def test_a_piece_is_its_own_piece():
    for piece in Head(layers=(0, -1), pooling=("max", "cls"), skip=2).pieces(3):
        assert piece.pieces(3) == (piece,)


# -- settings and names ---------------------------------------------------------------------------


def test_settings_hold_contents_and_no_paths():
    settings = Head(dense=(DENSE,)).settings()
    assert settings["dense"] == (
        {"sha256": "0" * 64, "activation": "Tanh", "residual": True, "out_features": 6},
    )
    assert Head(dense=(replace(DENSE, weights="/b"),)).settings() == settings
    assert Head(projection=NARROW).settings() == {**Head().settings(), "projection": NARROW.digest}


def test_names_are_the_same_as_ever():
    """They name outputs of kept exports: another name is another export for all users."""
    assert Head().name == "0574f4c57593ff1b"
    assert Head((0,), ("max",), 2).name == "207a1ff23df76502"
    assert Head(dense=(DENSE,)).name == "82458e5bab740f86"


@pytest.mark.parametrize(
    "change",
    [
        {"layers": (0,)},
        {"pooling": ("max",)},
        {"skip": 1},
        {"dense": (DENSE,)},
        {"truncate_dim": 3},
        {"normalize": True},
        {"truncate_last": True},
        {"projection": NARROW},
    ],
    ids=lambda change: next(iter(change)),
)
def test_whatever_changes_a_vector_changes_the_name(change):
    assert replace(Head(), **change).name != Head().name


def test_moved_files_change_no_name():
    head = Head(dense=(DENSE, DENSE))
    moved = head.moved(lambda path: f"/moved{path}")
    assert [dense.weights for dense in moved.dense] == ["/moved/a/dense.safetensors"] * 2
    assert moved.name == head.name


# -- lengths --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("head", "n_dims"),
    [
        (Head(), 8),
        (Head(layers=(0, 1, -1), pooling=("mean", "max")), 48),
        (Head(pooling=()), 8),
        (Head(truncate_dim=3), 3),
        (Head(truncate_dim=30), 8),
        (Head(pooling=("mean", "max"), dense=(DENSE,)), 6),
        (Head(dense=(DENSE, replace(DENSE, out_features=4)), truncate_dim=5), 4),
        (Head(projection=Projection.of(np.ones((8, 12)))), 12),
        (Head(projection=Projection.of(np.ones((8, 12))), truncate_dim=10), 10),
        (Head(dense=(DENSE,), projection=Projection.of(np.ones((6, 2)))), 2),
    ],
)
def test_lengths(head, n_dims):
    assert head.n_dims(8) == n_dims
    assert head.n_dims(None) is None


# -- arithmetic -----------------------------------------------------------------------------------

PIECES = [
    np.array([[3.0, 4.0], [0.0, 0.0]], np.float32),
    np.array([[12.0], [2.0]], np.float32),
]


@pytest.mark.parametrize(
    ("head", "expected"),
    [
        (Head(), [[3, 4, 12], [0, 0, 2]]),
        (Head(truncate_dim=2), [[3, 4], [0, 0]]),
        (Head(normalize=True), [[3 / 13, 4 / 13, 12 / 13], [0, 0, 1]]),
        (Head(truncate_dim=2, normalize=True), [[0.6, 0.8], [0, 0]]),  # zeros stay zeros
        (Head(truncate_dim=2, normalize=True, truncate_last=True), [[3 / 13, 4 / 13], [0, 0]]),
        (Head(truncate_dim=2, truncate_last=True), [[3, 4], [0, 0]]),
        (Head(projection=NARROW), [[15, 4], [2, 0]]),
        (Head(truncate_dim=1, projection=NARROW), [[15], [2]]),
        (Head(normalize=True, projection=NARROW), [[15 / 241**0.5, 4 / 241**0.5], [1, 0]]),
        (Head(truncate_dim=2, normalize=True, projection=SWAPPED), [[0.8, 0.6], [0, 0]]),
        (
            Head(truncate_dim=2, normalize=True, truncate_last=True, projection=SWAPPED),
            [[4 / 13, 3 / 13], [0, 0]],
        ),
    ],
)
def test_pieces_are_joined_projected_cut_and_normalized(head, expected):
    vectors = head.finished(PIECES)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(vectors, expected, rtol=1e-6)


def test_a_row_does_not_depend_on_other_rows():
    vectors = np.random.default_rng(0).normal(size=(50, 333)).astype(np.float32)
    matrix = np.random.default_rng(1).normal(size=(333, 60))
    for head in (Head(normalize=True), Head(normalize=True, projection=Projection.of(matrix))):
        together = head.finished([vectors])
        for row in range(0, 50, 7):
            alone = head.finished([vectors[row : row + 1]])
            np.testing.assert_array_equal(together[row : row + 1], alone)


def test_long_and_short_vectors_keep_their_direction():
    """Squares of these values do not fit into float32."""
    vectors = np.array([[3e30, 4e30], [3e-10, 4e-10]], np.float32)
    np.testing.assert_allclose(
        Head(normalize=True).finished([vectors]), [[0.6, 0.8]] * 2, rtol=1e-6
    )


def test_what_has_unit_length():
    assert Head(normalize=True, truncate_dim=3).unit_length
    assert not Head(truncate_dim=3).unit_length
    assert not Head(normalize=True, truncate_dim=3, truncate_last=True).unit_length


def test_heads_without_what_follows_pooling():
    head = Head((0, 1), ("max",), 2, (DENSE,), 3, normalize=True, truncate_last=True)
    assert head.pooled() == Head((0, 1), ("max",), 2, (DENSE,))
    assert head.for_tokens() == Head((0, 1), ())
    projected = replace(head, projection=NARROW)
    assert projected.pooled() == head.pooled()
    assert projected.for_tokens() == head.for_tokens()


def test_a_pickle_without_a_projection_is_one_of_a_head_that_has_none():
    """As a version of skembed before there were projections wrote it."""
    state = vars(Head(truncate_dim=3)).copy()
    del state["projection"]
    again = object.__new__(Head)
    vars(again).update(state)
    assert again == Head(truncate_dim=3)
    assert again.settings() == Head(truncate_dim=3).settings()
