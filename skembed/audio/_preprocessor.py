"""From rows to the waveforms, or log-mel spectrograms, that a network takes."""

from dataclasses import asdict, dataclass

import numpy as np

from skembed.audio._preprocessing import AudioPreprocessing, preprocessing_of, restored
from skembed.audio._waveforms import waveform_of
from skembed.audio._windows import filled, repeated, windows_of
from skembed.base._files import UnreadableRowError
from skembed.embedder._inputs import Prepared, Preprocessor

_FILLINGS = {"zeros": filled, "repeat": repeated}
_WINDOW_SECONDS = 10.0  # of networks that have no length of their own
# `AudioPreprocessing.layout` -> what gives a spectrogram its order of axes.
_LAYOUTS = {
    "frames, bands": lambda values: values,
    "bands, frames": np.transpose,
    "channel, frames, bands": lambda values: values[None],
    "channel, bands, frames": lambda values: values.T[None],
}


def _mean(vectors, weights):
    return np.average(vectors, axis=0, weights=weights)


# (n_windows, n_dims), and how much of a sound each holds -> a sound's vector.
_WINDOW_POOLINGS = {
    "mean": _mean,
    "max": lambda vectors, weights: vectors.max(axis=0),
    "mean_max": lambda vectors, weights: np.concatenate(
        [_mean(vectors, weights), vectors.max(axis=0)]
    ),
    "none": lambda vectors, weights: vectors[0],
}


