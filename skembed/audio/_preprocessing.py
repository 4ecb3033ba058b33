"""Preprocessing of a network: by its preprocessor_config.json, or by a preset."""

from dataclasses import dataclass, fields, replace

from skembed.audio._log_mel import PRESETS, LogMel
from skembed.exceptions import ModelFormatError
from skembed.models._files import checked_settings, read_json

_MAX_SECONDS = 3600  # length of a window
LAYOUTS = (
    "frames, bands",
    "bands, frames",
    "channel, frames, bands",
    "channel, bands, frames",
)


@dataclass(frozen=True)
class AudioPreprocessing:
    """The inputs that a network takes: sampling rate, features, lengths of windows.

    Exported folders and fingerprints contain the names of these fields.

    Parameters
    ----------
    sampling_rate : int
        Sampling rate in Hz.
    log_mel : LogMel or None
        Settings of the spectrograms. None: the network takes waveforms.
    layout : str
        Order of the axes of log-mel spectrograms: "frames, bands" or "bands, frames", with or
        without "channel, " before it.
    shortest : int
        Minimum number of samples of a window.
    longest : int or None
        Maximum number of samples of a window. None: no limit.
    fixed : int or None
        Number of samples to which each window is padded. None: the network takes windows of
        different lengths.
    filling : {"zeros", "repeat"}
        How windows are padded: with zeros, or by repeating the window.
    standardize : bool
        Whether to scale each window to zero mean and unit variance.
    """

    sampling_rate: int
    log_mel: LogMel | None = None
    layout: str = "frames, bands"
    shortest: int = 1
    longest: int | None = None
    fixed: int | None = None
    filling: str = "zeros"
    standardize: bool = False

    def __post_init__(self):
        if type(self.sampling_rate) is not int or not 1000 <= self.sampling_rate <= 768_000:
            raise ValueError(f"sampling_rate={self.sampling_rate!r} is not in [1,000, 768,000] Hz")
        most = _MAX_SECONDS * self.sampling_rate
        for name in ("shortest", "longest", "fixed"):
            n = getattr(self, name)
            if (n is not None or name == "shortest") and (type(n) is not int or not 1 <= n <= most):
                raise ValueError(f"a window of {name}={n!r} samples is not in [1, {most:,}]")
        if self.layout not in LAYOUTS or self.filling not in ("zeros", "repeat"):
            raise ValueError(f"layout={self.layout!r} or filling={self.filling!r} is unknown")


def restored(settings, path):
    """Return the `AudioPreprocessing` that the manifest of an exported folder contains."""
    with checked_settings(path):
        log_mel = settings["log_mel"] and LogMel(**settings["log_mel"])
        return AudioPreprocessing(**{**settings, "log_mel": log_mel})


def preprocessing_of(folder, front_end):
    """Return the `AudioPreprocessing` of the parameter `front_end`, else of a model's folder."""
    path = folder.backbone_path / "preprocessor_config.json"
    own = read_json(path, {})
    kind = str(own.get("feature_extractor_type") or "").removesuffix("FeatureExtractor")
    if front_end != "auto":
        preprocessing = _chosen(front_end, own)
        _check_bands(preprocessing, own, folder.config)
    elif kind in _KINDS:
        with checked_settings(path):
            preprocessing = _KINDS[kind](own, folder.config)
    else:
        raise ModelFormatError(
            f"{folder.path} does not define the preprocessing of sounds (preprocessor_config.json "
            f"states {kind or 'nothing'}; skembed supports {', '.join(_KINDS)}). Set front_end."
        )
    if folder.onnx is not None and preprocessing.log_mel is not None:
        preprocessing = _fitted_to(folder.onnx, preprocessing)
    return preprocessing


def _check_bands(preprocessing, own, config):
    """Raise a ValueError if the network requires another number of bands."""
    preset = PRESETS.get(own.get("preset"))
    config = config.get("audio_config") or config
    required = preset.n_mels if preset else config.get("num_mel_bins")
    n_mels = preprocessing.log_mel.n_mels if preprocessing.log_mel else 0
    if required is not None and n_mels != required:
        raise ValueError(
            f"The network takes log-mel spectrograms of {required} bands. Got front_end with "
            f"{n_mels} bands instead."
        )


def _chosen(front_end, own):
    """Return the `AudioPreprocessing` of a value of the parameter `front_end`."""
    if front_end == "waveform":
        return AudioPreprocessing(int(own.get("sampling_rate", 16000)))
    settings = {"preset": front_end} if isinstance(front_end, str) else dict(front_end)
    preset = settings.pop("preset", None)
    known = {field.name for field in fields(LogMel)}
    unknown = sorted(set(settings) - known)
    if unknown or (preset is None and not {"sampling_rate", "n_mels"} <= set(settings)):
        raise ValueError(
            f"front_end={front_end!r}: settings of log-mel spectrograms are {sorted(known)}. Add a "
            f"preset, or all settings without a default. Unknown settings: {unknown}."
        )
    if preset is not None and preset not in PRESETS:
        raise ValueError(
            f"front_end must be 'auto', 'waveform', one of {sorted(PRESETS)} or a dict. Got "
            f"{front_end!r} instead."
        )
    try:
        log_mel = LogMel(**settings) if preset is None else replace(PRESETS[preset], **settings)
    except (TypeError, ValueError) as error:
        raise ValueError(f"front_end={front_end!r}: {error}") from error
    return _of_preset(preset, log_mel)


