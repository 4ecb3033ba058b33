"""Log-mel spectrograms: their settings, presets of published networks, and NumPy's computation.

The torch module for graphs (`_log_mel_module`) uses the same matrices.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import scipy.fft
from numpy.lib.stride_tricks import sliding_window_view

_MAX_SIZE, _MAX_FFT = 1_000_000, 65_536


@dataclass(frozen=True)
class LogMel:
    """Compute log-mel spectrograms of waveforms.

    Parameters
    ----------
    sampling_rate : int
        Sampling rate of the waveforms, in Hz.
    n_mels : int
        Number of mel bands.
    n_fft : int
        Length of the Fourier transform, in samples.
    win_length : int
        Length of the Hann window, in samples. Frames are padded with zeros to `n_fft`.
    hop_length : int
        Distance between the starts of consecutive frames, in samples.
    f_min, f_max : float
        Lower edge of the lowest band and upper edge of the highest band, in Hz.
    mel_scale : {"htk", "slaney", "kaldi"}, default="slaney"
        Formula of the mel scale: O'Shaughnessy's ("htk"), or Slaney's, which is linear below 1,000
        Hz. "kaldi" is the former with bands that are triangles over mel instead of Hz.
    area : bool, default=True
        Whether to divide each band by its width.
    center : bool, default=True
        Whether the first frame is centered on the first sample, with the waveform reflected at its
        ends. False: the first frame starts with the first sample.
    periodic : bool, default=True
        Whether the window is periodic. False: symmetric.
    preemphasis : float, default=0.0
        Factor of the previous sample, which is subtracted from each sample.
    remove_mean : bool, default=False
        Whether to subtract the mean of each frame.
    magnitude : bool, default=False
        Whether bands are sums of magnitudes. False: sums of squared magnitudes.
    log : {"dB", "ln", "log10"}, default="dB"
        Logarithm of the bands; "dB" is ten times log10.
    floor : float, default=1e-10
        Minimum of the bands.
    offset : float, default=0.0
        Added to the bands before the logarithm.
    dynamic_range : float or None, default=None
        Maximum difference to the largest value of the window. Smaller values are raised. None: no
        limit.
    drop_last : bool, default=False
        Whether to drop the last frame.
    n_frames : int or None, default=None
        Number of frames, by cutting or padding with zeros. None: not changed.
    reference : float, default=0.0
        Subtracted after the logarithm.
    spread : float, default=1.0
        Divisor applied last.

    Examples
    --------
    >>> second = np.zeros(32000, dtype=np.float32)
    >>> PRESETS["panns"](second).shape
    (101, 64)
    """

    sampling_rate: int
    n_mels: int
    n_fft: int
    win_length: int
    hop_length: int
    f_min: float
    f_max: float
    mel_scale: str = "slaney"
    area: bool = True
    center: bool = True
    periodic: bool = True
    preemphasis: float = 0.0
    remove_mean: bool = False
    magnitude: bool = False
    log: str = "dB"
    floor: float = 1e-10
    offset: float = 0.0
    dynamic_range: float | None = None
    drop_last: bool = False
    n_frames: int | None = None
    reference: float = 0.0
    spread: float = 1.0

    def __post_init__(self):
        for name, known in (("mel_scale", _SCALES), ("log", _LOGS)):
            if getattr(self, name) not in known:
                raise ValueError(
                    f"{name} must be one of {list(known)}; got {getattr(self, name)!r}."
                )
        sizes = ("sampling_rate", "n_mels", "n_fft", "win_length", "hop_length", "n_frames")
        for name in sizes:
            value = getattr(self, name)
            if not (value is None and name == "n_frames") and not 1 <= value <= _MAX_SIZE:
                raise ValueError(f"{name} must be from 1 to {_MAX_SIZE:,}; got {value!r}.")
        if max(self.n_fft, self.n_mels) > _MAX_FFT:
            raise ValueError(
                f"n_fft={self.n_fft} and n_mels={self.n_mels} must be at most {_MAX_FFT:,}."
            )
        if not 0 < self.hop_length or not 0 < self.win_length <= self.n_fft:
            raise ValueError(
                f"hop_length={self.hop_length}, win_length={self.win_length} and n_fft="
                f"{self.n_fft} must be positive, and win_length at most n_fft."
            )
        if not 0 <= self.f_min < self.f_max <= self.sampling_rate / 2 or self.n_mels < 1:
            raise ValueError(
                f"{self.n_mels} bands from f_min={self.f_min} to f_max={self.f_max} do not fit "
                f"between 0 and half of the sampling rate, {self.sampling_rate / 2:g} Hz."
            )

    @property
    def shortest(self):
        """Minimum length of a waveform, in samples."""
        return self.win_length // 2 + 1 if self.center else self.win_length

    def count(self, n_samples):
        """Return the number of frames of a waveform of `n_samples` samples."""
        if self.n_frames is not None:
            return self.n_frames
        margin = 2 * (self.win_length // 2) if self.center else 0
        return 1 + (n_samples + margin - self.win_length) // self.hop_length - self.drop_last

    def window(self):
        """Return the Hann window, (win_length,) float64."""
        length = self.win_length + self.periodic
        return np.hanning(length)[: self.win_length]

    def bands(self):
        """Return the weights of the Fourier bins in the mel bands, (n_bins, n_mels) float64.

        Each band is a triangle: it rises from the middle of the band below to its own middle, and
        falls to the middle of the band above.
        """
        to_mel = _TO_MEL[_SCALES[self.mel_scale]]
        edges = np.linspace(to_mel(self.f_min), to_mel(self.f_max), self.n_mels + 2)
        bins = np.arange(self.n_fft // 2 + 1) * (self.sampling_rate / self.n_fft)
        if self.mel_scale == "kaldi":  # compare on the mel scale, else in Hz
            bins = to_mel(bins)
        else:
            edges = _FROM_MEL[self.mel_scale](edges)
        low, middle, high = edges[:-2], edges[1:-1], edges[2:]
        rising = (bins[:, None] - low) / (middle - low)
        falling = (high - bins[:, None]) / (high - middle)
        bands = np.maximum(0, np.minimum(rising, falling))
        return bands * 2 / (high - low) if self.area else bands

    def module(self):
        """Return the torch module that computes the same spectrograms in a graph."""
        from skembed.audio._log_mel_module import LogMelModule

        return LogMelModule(self)

    def _frames(self, waveform):
        """Return overlapping views of a waveform, (n_frames, win_length)."""
        return sliding_window_view(waveform, self.win_length)[:: self.hop_length]

    def __call__(self, waveform):
        """Return the log-mel spectrogram of a waveform.

        Parameters
        ----------
        waveform : ndarray of shape (n_samples,), float32
            Samples from -1 to 1.

        Returns
        -------
        spectrogram : ndarray of shape (n_frames, n_mels), float32
        """
        # In float64: a quiet band beside a loud one would be lost in the rounding of float32.
        power = self._power(np.asarray(waveform, dtype=np.float64))
        _, weights = _constants(self)
        bands = (np.sqrt(power) if self.magnitude else power) @ weights
        values = _LOGS[self.log](np.maximum(bands + self.offset, self.floor))
        values = values[:-1] if self.drop_last else values
        if self.dynamic_range is not None:
            values = np.maximum(values, values.max() - self.dynamic_range)
        if self.n_frames is not None:
            missing = max(0, self.n_frames - len(values))
            values = np.pad(values[: self.n_frames], ((0, missing), (0, 0)))
        return ((values - self.reference) / self.spread).astype(np.float32)

    def _power(self, waveform):
        """Return the power spectrum of each frame, (n_frames, n_bins) float64."""
        if self.center:
            waveform = np.pad(waveform, self.win_length // 2, mode="reflect")
        window, _ = _constants(self)
        frames = self._frames(waveform)
        emphasized = frames
        if self.preemphasis:
            # The whole waveform is filtered at once, not each frame: the two differ only in the
            # first sample of a frame, where the window is zero.
            previous = np.concatenate([waveform[:1], waveform[:-1]])
            emphasized = self._frames(waveform - self.preemphasis * previous)
        if self.remove_mean:
            # The mean is removed before the filter, which multiplies it by (1 - preemphasis).
            means = frames.mean(axis=1, keepdims=True) * (1 - self.preemphasis)
            weighted = emphasized - means
            weighted *= window
        else:
            weighted = emphasized * window
        spectrum = scipy.fft.rfft(weighted, self.n_fft)
        power = spectrum.real**2
        power += spectrum.imag**2
        return power


@lru_cache(maxsize=16)
def _constants(log_mel):
    """Return window and bands, cached here because the settings are pickled."""
    return log_mel.window(), log_mel.bands()


_LOGS = {
    "ln": np.log,
    "log10": np.log10,
    "dB": lambda values: 10 * np.log10(values),
}

# Slaney's scale: 200 / 3 Hz per mel up to 1,000 Hz; above, 27 mel for each factor of 6.4.
_KNEE, _LINEAR, _STEP = 1000.0, 200 / 3, np.log(6.4) / 27


def _slaney(hertz):
    curved = np.log(np.maximum(hertz, _KNEE) / _KNEE) / _STEP
    return np.minimum(hertz, _KNEE) / _LINEAR + curved


def _slaney_to_hertz(mel):
    knee = _KNEE / _LINEAR
    return np.minimum(mel, knee) * _LINEAR * np.exp(np.maximum(mel - knee, 0) * _STEP)


_TO_MEL = {"htk": lambda hertz: 2595 * np.log10(1 + np.asarray(hertz) / 700), "slaney": _slaney}
_FROM_MEL = {"htk": lambda mel: 700 * (10 ** (mel / 2595) - 1), "slaney": _slaney_to_hertz}

# Value of `mel_scale` -> name of its formula.
_SCALES = {"htk": "htk", "slaney": "slaney", "kaldi": "htk"}

_WHISPER: dict = {
    "log": "log10",
    "dynamic_range": 8.0,
    "drop_last": True,
    "reference": -4,
    "spread": 4,
}
_KALDI: dict = {"mel_scale": "kaldi", "area": False, "center": False, "log": "ln"}

# Settings of published networks, by the code of their papers, and our own.
PRESETS = {
    # Gong et al., "AST: Audio Spectrogram Transformer", 2021.
    "ast": LogMel(
        16000, 128, 512, 400, 160, 20, 8000, **_KALDI, periodic=False, preemphasis=0.97,
        remove_mean=True, floor=1.192092955078125e-07, n_frames=1024, reference=-4.2677393,
        spread=2 * 4.5689974,
    ),
    # Kong et al., "PANNs: Large-Scale Pretrained Audio Neural Networks", 2020.
    "panns": LogMel(32000, 64, 1024, 1024, 320, 50, 14000),
    # Hershey et al., "CNN Architectures for Large-Scale Audio Classification", 2017.
    "vggish": LogMel(
        16000, 64, 512, 400, 160, 125, 7500, **_KALDI, magnitude=True, offset=0.01
    ),
    # Radford et al., "Robust Speech Recognition via Large-Scale Weak Supervision", 2022.
    "whisper": LogMel(16000, 80, 400, 400, 160, 0, 8000, **_WHISPER),
    # Wu et al., "Large-Scale Contrastive Language-Audio Pretraining", 2023.
    "clap": LogMel(48000, 64, 1024, 1024, 480, 50, 14000),
    # Rauch et al., "BirdSet: A Large-Scale Dataset for Audio Classification in Avian
    # Bioacoustics", 2024.
    "birdset": LogMel(
        32000, 128, 1024, 1024, 320, 0, 16000, mel_scale="htk", area=False, dynamic_range=80,
        reference=-4.268, spread=4.569,
    ),
    # Our own: the bands of speech and of most other sounds.
    "mfcc-statistics": LogMel(32000, 64, 1024, 1024, 320, 20, 14000),
}  # fmt: skip
