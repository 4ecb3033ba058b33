"""Random changes of network inputs in training, which leave their meaning as it is.

A change takes a batch of network inputs and returns one of the same shape: images,
(n_rows, n_channels, height, width); log-mel spectrograms, (n_rows, n_frames, n_bands); or
waveforms, (n_rows, n_samples). Each row is changed in its own way. Random numbers come from torch's
global generator of the CPU, so that a seed determines the changes on every device. Whole batches
are changed at once. Imports torch, and so imported only when a network is trained.
"""

import functools
import math

import torch
from torch.nn.functional import grid_sample, pad

# Luminance of red, green and blue.
_GRAY = (0.299, 0.587, 0.114)


def augmentation(kind, objective):
    """Return the changes of ``augment="auto"``.

    Parameters
    ----------
    kind : str
        `Modality.kind`: "images", "sounds" or another one.
    objective : str
        Name of the objective. ``"simclr"`` has nothing but the changes to learn from, so they are
        strong.

    Returns
    -------
    augment : callable or None
        Takes a batch of network inputs, returns one of the same shape. None: no changes are known.
    """
    steps = _STEPS.get((kind, objective), _STEPS.get((kind, None)))
    return steps and functools.partial(_applied, steps)


def _applied(steps, batch):
    for step in steps:
        batch = step(batch)
    return batch


def _uniform(batch, low, high):
    """Draw a number for each row, from `low` to `high`."""
    return (torch.rand(len(batch)) * (high - low) + low).to(batch.device)


def _chosen(batch, share):
    """Return a mask over the rows, True with the probability `share`."""
    return (torch.rand(len(batch)) < share).to(batch.device)


def _by_row(values, batch):
    """Shape one value a row so that it broadcasts against the batch."""
    return values.reshape(-1, *[1] * (batch.ndim - 1)).to(batch.dtype)


# -- images ---------------------------------------------------------------------------------------


def flipped(images, share=0.5):
    """Mirror some of the images left to right."""
    return torch.where(_by_row(_chosen(images, share), images) > 0, images.flip(-1), images)


def shifted(images, share=1 / 8):
    """Move each image by up to a share of its height and width; reflect it at the edges."""
    height, width = images.shape[-2:]
    most = (min(height - 1, round(share * height)), min(width - 1, round(share * width)))
    wide = pad(images, (most[1], most[1], most[0], most[0]), mode="reflect")
    top, left = (torch.randint(2 * n + 1, (len(images),)).to(images.device)[:, None] for n in most)
    rows = top + torch.arange(height, device=images.device)
    columns = left + torch.arange(width, device=images.device)
    each = torch.arange(len(images), device=images.device)
    # Indices before and after the slice: the axis of the channels comes last.
    moved = wide[each[:, None, None], :, rows[:, :, None], columns[:, None, :]]
    return moved.permute(0, 3, 1, 2).to(images.dtype)


def cropped(images, area=(0.2, 1.0), ratio=4 / 3):
    """Cut a rectangle out of each image, and resize it to the size of the image.

    Parameters
    ----------
    images : tensor of shape (n_rows, n_channels, height, width)
        The batch.
    area : tuple of float
        Smallest and largest share of the image's area.
    ratio : float
        A rectangle is at most this much wider, or higher, than the image in proportion.
    """
    size = _uniform(images, *area).sqrt()
    stretch = torch.exp(_uniform(images, -math.log(ratio), math.log(ratio)) / 2)
    width, height = (size * stretch).clamp(max=1), (size / stretch).clamp(max=1)
    x, y = (_uniform(images, -1, 1) * (1 - share) for share in (width, height))
    return _resampled(images, (width, x), (height, y))


def _resampled(batch, horizontal, vertical):
    """Read images at ``scale * position + middle`` along each axis, edges at -1 and 1."""
    grids = []
    for (scale, middle), n in zip((horizontal, vertical), batch.shape[:-3:-1], strict=True):
        positions = (2 * torch.arange(n, device=batch.device) + 1) / n - 1
        grids.append(scale[:, None] * positions + middle[:, None])
    x, y = torch.broadcast_tensors(grids[0][:, None, :], grids[1][:, :, None])
    grid = torch.stack([x, y], dim=-1).to(batch.dtype)
    return grid_sample(batch, grid, padding_mode="reflection", align_corners=False)


def recolored(images, strength=0.4, share=0.8, gray=0.2):
    """Change brightness, contrast, saturation and the balance of colors.

    Images with another number of channels than three change in brightness and contrast alone.

    Parameters
    ----------
    images : tensor of shape (n_rows, n_channels, height, width)
        The batch.
    strength : float
        Largest change; 0.4 is from 60 % to 140 %.
    share : float
        Probability that an image is changed.
    gray : float
        Probability that an image loses its colors.
    """
    mean = images.mean(dim=(1, 2, 3), keepdim=True)
    spread = images.std(dim=(1, 2, 3), keepdim=True)
    changed = (images - mean) * _by_row(_uniform(images, 1 - strength, 1 + strength), images)
    changed = changed + mean + spread * _by_row(_uniform(images, -strength, strength), images)
    if images.shape[1] == 3:
        luminance = _luminance(changed)
        saturation = _by_row(_uniform(images, 1 - strength, 1 + strength), images)
        tint = 1 + strength / 4 * (2 * torch.rand(len(images), 3, 1, 1).to(images.device) - 1)
        changed = luminance + (changed - luminance) * saturation * tint.to(images.dtype)
    images = torch.where(_by_row(_chosen(images, share), images) > 0, changed, images)
    if images.shape[1] == 3:
        colorless = _by_row(_chosen(images, gray), images) > 0
        images = torch.where(colorless, _luminance(images), images)
    return images


