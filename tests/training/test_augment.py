"""Random changes of network inputs: what they keep, what they change, and how a seed decides."""

import numpy as np
import pytest
import torch

from skembed.training import _augment
from skembed.training._augment import augmentation

IMAGES = torch.rand(64, 3, 12, 16, generator=torch.Generator().manual_seed(0))
MAPS = torch.randn(64, 30, 8, generator=torch.Generator().manual_seed(1))
WAVES = torch.randn(64, 400, generator=torch.Generator().manual_seed(2))

CASES = {
    "shifted": IMAGES,
    "flipped": IMAGES,
    "cropped": IMAGES,
    "recolored": IMAGES,
    "rolled": MAPS,
    "louder": MAPS,
    "noisy": MAPS,
    "warped": MAPS,
    "masked": MAPS,
}


@pytest.fixture(autouse=True)
def _seeded():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield


def changed(name, batch):
    return getattr(_augment, name)(batch.clone())


@pytest.mark.parametrize("name", CASES)
def test_a_seed_names_the_changes_and_another_seed_gives_others(name):
    batch = CASES[name]
    found = []
    for seed in (3, 3, 4):
        torch.manual_seed(seed)
        found.append(changed(name, batch))
    assert torch.equal(found[0], found[1])
    assert not torch.equal(found[0], found[2])


@pytest.mark.parametrize("name", CASES)
def test_shape_and_dtype_are_kept_and_the_given_batch_is_not_changed(name):
    batch = CASES[name].to(torch.bfloat16)
    before = batch.clone()
    result = getattr(_augment, name)(batch)
    assert result.shape == batch.shape
    assert result.dtype == batch.dtype
    assert result.isfinite().all()
    assert torch.equal(batch, before)


@pytest.mark.parametrize("name", CASES)
def test_each_row_is_changed_in_its_own_way(name):
    batch = CASES[name][:1].repeat(64, *[1] * (CASES[name].ndim - 1))
    rows = changed(name, batch).flatten(1)
    assert len({tuple(row.tolist()) for row in rows}) > (1 if name == "flipped" else 20)


@pytest.mark.parametrize("name", ["rolled", "louder", "noisy", "masked"])
def test_changes_of_sounds_take_waveforms(name):
    result = changed(name, WAVES)
    assert result.shape == WAVES.shape
    assert not torch.equal(result, WAVES)


def test_warping_leaves_waveforms_as_they_are():
    assert changed("warped", WAVES).equal(WAVES)


@pytest.mark.parametrize("name", ["shifted", "cropped", "recolored"])
def test_images_of_one_channel(name):
    assert changed(name, IMAGES[:, :1]).shape == (64, 1, 12, 16)


def test_flipped_images_are_mirrored_left_to_right():
    result = changed("flipped", IMAGES)
    mirrored = [torch.equal(a, b.flip(-1)) for a, b in zip(result, IMAGES, strict=True)]
    kept = [torch.equal(a, b) for a, b in zip(result, IMAGES, strict=True)]
    assert all(a != b for a, b in zip(mirrored, kept, strict=True))
    assert 16 < sum(mirrored) < 48


def test_shifted_images_are_cut_from_the_reflected_image():
    images = torch.arange(12 * 16.0).reshape(1, 1, 12, 16).repeat(32, 1, 1, 1)
    result = _augment.shifted(images, share=1 / 6)  # 2 rows, 3 columns
    wide = np.pad(images[0, 0].numpy(), ((2, 2), (3, 3)), mode="reflect")
    windows = np.lib.stride_tricks.sliding_window_view(wide, (12, 16)).reshape(-1, 12, 16)
    for image in result[:, 0].numpy():
        assert (image == windows).all(axis=(1, 2)).any()


def test_a_crop_of_the_whole_image_is_the_image():
    result = _augment.cropped(IMAGES, area=(1, 1), ratio=1)
    torch.testing.assert_close(result, IMAGES, rtol=0, atol=1e-5)


def test_crops_lie_within_the_image():
    """On a ramp, a crop reads values between the ends, in order, evenly spaced."""
    ramp = torch.linspace(0, 1, 32).expand(64, 1, 32, 32).contiguous()
    result = _augment.cropped(ramp, area=(0.25, 0.25), ratio=1)[:, 0, 16]
    steps = result.diff(dim=1)[:, 2:-2]
    assert torch.allclose(steps, torch.full_like(steps, 0.5 / 31), atol=1e-4)
    assert result.min() >= 0
    assert result.max() <= 1
    assert result[:, 0].max() > 0.4  # crops reach the right end


