"""Convert rows to the waveforms or log-mel spectrograms that a network takes."""

import shutil
from dataclasses import asdict, dataclass

import numpy as np

from skembed.audio._preprocessing import AudioPreprocessing, preprocessing_of, restored
from skembed.audio._waveforms import waveform_of
from skembed.audio._windows import padded, repeated, windows_of
from skembed.base._files import UnreadableRowError
from skembed.embedder._inputs import Prepared, Preprocessor
from skembed.exceptions import ExportError, ModelFormatError
from skembed.models._folder import ModelFolder

_PADDINGS = {"zeros": padded, "repeat": repeated}
_WINDOW_SECONDS = 10.0  # for networks that define no length
# `AudioPreprocessing.layout` -> function that transposes a spectrogram, (n_frames, n_mels).
_LAYOUTS = {
    "frames, bands": lambda values: values,
    "bands, frames": np.transpose,
    "channel, frames, bands": lambda values: values[None],
    "channel, bands, frames": lambda values: values.T[None],
}


def _mean(vectors, weights):
    return np.average(vectors, axis=0, weights=weights)


# Vectors (n_windows, n_dims) and lengths of the windows (n_windows,) -> vector of a sound.
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
    """Everything that determines how rows are converted to network inputs.

    Parameters
    ----------
    preprocessing : AudioPreprocessing
        The inputs that the network takes.
    in_graph : bool
        Whether log-mel spectrograms are computed in the network's graph.
    window, hop : int
        Length of windows, and distance between their starts, in samples.
    window_pooling : {"mean", "max", "mean_max", "none"}
        How the vectors of a sound's windows are pooled.
    max_seconds : float
        Audio beyond this limit is ignored.
    sampling_rate : int or None
        Rate in Hz of arrays without a rate of their own. It is part of a row's key.
    max_value : float or None
        Full scale of samples. None: by dtype. It is part of a row's key.
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
        """The settings of the module that precedes the backbone in the graph."""
        return self.preprocessing.log_mel if self.in_graph else None

    @property
    def fixed_shape(self):
        """Shape of an input if it is the same for all rows, else None."""
        return None if self.preprocessing.fixed is None else (self.preprocessing.fixed,)

    def settings(self):
        """Return all settings that can change a vector."""
        settings = asdict(self)
        del settings["sampling_rate"], settings["max_value"]
        settings["listening"] = settings.pop("preprocessing")  # the name that fingerprints contain
        return settings

    def input_settings(self):
        """Return all settings that can change the vector of a window."""
        settings = self.settings()
        if self.window_pooling != "none":  # "none" makes sounds of several windows bad rows
            del settings["window_pooling"]
        return settings

    def n_row_dims(self, n_dims):
        """Return the length of a sound's vector."""
        return 2 * n_dims if self.window_pooling == "mean_max" else n_dims

    def joined(self, vectors, weights):
        """Pool the vectors of a sound's windows."""
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
                f"{seconds:.3g} s, longer than one window of "
                f"{self.window / self.preprocessing.sampling_rate:g} s"
            )
        # The last of several windows is padded to the length of the others, so that they form a
        # batch. A single window keeps its length if the network accepts it.
        size = self.window if len(windows) > 1 else 0
        inputs = [self._input(window, size) for window in windows]
        return Prepared(inputs, list(map(len, windows)), waveform.cut)

    def _input(self, window, size=0):
        """Convert a window, padded to at least `size` samples, to a network input."""
        preprocessing = self.preprocessing
        if preprocessing.standardize:
            window = (window - window.mean()) / np.sqrt(window.var() + 1e-7)
        if preprocessing.log_mel is not None and preprocessing.log_mel.n_frames:
            size = 0  # the spectrogram is padded instead
        size = preprocessing.fixed or max(size, preprocessing.shortest)
        window = _PADDINGS[preprocessing.filling](window, size)
        if self.in_graph or preprocessing.log_mel is None:
            return np.ascontiguousarray(window, dtype=np.float32)
        return np.ascontiguousarray(_LAYOUTS[preprocessing.layout](preprocessing.log_mel(window)))

    def probes(self):
        """Return inputs to check an export with: noise, in batches of two sizes and lengths."""
        random = np.random.default_rng(0)
        lengths = [self.preprocessing.fixed] * 2
        if self.preprocessing.fixed is None:
            length = min(self.window, max(2 * self.preprocessing.shortest, self.window // 4))
            lengths = [length, max(self.preprocessing.shortest, length * 2 // 3)]
        # White noise plus a random walk, so that low frequencies are loud, as in recordings.
        noise = [
            np.cumsum(random.standard_normal((n_rows, length)), axis=1) / length**0.5 / 4
            + random.standard_normal((n_rows, length)) / 8
            for n_rows, length in zip((2, 1), lengths, strict=True)
        ]
        return [np.stack([self._input(row.astype(np.float32)) for row in rows]) for rows in noise]

    def save(self, folder):
        """Return the settings that an exported folder stores; no file is written."""
        return {"listening": asdict(self.preprocessing), "in_graph": self.in_graph}

    def save_files(self, folder, source):
        """Write ``preprocessor_config.json`` to a model's folder."""
        name = "preprocessor_config.json"
        if (source.backbone_path / name).exists():
            shutil.copyfile(source.backbone_path / name, folder / name)
        try:
            found = preprocessing_of(ModelFolder(folder), "auto")
        except ModelFormatError:
            found = None
        if found != self.preprocessing:  # `front_end` was set
            raise ExportError(
                f"{source.path}: the network takes other inputs than its {name} states, because "
                "front_end was set, and files of transformers do not store it. Fit with "
                "front_end='auto', or use format='onnx'."
            )


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
        If the folder does not define the preprocessing of sounds.
    ValueError
        If the parameters do not fit the model.
    """
    preprocessing, in_graph = _preprocessing(folder, front_end)
    window = _window(preprocessing, window_seconds)
    return AudioPreprocessor(
        preprocessing=preprocessing,
        in_graph=in_graph,
        window=window,
        hop=_hop(preprocessing, window, hop_seconds),
        window_pooling=window_pooling,
        max_seconds=float(max_seconds),
        sampling_rate=sampling_rate,
        max_value=max_value,
    )


def _preprocessing(folder, front_end):
    """Return the `AudioPreprocessing`, and whether the graph computes spectrograms."""
    saved = (folder.manifest or {}).get("front") or {}
    if "listening" not in saved:
        return preprocessing_of(folder, front_end), folder.onnx is None
    if front_end != "auto":
        raise ValueError(
            f"{folder.path} was exported with its preprocessing; front_end={front_end!r} cannot be "
            "set."
        )
    preprocessing = restored(saved["listening"], folder.path / "manifest.json")
    return preprocessing, bool(saved.get("in_graph"))


def _window(preprocessing, window_seconds):
    """Return the length of a window in samples."""
    rate = preprocessing.sampling_rate
    longest = preprocessing.fixed or preprocessing.longest
    if window_seconds == "auto":
        return longest or round(_WINDOW_SECONDS * rate)
    window = round(window_seconds * rate)
    if longest is not None and window > longest:
        raise ValueError(
            f"window_seconds={window_seconds:g} exceeds the maximum of the network, "
            f"{longest / rate:g} s."
        )
    if window < preprocessing.shortest:
        raise ValueError(
            f"window_seconds={window_seconds:g} is below the minimum of the network, "
            f"{preprocessing.shortest / rate:.3g} s."
        )
    return window


def _hop(preprocessing, window, hop_seconds):
    """Return the distance between the starts of windows in samples."""
    if hop_seconds is None:
        return window
    rate = preprocessing.sampling_rate
    hop = round(hop_seconds * rate)
    if not 1 <= hop <= window:
        raise ValueError(
            f"hop_seconds={hop_seconds:g} must be at most the length of a window, "
            f"{window / rate:g} s, so that every sample is in a window."
        )
    return hop
