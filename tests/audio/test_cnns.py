"""Networks of our own for sounds: published names, shapes and counts; any length of sound."""

import pytest
import torch

from skembed.audio._cnns import Cnn14, CnnSmall, Vggish


def test_cnn14_is_the_published_architecture():
    """80,753,615 parameters, by names that its checkpoint has."""
    shapes = {name: tuple(weight.shape) for name, weight in Cnn14().named_parameters()}
    expected = {"bn0.weight": (64,), "bn0.bias": (64,)}
    channels = (1, 64, 128, 256, 512, 1024, 2048)
    for block in range(1, 7):
        n_in, n_out = channels[block - 1 : block + 1]
        name = f"conv_block{block}"
        expected[f"{name}.conv1.weight"] = (n_out, n_in, 3, 3)
        expected[f"{name}.conv2.weight"] = (n_out, n_out, 3, 3)
        for norm in ("bn1", "bn2"):
            expected |= {f"{name}.{norm}.weight": (n_out,), f"{name}.{norm}.bias": (n_out,)}
    expected |= {"fc1.weight": (2048, 2048), "fc1.bias": (2048,)}
    expected |= {"fc_audioset.weight": (527, 2048), "fc_audioset.bias": (527,)}
    assert shapes == expected
    assert sum(weight.numel() for weight in Cnn14().parameters()) == 80_753_615


def test_vggish_has_the_names_of_its_port():
    names = {name for name, _ in Vggish().named_parameters()}
    layers = [f"features.{i}" for i in (0, 3, 6, 8, 11, 13)] + [
        f"embeddings.{i}" for i in (0, 2, 4)
    ]
    assert names == {f"{layer}.{part}" for layer in layers for part in ("weight", "bias")}


@pytest.mark.parametrize(
    ("network", "n_frames", "n_blocks", "n_dims"),
    [
        (Cnn14, (32, 33, 101), 6, 2048),
        (CnnSmall, (1, 7, 200), 5, 512),
        (Vggish, (96,), 4, 128),
    ],
)
def test_states_are_maps_and_an_embedding(network, n_frames, n_blocks, n_dims):
    """Of any length that the network takes."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = network().eval()
    for n in n_frames:
        with torch.no_grad():
            *maps, embedding = network(torch.randn(2, n, 64))
        assert embedding.shape == (2, 1, n_dims)
        assert len(maps) == n_blocks
        assert all(state.ndim == 4 for state in maps)
        assert torch.isfinite(embedding).all()


def test_small_is_small():
    assert 0.9e6 < sum(weight.numel() for weight in CnnSmall().parameters()) < 1.1e6
