"""Log-mel spectrograms as a torch module, which precedes a network in its graph.

The Fourier transform is a matrix product with constant cosines and sines, since ONNX Runtime's own
operator is slow. The window is symmetric, so samples at the same distance from its middle are
combined: cosines are multiplied by their sums, sines by their differences. This halves the number
of products. Products are in float64: a quiet band beside a loud one would be lost in the rounding
of float32.

This module imports torch; it is imported only when a network is loaded.
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
        The settings.
    """

    def __init__(self, log_mel):
        super().__init__()
        self.log_mel = log_mel
        window, bands = log_mel.window(), log_mel.bands()
        used = bands.any(axis=1)
        # A periodic window starts with a zero, and is symmetric without it.
        self.start = int(log_mel.periodic)
        length = log_mel.win_length - self.start
        self.half = (length + 1) // 2
        weights = window[self.start :][: self.half].copy()
        if length % 2:
            weights[-1] /= 2  # the middle sample would be counted twice
        times = np.arange(self.half) - (length - 1) / 2
        angles = np.outer(times, 2 * np.pi / log_mel.n_fft * np.flatnonzero(used))
        cosines = weights[:, None] * np.cos(angles)
        sines = weights[:, None] * np.sin(angles)
        constants = {
            "cosines": cosines,
            "sines": sines,
            "bands": bands[used].astype(np.float32),
            # The spectrum of a frame of ones, to subtract means; its sines cancel.
            "ones": 2 * cosines.sum(axis=0),
        }
        for name, values in constants.items():
            self.register_buffer(name, torch.from_numpy(values), persistent=False)

    def forward(self, waveforms):
        """Compute log-mel spectrograms."""
        log_mel = self.log_mel
        power = self._power(waveforms.double()).float()  # no subtraction follows: float32 suffices
        bands = (power.sqrt() if log_mel.magnitude else power) @ self.bands
        values = (bands + log_mel.offset).clamp(min=log_mel.floor).log()
        values = values * _FACTORS[log_mel.log]
        values = values[:, :-1] if log_mel.drop_last else values
        if log_mel.dynamic_range is not None:
            loudest = values.amax(dim=(1, 2), keepdim=True)
            values = torch.maximum(values, loudest - log_mel.dynamic_range)
        if log_mel.n_frames is not None:
            # The padding always has `n_frames` frames, so that the graph has no condition.
            padding = torch.zeros_like(values[:, :1]).expand(-1, log_mel.n_frames, -1)
            values = torch.cat([values, padding], dim=1)[:, : log_mel.n_frames]
        return (values - log_mel.reference) / log_mel.spread

    def _power(self, waveforms):
        """Return the power spectrum of each frame, (n_rows, n_frames, n_bins) float64."""
        log_mel = self.log_mel
        if log_mel.center:
            margin = log_mel.win_length // 2
            waveforms = nn.functional.pad(waveforms, (margin, margin), mode="reflect")
        n_frames = (waveforms.shape[1] - log_mel.win_length) // log_mel.hop_length + 1
        starts = torch.arange(n_frames, device=waveforms.device) * log_mel.hop_length
        emphasized = waveforms
        if log_mel.preemphasis:
            # Of the whole waveform, as in `LogMel`.
            previous = torch.cat([waveforms[:, :1], waveforms[:, :-1]], dim=1)
            emphasized = waveforms - log_mel.preemphasis * previous
        inside = torch.arange(self.start, log_mel.win_length, device=waveforms.device)
        frames = emphasized[:, starts[:, None] + inside]
        left, right = frames[..., : self.half], frames.flip(-1)[..., : self.half]
        real = (left + right) @ self.cosines
        if log_mel.remove_mean:
            # Means are differences of running sums, and are subtracted from the spectrum: this
            # needs one number per frame instead of a second copy of all frames.
            sums = nn.functional.pad(waveforms.cumsum(dim=1), (1, 0))
            means = (sums[:, starts + log_mel.win_length] - sums[:, starts]) / log_mel.win_length
            real = real - (1 - log_mel.preemphasis) * means[..., None] * self.ones
        return real**2 + ((left - right) @ self.sines) ** 2


# Value of `log` -> factor of the natural logarithm.
_FACTORS = {"ln": 1.0, "log10": 1 / math.log(10), "dB": 10 / math.log(10)}
