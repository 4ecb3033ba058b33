"""The log-mel spectrogram as a torch module, to be put before a network in its graph.

Imports torch, and so imported only when a network is loaded.

The Fourier transform is a matrix product with fixed cosines, for ONNX Runtime's own is slow. The
window is symmetric, so that samples are taken in pairs around its middle: cosines see their sums,
sines their differences, which halves the products. Products are in float64: a quiet band beside a
loud one would be lost in the rounding of float32.
"""

import math

import numpy as np
import torch
from torch import nn


class LogMelModule(nn.Module):
    """(n_rows, n_samples) float32 -> (n_rows, n_frames, n_mels) float32.

    Parameters
    ----------
    log_mel : LogMel
        What it computes.
    """

    def __init__(self, log_mel):
        super().__init__()
        self.log_mel = log_mel
        window, bands = log_mel.window(), log_mel.bands()
        used = bands.any(axis=1)
        # A periodic window begins with a zero, and is symmetric without it.
        self.start = int(log_mel.periodic)
        length = log_mel.win_length - self.start
        self.half = (length + 1) // 2
        weights = window[self.start :][: self.half].copy()
        if length % 2:
            weights[-1] /= 2  # the sample in the middle is its own partner
        times = np.arange(self.half) - (length - 1) / 2
        angles = np.outer(times, 2 * np.pi / log_mel.n_fft * np.flatnonzero(used))
        cosines = weights[:, None] * np.cos(angles)
        sines = weights[:, None] * np.sin(angles)
        constants = {
            "cosines": cosines,
            "sines": sines,
            "bands": bands[used].astype(np.float32),
            # What a frame of ones would give; its sines cancel.
            "ones": 2 * cosines.sum(axis=0),
        }
        for name, values in constants.items():
            self.register_buffer(name, torch.from_numpy(values), persistent=False)

    def forward(self, waveforms):
        """Compute log-mel spectrograms."""
        log_mel = self.log_mel
        waveforms = waveforms.double()
        if log_mel.center:
            margin = log_mel.win_length // 2
            waveforms = nn.functional.pad(waveforms, (margin, margin), mode="reflect")
        n_frames = (waveforms.shape[1] - log_mel.win_length) // log_mel.hop_length + 1
        starts = torch.arange(n_frames, device=waveforms.device) * log_mel.hop_length
        emphasized = waveforms
        if log_mel.preemphasis:
            # Of the whole waveform: a frame's first sample, whose share is its own, weighs nothing.
            before = torch.cat([waveforms[:, :1], waveforms[:, :-1]], dim=1)
            emphasized = waveforms - log_mel.preemphasis * before
        inside = torch.arange(self.start, log_mel.win_length, device=waveforms.device)
        frames = emphasized[:, starts[:, None] + inside]
        left, right = frames[..., : self.half], frames.flip(-1)[..., : self.half]
        real = (left + right) @ self.cosines
        if log_mel.remove_mean:
            sums = nn.functional.pad(waveforms.cumsum(dim=1), (1, 0))
            means = (sums[:, starts + log_mel.win_length] - sums[:, starts]) / log_mel.win_length
            real = real - (1 - log_mel.preemphasis) * means[..., None] * self.ones
        # From here on nothing is subtracted, and float32 will do.
        power = (real**2 + ((left - right) @ self.sines) ** 2).float()
        bands = (power.sqrt() if log_mel.magnitude else power) @ self.bands
        values = (bands + log_mel.offset).clamp(min=log_mel.floor).log()
        values = values * _FACTORS[log_mel.log]
        values = values[:, :-1] if log_mel.drop_last else values
        if log_mel.dynamic_range is not None:
            loudest = values.amax(dim=(1, 2), keepdim=True)
            values = torch.maximum(values, loudest - log_mel.dynamic_range)
        if log_mel.n_frames is not None:
            filled = torch.zeros_like(values[:, :1]).expand(-1, log_mel.n_frames, -1)
            values = torch.cat([values, filled], dim=1)[:, : log_mel.n_frames]
        return (values - log_mel.reference) / log_mel.spread


# What makes of a natural logarithm the one that is asked for.
_FACTORS = {"ln": 1.0, "log10": 1 / math.log(10), "dB": 10 / math.log(10)}