def _of_preset(preset, log_mel):
    """Return the `AudioPreprocessing` of the networks of a preset, with other spectrograms."""
    rate = log_mel.sampling_rate
    own = {
        "ast": {"longest": (log_mel.n_frames or 0) * log_mel.hop_length or None},
        # Five poolings halve the frames, so at least 32 frames are required.
        "panns": {"shortest": 31 * log_mel.hop_length, "longest": None},
        "whisper": {"fixed": 30 * rate},
        "clap": {"fixed": 10 * rate, "filling": "repeat"},
        "birdset": {"fixed": 5 * rate},
    }.get(preset, {})
    return AudioPreprocessing(rate, log_mel, **{"shortest": log_mel.shortest, **own})


def _ast(own, config):
    normalize = own.get("do_normalize", True)
    log_mel = replace(
        PRESETS["ast"],
        sampling_rate=own.get("sampling_rate", 16000),
        f_max=own.get("sampling_rate", 16000) // 2,
        n_mels=own.get("num_mel_bins", 128),
        n_frames=own.get("max_length", 1024),
        reference=own.get("mean", -4.2677393) if normalize else 0.0,
        spread=2 * own.get("std", 4.5689974) if normalize else 1.0,
    )
    return _of_preset("ast", log_mel)


def _whisper(own, config):
    rate = own.get("sampling_rate", 16000)
    n_fft = own.get("n_fft", 400)
    log_mel = replace(
        PRESETS["whisper"],
        sampling_rate=rate,
        n_mels=own.get("feature_size", 80),
        n_fft=n_fft,
        win_length=n_fft,
        hop_length=own.get("hop_length", 160),
    )
    fixed = own.get("chunk_length", 30) * rate
    return replace(_of_preset("whisper", log_mel), fixed=fixed)


def _clap(own, config):
    rate = own.get("sampling_rate", 48000)
    n_fft = own.get("fft_window_size", 1024)
    fused = own.get("truncation", "fusion") == "fusion"
    log_mel = replace(
        PRESETS["clap"],
        sampling_rate=rate,
        n_mels=own.get("feature_size", 64),
        n_fft=n_fft,
        win_length=n_fft,
        hop_length=own.get("hop_length", 480),
        f_min=own.get("frequency_min", 0),
        f_max=own.get("frequency_max", 14000),
        mel_scale="htk" if fused else "slaney",
        area=not fused,
    )
    filling = "repeat" if own.get("padding", "repeatpad") == "repeatpad" else "zeros"
    fixed = int(own.get("max_length_s", 10) * rate)
    return replace(_of_preset("clap", log_mel), fixed=fixed, filling=filling)


def _wav2vec2(own, config):
    standardize = bool(own.get("do_normalize", True))
    # The number of samples that the convolutions need for one step: 400 with the default settings.
    shortest = 1
    kernels, strides = config.get("conv_kernel", []), config.get("conv_stride", [])
    for kernel, stride in zip(reversed(kernels), reversed(strides), strict=True):
        shortest = (shortest - 1) * stride + kernel
    shortest = max(shortest, 400)
    rate = own.get("sampling_rate", 16000)
    return AudioPreprocessing(rate, shortest=shortest, standardize=standardize)


def _own(own, config):
    log_mel = PRESETS[own["preset"]]
    preprocessing = _of_preset(own["preset"], log_mel)
    if "n_frames" in own:  # the network takes windows of this length only
        fixed = log_mel.win_length + (own["n_frames"] - 1) * log_mel.hop_length
        preprocessing = replace(preprocessing, fixed=fixed)
    return preprocessing


_KINDS = {
    "AST": _ast,
    "Whisper": _whisper,
    "Clap": _clap,
    "Wav2Vec2": _wav2vec2,
    "skembed": _own,
}


def _fitted_to(graph, preprocessing):
    """Set the axis order of spectrograms to that of the input of an ONNX graph."""
    import onnxruntime

    try:
        session = onnxruntime.InferenceSession(str(graph), providers=["CPUExecutionProvider"])
    except Exception as error:  # its errors have no common base class
        raise ModelFormatError(f"{graph} cannot be read by onnxruntime: {error}") from error
    shape = session.get_inputs()[0].shape
    n_mels = preprocessing.log_mel.n_mels
    if len(shape) not in (3, 4):
        raise ModelFormatError(
            f"{graph} takes inputs of shape {shape}. Log-mel spectrograms have axes of rows, "
            "frames and bands, and optionally an axis of channels."
        )
    axes = "bands, frames" if shape[-2] == n_mels != shape[-1] else "frames, bands"
    return replace(preprocessing, layout="channel, " * (len(shape) == 4) + axes)