@dataclass(frozen=True)
class AudioPreprocessor(Preprocessor):
    """How rows become network inputs: all that can change them, and nothing else.

    Parameters
    ----------
    preprocessing : AudioPreprocessing
        What the network hears.
    in_graph : bool
        Whether log-mel spectrograms are computed in the network's graph.
    window, hop : int
        Of the windows that sounds are cut into, in samples.
    window_pooling : {"mean", "max", "mean_max", "none"}
        How the vectors of a sound's windows become one.
    max_seconds : float
        Of a sound; what follows is left out.
    sampling_rate : int or None
        Rate in Hz of arrays that come without one. (Part of a row's key.)
    max_value : float or None
        Full scale of samples. None: by dtype. (Part of a row's key.)
    """

    preprocessing: AudioPreprocessing
    in_graph: bool
    window: int
    hop: int
    window_pooling: str
    max_seconds: float
    sampling_rate: int | None
    max_value: float | None = None

    libraries = ("soundfile", "soxr")

    @property
    def stem(self):
        """What is put before the backbone in the graph."""
        return self.preprocessing.log_mel if self.in_graph else None

    @property
    def fixed_shape(self):
        """Sizes of an input, where they are the same for all rows."""
        return None if self.preprocessing.fixed is None else (self.preprocessing.fixed,)

    def settings(self):
        """Return what can change a vector."""
        settings = asdict(self)
        del settings["sampling_rate"], settings["max_value"]
        settings["listening"] = settings.pop("preprocessing")  # its name in all fingerprints
        return settings

    def input_settings(self):
        """Return what can change the vector of a window."""
        settings = self.settings()
        if self.window_pooling != "none":  # which refuses sounds of several windows
            del settings["window_pooling"]
        return settings

    def n_row_dims(self, n_dims):
        """Return the length of a sound's vector."""
        return 2 * n_dims if self.window_pooling == "mean_max" else n_dims

    def joined(self, vectors, weights):
        """Make one vector of those of a sound's windows."""
        return _WINDOW_POOLINGS[self.window_pooling](vectors, weights)

    def _prepared(self, row, key):
        waveform = waveform_of(
            row,
            key,
            sampling_rate=self.sampling_rate,
            target_rate=self.preprocessing.sampling_rate,
            max_seconds=self.max_seconds,
            max_value=self.max_value,
        )
        windows = windows_of(waveform.samples, self.window, self.hop)
        if len(windows) > 1 and self.window_pooling == "none":
            seconds = len(waveform.samples) / self.preprocessing.sampling_rate
            raise UnreadableRowError(
                f"{seconds:.3g} s, more than one window of "
                f"{self.window / self.preprocessing.sampling_rate:g} s"
            )
        size = self.window if len(windows) > 1 else 0
        inputs = [self._input(window, size) for window in windows]
        return Prepared(inputs, list(map(len, windows)), waveform.cut)

    def _input(self, window, size=0):
        """Turn a window, filled up to `size`, into what the network takes."""
        preprocessing = self.preprocessing
        if preprocessing.standardize:
            window = (window - window.mean()) / np.sqrt(window.var() + 1e-7)
        if preprocessing.log_mel is not None and preprocessing.log_mel.n_frames:
            size = 0  # its spectrogram is filled up
        size = preprocessing.fixed or max(size, preprocessing.shortest)
        window = _FILLINGS[preprocessing.filling](window, size)
        if self.in_graph or preprocessing.log_mel is None:
            return np.ascontiguousarray(window, dtype=np.float32)
        return np.ascontiguousarray(_LAYOUTS[preprocessing.layout](preprocessing.log_mel(window)))

    def probes(self):
        """Return inputs to check an export with: noise, in batches of two sizes."""
        random = np.random.default_rng(0)
        lengths = [self.preprocessing.fixed] * 2
        if self.preprocessing.fixed is None:
            length = min(self.window, max(2 * self.preprocessing.shortest, self.window // 4))
            lengths = [length, max(self.preprocessing.shortest, length * 2 // 3)]
        noise = [
            np.cumsum(random.standard_normal((n_rows, length)), axis=1) / length**0.5 / 4
            + random.standard_normal((n_rows, length)) / 8
            for n_rows, length in zip((2, 1), lengths, strict=True)
        ]
        return [np.stack([self._input(row.astype(np.float32)) for row in rows]) for rows in noise]

    def save(self, folder):
        """Return the settings, which are all that an exported folder needs."""
        return {"listening": asdict(self.preprocessing), "in_graph": self.in_graph}


def audio_preprocessor(
    folder,
    *,
    front_end,
    sampling_rate,
    window_seconds,
    hop_seconds,
    window_pooling,
    max_seconds,
    max_value=None,
):
    """Return the `AudioPreprocessor` of a model's folder and an embedder's parameters.

    Raises
    ------
    ModelFormatError
        If the folder does not say what the network hears.
    ValueError
        If the parameters do not fit the model.
    """
    saved = (folder.manifest or {}).get("front") or {}
    if "listening" in saved:
        if front_end != "auto":
            raise ValueError(
                f"{folder.path} was exported with its front end; front_end={front_end!r} "
                "cannot be set."
            )
        preprocessing = restored(saved["listening"], folder.path / "manifest.json")
        in_graph = bool(saved.get("in_graph"))
    else:
        preprocessing, in_graph = preprocessing_of(folder, front_end), folder.onnx is None
    window = _window(preprocessing, window_seconds)
    hop = window
    if hop_seconds is not None:
        hop = round(hop_seconds * preprocessing.sampling_rate)
        if not 1 <= hop <= window:
            raise ValueError(
                f"hop_seconds={hop_seconds:g} must be at most the window's "
                f"{window / preprocessing.sampling_rate:g} s, so that no sample is left out."
            )
    return AudioPreprocessor(
        preprocessing=preprocessing,
        in_graph=in_graph,
        window=window,
        hop=hop,
        window_pooling=window_pooling,
        max_seconds=float(max_seconds),
        sampling_rate=sampling_rate,
        max_value=max_value,
    )


def _window(preprocessing, window_seconds):
    """Return the length of a window in samples."""
    longest = preprocessing.fixed or preprocessing.longest
    if window_seconds == "auto":
        return longest or round(_WINDOW_SECONDS * preprocessing.sampling_rate)
    window = round(window_seconds * preprocessing.sampling_rate)
    if longest is not None and window > longest:
        raise ValueError(
            f"window_seconds={window_seconds:g} is more than the network takes, "
            f"{longest / preprocessing.sampling_rate:g} s."
        )
    if window < preprocessing.shortest:
        raise ValueError(
            f"window_seconds={window_seconds:g} is less than the network takes, "
            f"{preprocessing.shortest / preprocessing.sampling_rate:.3g} s."
        )
    return window
