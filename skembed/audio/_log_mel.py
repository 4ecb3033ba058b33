"""Log-mel spectrograms: their parameters, presets named after their source, and numpy's way.

The torch module that is put into graphs is made of the same matrices (`_log_mel_module`).
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import scipy.fft
from numpy.lib.stride_tricks import sliding_window_view

_MAX_SIZE, _MAX_FFT = 1_000_000, 65_536


@dataclass(frozen=True)
class LogMel:
    """How a waveform becomes a log-mel spectrogram.

    Parameters
    ----------
    sampling_rate : int
        Of the waveform, in Hz.
    n_mels : int
        Bands.
    n_fft : int
        Length of the Fourier transform, in samples.
    win_length : int
        Length of the Hann window, in samples; zeros fill the rest of the transform.
    hop_length : int
        From one frame's start to the next one's, in samples.
    f_min, f_max : float
        Where the lowest band begins and the highest ends, in Hz.
    mel_scale : {"htk", "slaney", "kaldi"}, default="slaney"
        From Hz to mel: O'Shaughnessy's formula, or Slaney's, linear below 1,000 Hz. "kaldi" is
        the former with triangles that are straight over mel, not over Hz.
    area : bool, default=True
        Divide bands by their width.
    center : bool, default=True
        The first frame is centered on the first sample, and the waveform reflected at its ends.
    periodic : bool, default=True
        The window is one period of the cosine; False: symmetric.
    preemphasis : float, default=0.0
        Share of the sample before that is subtracted from each.
    remove_mean : bool, default=False
        Take the mean of a frame away.
    magnitude : bool, default=False
        Bands add magnitudes, not their squares.
    log : {"dB", "ln", "log10"}, default="dB"
        Of the bands; "dB" is ten times log10.
    floor : float, default=1e-10
        Smaller values count as this one.
    offset : float, default=0.0
        Is added before the logarithm.
    dynamic_range : float or None, default=None
        What lies farther below the window's largest value is raised to that.
    drop_last : bool, default=False
        Leave the last frame out.
    n_frames : int or None, default=None
        Frames that are cut to, or filled up to with zeros.
    reference : float, default=0.0
        Is subtracted in the end.
    spread : float, default=1.0
        What remains is divided by it.

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
        """Samples that the shortest waveform has."""
        return self.win_length // 2 + 1 if self.center else self.win_length

    def count(self, n_samples):
        """Return how many frames a waveform has."""
        if self.n_frames is not None:
            return self.n_frames
        margin = 2 * (self.win_length // 2) if self.center else 0
        return 1 + (n_samples + margin - self.win_length) // self.hop_length - self.drop_last

    def window(self):
        """Return the Hann window, (win_length,) float64."""
        length = self.win_length + self.periodic
        return np.hanning(length)[: self.win_length]

    def bands(self):
        """Return the weights of the transform's bins in the bands, (n_bins, n_mels) float64."""
        straight = _TO_MEL[_SCALES[self.mel_scale]]
        edges = np.linspace(straight(self.f_min), straight(self.f_max), self.n_mels + 2)
        bins = np.arange(self.n_fft // 2 + 1) * (self.sampling_rate / self.n_fft)
        if self.mel_scale == "kaldi":
            bins = straight(bins)
        else:
            edges = _FROM_MEL[self.mel_scale](edges)
        low, middle, high = edges[:-2], edges[1:-1], edges[2:]
        rising = (bins[:, None] - low) / (middle - low)
        falling = (high - bins[:, None]) / (high - middle)
        bands = np.maximum(0, np.minimum(rising, falling))
        return bands * 2 / (high - low) if self.area else bands

    def module(self):
        """Return the torch module that computes the same in a graph."""
        from skembed.audio._log_mel_module import LogMelModule

        return LogMelModule(self)

    def _frames(self, waveform):
        """Return overlapping views, (n_frames, win_length)."""
        return sliding_window_view(waveform, self.win_length)[:: self.hop_length]

    def __call__(self, waveform):
        """Return the log-mel spectrogram of a waveform.

        Parameters
        ----------
        waveform : ndarray of shape (n_samples,), float32
            From -1 to 1.

        Returns
        -------
        spectrogram : ndarray of shape (n_frames, n_mels), float32
        """
        waveform = np.asarray(waveform, dtype=np.float64)
        if self.center:
            waveform = np.pad(waveform, self.win_length // 2, mode="reflect")
        window, weights = _constants(self)
        frames = self._frames(waveform)
        if self.preemphasis:
            # Of the whole waveform: a frame's first sample, whose share is its own, weighs nothing.
            before = np.concatenate([waveform[:1], waveform[:-1]])
            emphasized = self._frames(waveform - self.preemphasis * before)
        else:
            emphasized = frames
        if self.remove_mean:
            means = frames.mean(axis=1, keepdims=True) * (1 - self.preemphasis)
            weighed = emphasized - means
            weighed *= window
        else:
            weighed = emphasized * window
        spectrum = scipy.fft.rfft(weighed, self.n_fft)
        power = spectrum.real**2
        power += spectrum.imag**2
        bands = (np.sqrt(power) if self.magnitude else power) @ weights
        values = _LOGS[self.log](np.maximum(bands + self.offset, self.floor))
        values = values[:-1] if self.drop_last else values
        if self.dynamic_range is not None:
            values = np.maximum(values, values.max() - self.dynamic_range)
        if self.n_frames is not None:
            missing = max(0, self.n_frames - len(values))
            values = np.pad(values[: self.n_frames], ((0, missing), (0, 0)))
        return ((values - self.reference) / self.spread).astype(np.float32)


@lru_cache(maxsize=16)
def _constants(log_mel):
    """Return window and bands, computed once; not kept on the settings, which are pickled."""
    return log_mel.window(), log_mel.bands()


_LOGS = {
    "ln": np.log,
    "log10": np.log10,
    "dB": lambda values: 10 * np.log10(values),
}

# Slaney's scale: 200 / 3 Hz a mel up to 1,000 Hz, from there 27 mel for each factor of 6.4.
_KNEE, _LINEAR, _STEP = 1000.0, 200 / 3, np.log(6.4) / 27


def _slaney(hertz):
    curved = np.log(np.maximum(hertz, _KNEE) / _KNEE) / _STEP
    return np.minimum(hertz, _KNEE) / _LINEAR + curved


def _slaney_to_hertz(mel):
    knee = _KNEE / _LINEAR
    return np.minimum(mel, knee) * _LINEAR * np.exp(np.maximum(mel - knee, 0) * _STEP)


_TO_MEL = {"htk": lambda hertz: 2595 * np.log10(1 + np.asarray(hertz) / 700), "slaney": _slaney}
_FROM_MEL = {"htk": lambda mel: 700 * (10 ** (mel / 2595) - 1), "slaney": _slaney_to_hertz}

# Values of `mel_scale` -> the formula.
_SCALES = {"htk": "htk", "slaney": "slaney", "kaldi": "htk"}

_WHISPER: dict = {
    "log": "log10",
    "dynamic_range": 8.0,
    "drop_last": True,
    "reference": -4,
    "spread": 4,
}
_KALDI: dict = {"mel_scale": "kaldi", "area": False, "center": False, "log": "ln"}

# Whose networks take what, by their papers' code.
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
}  # fmt: skip
