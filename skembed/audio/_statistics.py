"""Statistics of mel-frequency cepstral coefficients (MFCC), as a network whose weights are fixed.

This module imports torch; it is imported only when a network is loaded.
"""

import math

import torch
from torch import nn

from skembed.models._backbone import Backbone

_MARGIN = 2  # frames on each side, whose slope is the change at a frame


class MfccStatistics(Backbone):
    """Mean, standard deviation, minimum, maximum and change of MFCC over time.

    The change at a frame is the slope of a line through five frames; its standard deviation over
    time is returned. The only weight is the basis of the cosine transform.

    Parameters
    ----------
    n_mfcc : int, default=30
        Number of coefficients.
    n_mels : int, default=64
        Number of bands of the log-mel spectrograms.

    References
    ----------
    S. Davis, P. Mermelstein, "Comparison of Parametric Representations for Monosyllabic Word
    Recognition in Continuously Spoken Sentences", IEEE TASSP 28, 1980.
    """

    def __init__(self, n_mfcc=30, n_mels=64):
        super().__init__()
        angles = math.pi / n_mels * torch.outer(torch.arange(n_mels) + 0.5, torch.arange(n_mfcc))
        basis = angles.double().cos() * math.sqrt(2 / n_mels)
        basis[:, 0] /= math.sqrt(2)
        self.basis = nn.Parameter(basis.float())

    def forward(self, log_mel):
        """Spectrograms (n_rows, n_frames, n_mels) -> these, MFCC, statistics (n_rows, 1, n)."""
        mfcc = log_mel.to(self.basis.dtype) @ self.basis
        statistics = [mfcc.mean(dim=1), _deviation(mfcc), mfcc.amin(dim=1), mfcc.amax(dim=1)]
        statistics.append(_deviation(_change(mfcc)))
        return log_mel, mfcc, torch.cat(statistics, dim=1)[:, None]


def _deviation(values):
    """Return the standard deviation over time, zero for one frame."""
    return (values - values.mean(dim=1, keepdim=True)).square().mean(dim=1).sqrt()


def _change(values):
    """Return the slope at each frame, with the first and the last frame repeated at the ends."""
    first, last = values[:, :1], values[:, -1:]
    padded = torch.cat([first] * _MARGIN + [values] + [last] * _MARGIN, dim=1)
    n_frames = values.shape[1]
    steps = range(-_MARGIN, _MARGIN + 1)
    slopes = [step * padded[:, _MARGIN + step :][:, :n_frames] for step in steps if step]
    return sum(slopes) / sum(step**2 for step in steps)