def test_gray_images_have_equal_channels_at_the_luminance():
    gray = _augment.recolored(IMAGES, share=0, gray=1)
    expected = torch.einsum("nchw,c->nhw", IMAGES, torch.tensor([0.299, 0.587, 0.114]))
    for channel in range(3):
        torch.testing.assert_close(gray[:, channel], expected)


def test_recoloring_without_strength_changes_nothing():
    result = _augment.recolored(IMAGES, strength=0, share=1, gray=0)
    torch.testing.assert_close(result, IMAGES, rtol=0, atol=1e-6)


def test_rolled_sounds_are_the_same_frames_in_circular_order():
    times = torch.arange(30.0)[None, :, None].expand(64, 30, 8)
    result = _augment.rolled(times)[..., 0]
    assert torch.equal(result.diff(dim=1) % 30, torch.ones(64, 29))
    assert len(set(result[:, 0].tolist())) > 15


def test_louder_sounds_are_scaled_or_moved():
    factors = _augment.louder(WAVES, strength=0.5) / WAVES
    assert torch.allclose(factors, factors[:, :1], rtol=1e-4)
    assert factors.log().abs().max() <= 0.501
    moves = _augment.louder(MAPS, strength=0.5) - MAPS
    assert torch.allclose(moves, moves[:, :1, :1].expand_as(moves), atol=1e-5)


def test_warping_by_nothing_is_the_identity():
    result = _augment.warped(MAPS, time=0, bands=0)
    torch.testing.assert_close(result, MAPS, rtol=0, atol=1e-5)


def test_warping_changes_the_pace_and_moves_the_bands():
    times = torch.arange(60.0)[None, :, None].expand(64, 60, 8).contiguous()
    paces = _augment.warped(times, time=0.2, bands=0)[:, 20:40, 4].diff(dim=1).mean(dim=1)
    assert 0.79 < paces.min() < 0.9
    assert 1.1 < paces.max() < 1.21
    bands = torch.arange(40.0).expand(64, 10, 40).contiguous()
    middles = _augment.warped(bands, time=0, bands=0.1)[:, 5, 19]
    assert 14 < middles.min() < 18
    assert 21 < middles.max() < 25


@pytest.mark.parametrize("sounds", [MAPS, WAVES])
def test_masked_spans_hold_the_mean_and_the_rest_is_kept(sounds):
    result = _augment.masked(sounds, n_masks=1, time=0.2, bands=0.25)
    means = sounds.mean(dim=tuple(range(1, sounds.ndim)), keepdim=True).expand_as(sounds)
    inside = result != sounds
    assert torch.equal(result[inside], means[inside])
    shares = inside.flatten(1).float().mean(dim=1)
    assert 0 < shares.mean() < 0.45
    assert shares.max() > 0.1


def test_sounds_of_several_lengths_are_repeated_to_the_longest():
    sounds = [torch.arange(n)[:, None] for n in (5, 12, 7, 12)]
    batch = _augment.of_one_length(sounds)
    assert batch.shape == (4, 12, 1)
    for row, sound in zip(batch[..., 0], sounds, strict=True):
        n = len(sound)
        assert torch.equal(row.diff() % n, torch.ones(11, dtype=torch.int64))
    assert torch.equal(batch[1], sounds[1])
    starts = {int(_augment.of_one_length(sounds)[0, 0]) for _ in range(40)}
    assert starts == {0, 1, 2, 3, 4}


@pytest.mark.parametrize("objective", ["classification", "supcon", "simclr"])
@pytest.mark.parametrize(("kind", "batch"), [("images", IMAGES), ("sounds", MAPS)])
def test_automatic_changes(kind, objective, batch):
    augment = augmentation(kind, objective)
    result = augment(batch)
    assert result.shape == batch.shape
    assert not torch.equal(result, batch)
    assert result.isfinite().all()


def test_automatic_changes_of_waveforms():
    assert augmentation("sounds", "simclr")(WAVES).shape == WAVES.shape


def test_no_changes_of_texts_are_known():
    assert augmentation("texts", "classification") is None


def test_colors_change_only_without_labels():
    """With labels, a color may be what distinguishes the classes, as of flowers."""
    even = torch.rand(64, 3, 1, 1).expand(64, 3, 8, 8).contiguous()
    torch.testing.assert_close(augmentation("images", "classification")(even), even)
    assert (augmentation("images", "simclr")(even) - even).abs().mean() > 0.05
