"""What a network hears: by its own preprocessor_config.json, or by a preset."""

from dataclasses import dataclass, fields, replace

from skembed.audio._log_mel import PRESETS, LogMel
from skembed.exceptions import ModelFormatError
from skembed.models._files import read_json

_MAX_SECONDS = 3600  # of a window
LAYOUTS = (
    "frames, bands",
    "bands, frames",
    "channel, frames, bands",
    "channel, bands, frames",
)


@dataclass(frozen=True)
class AudioPreprocessing:
    """What a network hears: its rate, its front end, the lengths that it takes.

    Parameters
    ----------
    sampling_rate : int
        In Hz.
    log_mel : LogMel or None
        What becomes of a window; None: the network takes waveforms.
    layout : str
        Order of the axes of log-mel spectrograms: "frames, bands" or "bands, frames", after
        "channel, " or not.
    shortest : int
        Samples that a window has at least.
    longest : int or None
        Samples that a window has at most; None: any number.
    fixed : int or None
        Samples that each window is filled up to; None: the network takes any number.
    filling : {"zeros", "repeat"}
        What windows are filled up with: silence, or themselves.
    standardize : bool
        Whether a window gets zero mean and unit variance.
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
            raise ValueError(f"sampling_rate={self.sampling_rate!r} is not 1,000 to 768,000 Hz")
        most = _MAX_SECONDS * self.sampling_rate
        for name in ("shortest", "longest", "fixed"):
            n = getattr(self, name)
            if (n is not None or name == "shortest") and (type(n) is not int or not 1 <= n <= most):
                raise ValueError(f"a window of {n!r} samples is not 1 to {most:,} ({name})")
        if self.layout not in LAYOUTS or self.filling not in ("zeros", "repeat"):
            raise ValueError(f"layout={self.layout!r} or filling={self.filling!r} is not known")


def restored(settings, path):
    """Return the `AudioPreprocessing` of the settings in an exported folder's manifest."""
    try:
        log_mel = settings["log_mel"] and LogMel(**settings["log_mel"])
        return AudioPreprocessing(**{**settings, "log_mel": log_mel})
    except (TypeError, ValueError, KeyError, AttributeError) as error:
        raise ModelFormatError(f"{path} makes no sense: {error!r}") from error


def preprocessing_of(folder, front_end):
    """Return the `AudioPreprocessing` of a model's folder, or of a front end that is asked for."""
    own = read_json(folder.backbone_path / "preprocessor_config.json", {})
    kind = str(own.get("feature_extractor_type") or "").removesuffix("FeatureExtractor")
    if front_end != "auto":
        preprocessing = _chosen(front_end, own)
        _check_bands(preprocessing, own, folder.config)
    elif kind in _KINDS:
        try:
            preprocessing = _KINDS[kind](own, folder.config)
        except (TypeError, ValueError, KeyError, AttributeError, ArithmeticError) as error:
            path = folder.backbone_path / "preprocessor_config.json"
            raise ModelFormatError(f"{path} makes no sense: {error!r}") from error
    else:
        raise ModelFormatError(
            f"{folder.path} does not say how sounds are prepared (preprocessor_config.json asks "
            f"for {kind or 'nothing'}; skembed knows {', '.join(_KINDS)}). Set front_end."
        )
    if folder.onnx is not None and preprocessing.log_mel is not None:
        preprocessing = _fitted_to(folder.onnx, preprocessing)
    return preprocessing


def _check_bands(preprocessing, own, config):
    """Raise a ValueError if the network is known to take another number of bands."""
    preset = PRESETS.get(own.get("preset"))
    takes = preset.n_mels if preset else (config.get("audio_config") or config).get("num_mel_bins")
    gets = preprocessing.log_mel.n_mels if preprocessing.log_mel else 0
    if takes is not None and gets != takes:
        raise ValueError(
            f"The network takes log-mel spectrograms of {takes} bands; front_end makes {gets}."
        )


def _chosen(front_end, own):
    """Return the `AudioPreprocessing` of a preset's name or of settings of log-mel spectrograms."""
    if front_end == "waveform":
        return AudioPreprocessing(int(own.get("sampling_rate", 16000)))
    settings = {"preset": front_end} if isinstance(front_end, str) else dict(front_end)
    preset = settings.pop("preset", None)
    known = {field.name for field in fields(LogMel)}
    unknown = sorted(set(settings) - known)
    if unknown or (preset is None and not {"sampling_rate", "n_mels"} <= set(settings)):
        raise ValueError(
            f"front_end={front_end!r}: settings of log-mel spectrograms are {sorted(known)}; name "
            f"a preset, too, or give all that have no default. Unknown: {unknown}."
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
    """Return the `AudioPreprocessing` of the networks that a preset is named after."""
    rate = log_mel.sampling_rate
    own = {
        "ast": {"longest": (log_mel.n_frames or 0) * log_mel.hop_length or None},
        # Five times halved, one frame must be left.
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
    # What its convolutions see, by default.
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
    if "n_frames" in own:  # and no other number
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
    """Return the `AudioPreprocessing` in the order of axes that a ready-made graph's input has."""
    import onnxruntime

    try:
        session = onnxruntime.InferenceSession(str(graph), providers=["CPUExecutionProvider"])
    except Exception as error:  # its errors have no base of their own
        raise ModelFormatError(f"{graph} cannot be read by onnxruntime: {error}") from error
    shape = session.get_inputs()[0].shape
    n_mels = preprocessing.log_mel.n_mels
    if len(shape) not in (3, 4):
        raise ModelFormatError(
            f"{graph} takes inputs of shape {shape}; log-mel spectrograms have an axis of rows, "
            "one of frames and one of bands, and may have one of channels."
        )
    axes = "bands, frames" if shape[-2] == n_mels != shape[-1] else "frames, bands"
    return replace(preprocessing, layout="channel, " * (len(shape) == 4) + axes)
