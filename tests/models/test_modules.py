"""The torch head: layers, pooling, dense layers, truncating, normalizing, by hand-made sums.

`models/_head` describes heads as data; it is tested here, together with what it describes.
"""

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from skembed.base._digest import file_sha256
from skembed.base._poolings import POOLING_NAMES, POOLINGS
from skembed.models._head import Dense, Head
from skembed.models._modules import Network, PieceModule

STATES = torch.randn(3, 5, 4, generator=torch.Generator().manual_seed(0))


def dense(folder, in_features=4, out_features=4, activation="Tanh", residual=False, bias=True):
    """Write a dense layer's weights; return its description, and its weights by name."""
    random = torch.Generator().manual_seed(1)
    weights = {"linear.weight": torch.randn(out_features, in_features, generator=random)}
    if bias:
        weights["linear.bias"] = torch.randn(out_features, generator=random)
    if residual and in_features != out_features:
        weights["residual.weight"] = torch.randn(out_features, in_features, generator=random)
    path = folder / "model.safetensors"
    save_file(weights, path)
    return Dense(str(path), file_sha256(path), activation, residual, out_features), weights


def vectors_of(head, *states):
    """Pieces by torch, joined."""
    pieces = [PieceModule(piece)(states).detach().numpy() for piece in head.pieces()]
    return torch.from_numpy(head.finished(pieces))


def test_poolings_and_layers_are_laid_side_by_side():
    """Layers within a pooling, poolings in the order given."""
    other = STATES.flip(1) * 2
    vectors = vectors_of(Head(layers=(0, -1), pooling=("max", "mean")), STATES, other)
    joined = torch.cat([STATES, other], dim=-1)
    torch.testing.assert_close(vectors, torch.cat([joined.amax(1), joined.mean(1)], dim=-1))
    assert vectors.shape == (3, Head((0, -1), ("max", "mean")).n_dims(4))


@pytest.mark.parametrize("name", [name for name in POOLING_NAMES if name != "weighted_mean"])
def test_a_skipped_prompt_is_not_pooled(name):
    """The same as if its tokens were not there."""
    vectors = vectors_of(Head(pooling=(name,), skip=2), STATES)
    torch.testing.assert_close(vectors, POOLINGS[name].torch(STATES[:, 2:], 0))


def test_a_skipped_prompt_counts_in_the_weights_of_tokens():
    """As in Sentence Transformers: the tokens keep the weights of their places in the row."""
    vectors = vectors_of(Head(pooling=("weighted_mean",), skip=2), STATES)
    expected = (3 * STATES[:, 2] + 4 * STATES[:, 3] + 5 * STATES[:, 4]) / 12
    torch.testing.assert_close(vectors, expected)


def test_no_pooling_gives_one_vector_a_token():
    """The layers' states, side by side."""
    head = Head(layers=(0, 1), pooling=("mean",), skip=1, normalize=True).for_tokens()
    for piece in head.pieces():
        torch.testing.assert_close(PieceModule(piece)((STATES, STATES)), STATES)
    assert [piece.layers for piece in head.pieces()] == [(0,), (1,)]


def test_vectors_are_cut_before_they_are_normalized():
    """As models trained for it expect; a vector of zeros stays one."""
    states = STATES.clone()
    states[1] = 0
    vectors = vectors_of(Head(truncate_dim=2, normalize=True), states)
    mean = states.mean(1)[:, :2]
    torch.testing.assert_close(vectors[[0, 2]], (mean / mean.norm(dim=-1, keepdim=True))[[0, 2]])
    assert vectors[1].tolist() == [0, 0]


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(
    ("activation", "function"), [("Tanh", torch.tanh), ("Identity", lambda x: x)]
)
@pytest.mark.parametrize(("residual", "out_features"), [(False, 3), (True, 4), (True, 3)])
def test_dense_layers_are_what_their_weights_say(
    tmp_path, bias, activation, function, residual, out_features
):
    """Linear, activation, and what goes around them."""
    layer, weights = dense(tmp_path, 4, out_features, activation, residual, bias)
    head = Head(dense=(layer,))
    mean = STATES.mean(1)
    expected = mean @ weights["linear.weight"].T + weights.get("linear.bias", 0)
    expected = function(expected)
    if residual:
        around = weights.get("residual.weight", torch.eye(4))
        expected = expected + mean @ around.T
    vectors = vectors_of(head, STATES)
    torch.testing.assert_close(vectors, expected)
    assert vectors.shape == (3, head.n_dims(4))


def test_vectors_are_float32_whatever_the_backbone_computes_in():
    """States in reduced precision are pooled in float32."""
    for piece in Head(pooling=POOLING_NAMES).pieces():
        module = PieceModule(piece)
        vectors = module((STATES.bfloat16(),))
        assert vectors.dtype == torch.float32
        torch.testing.assert_close(vectors, module((STATES.bfloat16().float(),)))


class Layers(nn.Module):
    """A backbone whose layer i is the input plus i."""

    def forward(self, inputs):
        return tuple(inputs[..., None] + float(i) for i in range(3))


@pytest.mark.parametrize(("layers", "expected"), [((0,), [1]), ((-1,), [3]), ((1, -3), [2, 1])])
def test_layers_are_counted_as_the_documentation_says(layers, expected):
    """0 is the embedding layer, -1 the last."""
    network = Network(Layers(), Head(layers=layers).pieces())
    assert [piece.item() for piece in network(torch.ones(1, 4))] == expected
    assert not network.training


def test_settings_follow_the_content_and_not_the_place(tmp_path):
    """A head is the same wherever its dense layer's file lies, and another for other weights."""
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    one, _ = dense(tmp_path / "a")
    moved, _ = dense(tmp_path / "b")
    other, _ = dense(tmp_path / "b", bias=False)
    assert Head(dense=(one,)).settings() == Head(dense=(moved,)).settings()
    assert Head(dense=(one,)).settings() != Head(dense=(other,)).settings()


@pytest.mark.parametrize(
    ("head", "n_dims"),
    [
        (Head(), 16),
        (Head(layers=(0, 1, 2), pooling=("mean", "max")), 96),
        (Head(truncate_dim=5), 5),
        (Head(truncate_dim=99), 16),
        (Head(pooling=(), layers=(1, 2)), 32),
        (Head(pooling=("mean", "cls"), dense=(Dense("", "", "Tanh", False, 7),)), 7),
    ],
)
def test_a_head_knows_the_length_of_its_vectors(head, n_dims):
    """Before anything is loaded."""
    assert head.n_dims(16) == n_dims
    assert head.n_dims(None) is None


def test_poolings_of_maps():
    """Of a map as of its tokens; the generalized mean and the flattened map by numpy."""
    tokens = STATES.numpy()
    expected = np.cbrt((np.maximum(tokens, 1e-6) ** 3).mean(axis=1))
    np.testing.assert_allclose(POOLINGS["gem"].torch(STATES, 0).numpy(), expected, atol=1e-6)
    maps = torch.randn(2, 3, 4, 5)
    flat = vectors_of(Head(pooling=("flat",)), maps)
    np.testing.assert_array_equal(flat.numpy(), maps.flatten(1).numpy())