def _luminance(images):
    weights = torch.tensor(_GRAY, device=images.device, dtype=images.dtype)
    return (images * weights[:, None, None]).sum(dim=1, keepdim=True)


# -- sounds: time is the axis 1 -------------------------------------------------------------------


def rolled(sounds, share=1.0):
    """Start each sound at another time; what is before it follows at the end."""
    n = sounds.shape[1]
    most = max(1, round(share * n))
    starts = torch.randint(most, (len(sounds),)).to(sounds.device)
    times = (starts[:, None] + torch.arange(n, device=sounds.device)) % n
    return sounds[torch.arange(len(sounds), device=sounds.device)[:, None], times]


def louder(sounds, strength=0.5):
    """Change the loudness: waveforms by a factor, logarithmic spectrograms by a constant."""
    if sounds.ndim == 2:
        return sounds * _by_row(torch.exp(_uniform(sounds, -strength, strength)), sounds)
    spread = sounds.std(dim=(1, 2), keepdim=True)
    return sounds + spread * _by_row(_uniform(sounds, -strength, strength), sounds)


def noisy(sounds, strength=0.1):
    """Add noise of up to a share of the sound's own deviation."""
    spread = sounds.std(dim=tuple(range(1, sounds.ndim)), keepdim=True)
    noise = torch.randn(sounds.shape).to(sounds.device, sounds.dtype)
    return sounds + noise * spread * _by_row(_uniform(sounds, 0, strength), sounds)


def warped(spectrograms, time=0.2, bands=0.1):
    """Stretch spectrograms along time, and stretch and move them along the bands.

    Speakers and instruments differ in pace, in pitch and in the length of their resonators.
    Waveforms are returned as they are.

    Parameters
    ----------
    spectrograms : tensor of shape (n_rows, n_frames, n_bands)
        The batch.
    time : float
        Largest change of the pace; 0.2 is from 80 % to 120 %.
    bands : float
        Largest change of the scale of the bands, and largest move as a share of all bands.
    """
    if spectrograms.ndim == 2:
        return spectrograms
    pace, scale = (_uniform(spectrograms, 1 - most, 1 + most) for most in (time, bands))
    # At a faster pace, reflection fills the ends; at a slower one, any part is read.
    start = _uniform(spectrograms, -1, 1) * (1 - pace).clamp(min=0)
    move = _uniform(spectrograms, -2 * bands, 2 * bands)
    return _resampled(spectrograms[:, None], (scale, move), (pace, start))[:, 0]


def masked(sounds, n_masks=1, time=0.15, bands=0.15):
    """Replace spans of time, and of bands in spectrograms, by the sound's mean (SpecAugment).

    Parameters
    ----------
    sounds : tensor of shape (n_rows, n_samples) or (n_rows, n_frames, n_bands)
        The batch.
    n_masks : int
        Number of spans along each axis.
    time, bands : float
        Longest span, as a share of the axis.

    References
    ----------
    D. S. Park et al., "SpecAugment: A Simple Data Augmentation Method for Automatic Speech
    Recognition", Interspeech 2019.
    """
    mean = sounds.mean(dim=tuple(range(1, sounds.ndim)), keepdim=True)
    for axis, longest in ((1, time), (2, bands))[: sounds.ndim - 1]:
        n = sounds.shape[axis]
        positions = torch.arange(n, device=sounds.device)
        for _ in range(n_masks):
            length = _uniform(sounds, 0, longest * n)[:, None]
            start = _uniform(sounds, 0, 1)[:, None] * (n - length)
            inside = (positions >= start) & (positions < start + length)
            inside = inside[:, :, None] if axis == 1 and sounds.ndim == 3 else inside
            inside = inside[:, None, :] if axis == 2 else inside
            sounds = torch.where(inside, mean, sounds)
    return sounds


def of_one_length(sounds):
    """Stack sounds of different lengths: short ones are repeated, from a random start.

    The mean and the maximum over time of a sound that is repeated are about its own. So vectors in
    training are like those of the sounds alone, which padding with silence would change.

    Parameters
    ----------
    sounds : list of tensor of shape (n_samples,) or (n_frames, n_bands)
        The rows of a batch.

    Returns
    -------
    batch : tensor of shape (n_rows, longest, ...)
        As long as the longest sound.
    """
    longest = max(map(len, sounds))
    rows = []
    for sound in sounds:
        start = int(torch.randint(len(sound), ())) if len(sound) < longest else 0
        rows.append(sound[(start + torch.arange(longest, device=sound.device)) % len(sound)])
    return torch.stack(rows)


# (Modality.kind, objective) -> the changes, one after the other; None: other objectives.
_STEPS: dict = {
    ("images", None): (shifted,),  # a mirrored digit or letter is another one
    ("images", "simclr"): (cropped, flipped, recolored),
    # Not rolled: a word that starts in its middle is another one.
    ("sounds", None): (warped, louder, masked),
    ("sounds", "simclr"): (
        rolled,
        functools.partial(warped, time=0.3, bands=0.15),
        louder,
        noisy,
        functools.partial(masked, n_masks=2, time=0.3, bands=0.3),
    ),
}
