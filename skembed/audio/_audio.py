"""`AudioEmbedder`: embed sounds with a convolutional network or a transformer."""

from __future__ import annotations

from functools import partial
from numbers import Integral, Real
from typing import TYPE_CHECKING

from sklearn.utils._param_validation import Interval, StrOptions

from skembed.audio._containers import rows_of
from skembed.audio._families import ARCHITECTURES, FAMILIES, IMPLIED_INPUTS, NETWORKS
from skembed.audio._preprocessor import audio_preprocessor
from skembed.audio._waveforms import key_of
from skembed.base._bad_rows import Problem
from skembed.base._read_rows import read_rows
from skembed.base._threads import n_threads_for
from skembed.embedder._neural import NeuralEmbedder
from skembed.models._modality import Modality

if TYPE_CHECKING:
    from typing import Any, Literal

    from skembed.base._typing import (
        Backend,
        BadRows,
        CacheStore,
        FilePath,
        NamedLayers,
        Pooling,
        Precision,
        Precompute,
        RandomState,
    )
    from skembed.training import Training


SOUNDS = Modality(
    reference="skembed.audio._audio:SOUNDS",
    kind="sounds",
    input_name="waveforms",
    poolings={
        "mean": ("mean",),
        "max": ("max",),
        "mean_max": ("mean", "max"),
        "cls": ("cls",),
    },
    implied_inputs=IMPLIED_INPUTS,
    padding="repeat",
    wrapper="skembed.audio._backbone:AudioStates",
    families=FAMILIES,
    networks=NETWORKS,
    architectures=ARCHITECTURES,
    # A sound of ten minutes at 32 kHz takes 77 MB, and two chunks are in memory at a time.
    chunk=16,
    batch_elements=320_000,
    manifest_types={"listening": dict, "in_graph": bool},
    popular=("mfcc-statistics",),
    packaged_remedy=(
        'for features without a network: AudioEmbedder("mfcc-statistics"), which needs no download'
    ),
    untrained_remedy=(
        "for a baseline without pretrained weights: "
        'AudioEmbedder("cnn-small", pretrained=False), whose random weights need no download'
    ),
)


class AudioEmbedder(NeuralEmbedder):
    """Embed sounds with a convolutional network on spectrograms, or with a transformer.

    Sounds are decoded, averaged over their channels, resampled to the network's sampling rate and
    cut into windows. The vectors of the windows are pooled into the vector of the sound. It does
    not depend on other rows, and there are no random crops.

    Parameters
    ----------
    model : str or path, default="MIT/ast-finetuned-audioset-10-10-0.4593"
        A folder in transformers' layout (``config.json``, ``model.safetensors``,
        ``preprocessor_config.json``), a folder written by :meth:`export` or by ``python -m skembed
        convert panns``, an ``.onnx`` file (see `front_end`), or a hub id. AST, Wav2Vec2, HuBERT,
        CLAP, Whisper (its encoder) and ConvNeXT and EfficientNet of one channel are supported.
        "mfcc-statistics" is no network: mean, standard deviation, minimum and maximum of 30 MFCC
        [4]_ over time, and the deviation of their changes, 150 numbers. With ``pretrained=False``:
        the name of an architecture, "cnn14" [2]_ (80 M parameters, 2,048 dimensions), "cnn-small"
        (1 M parameters) or "vggish" [3]_.
    revision : str, default=None
        Branch, tag or commit of a hub id.
    pretrained : bool, default=True
        False: build the architecture `model` with random weights, drawn with `random_state`.
        Nothing is downloaded. The vectors are random features for a baseline. They contain no
        learned information.
    sampling_rate : int, default=None
        Sampling rate in Hz, from 1,000 to 768,000, of arrays without a rate of their own. Files
        state their rate.
    max_value : float, default=None
        Value of full scale in arrays of floats and signed integers and in files of floats. Samples
        are divided by it. None: 1 for floats; 128, 32,768 and 2,147,483,648 for integers of 8, 16
        and 32 bits. A row with values far beyond full scale is a bad row. Other files state their
        scale, and uint8 is always centered at 128.
    max_seconds : float, default=600
        Audio beyond this limit is ignored, with one warning that counts the sounds that were cut.
    window_seconds : float or "auto", default="auto"
        Length of the windows in seconds. "auto": the length that the network was trained with (AST
        10.24, Whisper 30, CLAP 10), else 10. The last window of a sound is padded. A sound shorter
        than one window is not padded if the network accepts its length.
    hop_seconds : float, default=None
        Distance between the starts of consecutive windows in seconds, at most `window_seconds`.
        None: `window_seconds`.
    window_pooling : {"mean", "max", "mean_max", "none"}, default="mean"
        How the vectors of a sound's windows are pooled. "mean": their mean, weighted by the length
        of each window without padding. "max": their maximum. "mean_max": both, concatenated.
        "none": sounds of more than one window are bad rows.
    front_end : str or dict, default="auto"
        Features that are computed from a window. "auto": those of the model's own
        ``preprocessor_config.json``. A preset of log-mel spectrograms: "ast", "panns", "vggish",
        "whisper", "clap", "birdset" or "mfcc-statistics", as these networks require. A dict with
        settings of log-mel spectrograms: ``sampling_rate`` (Hz), ``n_mels``, ``n_fft``,
        ``win_length``, ``hop_length`` (samples), ``f_min``, ``f_max`` (Hz), ``mel_scale`` ("htk",
        "slaney", "kaldi"), ``log`` ("dB", "ln", "log10"), ``reference`` and others; with the key
        ``preset``, it changes only these settings of a preset. "waveform": none, the network takes
        waveforms. Required for an ``.onnx`` file that was not written by skembed.
    pooling : {"auto", "mean", "max", "mean_max", "cls"} or list, default="auto"
        How the states of a layer are pooled into the vector of a window: their mean over time (and
        frequency, in a convolutional network), their maximum, both concatenated, or the first
        state. "auto": the network's own pooling, else the mean. A list is concatenated.
    layers : int, str or list of int, default=-1
        Layer whose states are pooled: 0 is the input of the first block, -1 is the last block. A
        list is concatenated. Of an ONNX file made elsewhere, the name of an output.
    normalize : bool or "auto", default="auto"
        Scale vectors to unit length. "auto": no.
    truncate_dim : int, default=None
        Number of dimensions of a window's vector to keep. None: all.
    precompute : dict, default=None
        Heads that one run of the network computes and caches: ``{"pooling": ["mean", "max"],
        "layers": [-1, -2]}`` names four. A missing key takes the value of the parameter. A search
        over these heads then costs one pass over the rows. Results do not change.
    training : Training or str, default=None
        How the network learns from the labels `y` of `fit`: a :class:`~skembed.Training` or the
        name of its objective. None: the network does not learn.
    backend : {"auto", "onnx", "torch"}, default="auto"
        Library that runs the network. "auto": ONNX Runtime on a CPU, torch on CUDA. ONNX Runtime
        needs an export of the network. The first use writes it into the cache folder, which takes
        seconds and needs ``skembed[torch]``, and compares its vectors with those of torch. If they
        differ, "auto" warns and uses torch, and "onnx" raises an error.
    precision : {"float32", "int8", "bfloat16", "float16"}, default="float32"
        Data type of the network's computation; vectors are always float32. "int8": 8-bit integers,
        run by ONNX Runtime on a CPU, for the matrix products of transformers or the convolutions of
        a convolutional network. Convolutions need scales, which `fit` finds on up to 64 rows.
        "bfloat16" is run by torch, and is fast on processors that support it. "float16" requires
        CUDA. Spectrograms are always computed in float32 or float64.
    batch_size : int or "auto", default="auto"
        Number of network inputs (texts, images or windows of sounds) that are computed together.
        "auto": the fastest number. Results do not change.
    device : str, default="auto"
        "cpu", "cuda", "cuda:1", ... "auto": CUDA if torch runs the network and finds a device.
    n_threads : int, default=None
        Number of threads that read rows and compute. None: the setting of ``skembed.set_config``,
        else the number of cores that joblib reports.
    cache : "memory", str, path, Store or None, default="memory"
        Where computed vectors are kept, so that no row is computed twice. "memory": in the memory
        of this process (see :func:`skembed.memory_cache`), or in the folder of
        ``skembed.set_config(cache_folder=…)`` if one was set. A str or path: in this folder, which
        processes and later runs share (see :class:`skembed.EmbeddingCache`). A store: in this
        object (see :class:`skembed.cache.Store`). None: nowhere.
    bad_rows : {"raise", "zero", "nan"}, default="raise"
        How rows that cannot be embedded are handled. "raise": an error names them. "zero", "nan":
        their vectors are zeros or NaN.
    random_state : int, RandomState instance or None, default=None
        Seeds the weights if ``pretrained=False``. Pass an int for equal vectors in each `fit`.
    verbose : int, default=0
        If 1, show progress bars, and the seconds of steps that are done once, such as a download
        or an export. With 0, these are only logged (logger "skembed", level INFO).

    Attributes
    ----------
    fingerprint_ : str
        Identifier of what the network computes: weights, parameters, versions of the libraries.
    training_history_ : dict
        Loss and learning rate of each step, losses and speed of each epoch. Only with `training`.
    n_features_in_ : int
        Number of columns seen in `fit`.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of the columns seen in `fit`, if they have names.
    n_features_out_ : int
        Number of output features.

    See Also
    --------
    skembed.CNNImageEmbedder : The same for images.
    skembed.memory_cache : The cache in the memory of this process.

    Notes
    -----
    A row is one of the following:

    - a path, the content of a file as ``bytes``, or a file object: ``io.BytesIO`` or a file opened
      with mode ``"rb"``;
    - an array of shape (n_samples,) or (n_samples, n_channels), with its rate in `sampling_rate`;
    - a tuple ``(array, rate)``;
    - a dict ``{"array": …, "sampling_rate": …}`` or ``{"bytes": …, "path": …}``, as in the library
      `datasets`;
    - a decoder of torchcodec, or any object whose ``get_all_samples()`` returns ``data`` of shape
      (n_channels, n_samples) and ``sample_rate``.

    Arrays may be torch tensors on the CPU. A 2-D tensor may have its shorter axis first, as in
    torchaudio and torchcodec. X may also be one array or tensor of shape (n_rows, n_samples), with
    its rate in `sampling_rate`. Arrays with masked values are bad rows. Integers of 8, 16 and 32
    bits are scaled to the range from -1 to 1. Floats must have this range, or the one that
    `max_value` sets; samples that exceed it slightly are kept.

    Files are WAV, FLAC, Ogg (Vorbis, Opus), MP3, AIFF, AU, CAF, W64 and RF64. Tags, padding and
    junk before and after the audio are ignored. Samples are equal to those of ``soundfile.read``.

    Sounds are cached by their content: a file that was moved is found in the cache, a file that was
    changed is computed again.

    References
    ----------
    .. [1] Y. Gong, Y.-A. Chung, J. Glass, "AST: Audio Spectrogram Transformer", Interspeech 2021.
    .. [2] Q. Kong, Y. Cao, T. Iqbal, Y. Wang, W. Wang, M. D. Plumbley, "PANNs: Large-Scale
       Pretrained Audio Neural Networks for Audio Pattern Recognition", TASLP 2020.
    .. [3] S. Hershey et al., "CNN Architectures for Large-Scale Audio Classification", ICASSP
       2017.
    .. [4] S. Davis, P. Mermelstein, "Comparison of Parametric Representations for Monosyllabic Word
       Recognition in Continuously Spoken Sentences", IEEE TASSP 28, 1980.

    Examples
    --------
    >>> import numpy as np
    >>> from skembed import AudioEmbedder
    >>> times = np.arange(16000) / 16000  # one second
    >>> tones = [np.sin(2 * np.pi * pitch * times) for pitch in (220, 440, 880)]
    >>> embedder = AudioEmbedder(
    ...     "cnn-small", pretrained=False, sampling_rate=16000, random_state=0
    ... )
    >>> embedder.fit_transform(tones).shape
    (3, 512)
    """

    _parameter_constraints: dict = {
        **NeuralEmbedder._parameter_constraints,
        "pretrained": ["boolean"],
        "sampling_rate": [Interval(Integral, 1_000, 768_000, closed="both"), None],
        "max_value": [Interval(Real, 0, None, closed="neither"), None],
        "max_seconds": [Interval(Real, 0, None, closed="neither")],
        "window_seconds": [Interval(Real, 0, None, closed="neither"), StrOptions({"auto"})],
        "hop_seconds": [Interval(Real, 0, None, closed="neither"), None],
        "window_pooling": [StrOptions({"mean", "max", "mean_max", "none"})],
        "front_end": [str, dict],
    }
    _problem = Problem("not a sound", "not sounds")
    _decode_problem = Problem("not readable as a sound", "not readable as sounds", "Replace them")
    _rows_are_files = True
    _modality = SOUNDS

    def __init__(
        self,
        model: FilePath = "MIT/ast-finetuned-audioset-10-10-0.4593",
        *,
        revision: str | None = None,
        pretrained: bool = True,
        sampling_rate: int | None = None,
        max_value: float | None = None,
        max_seconds: float = 600,
        window_seconds: float | Literal["auto"] = "auto",
        hop_seconds: float | None = None,
        window_pooling: Literal["mean", "max", "mean_max", "none"] = "mean",
        front_end: str | dict[str, Any] = "auto",
        pooling: Pooling = "auto",
        layers: NamedLayers = -1,
        normalize: bool | Literal["auto"] = "auto",
        truncate_dim: int | None = None,
        precompute: Precompute = None,
        training: Training | str | None = None,
        backend: Backend = "auto",
        precision: Precision = "float32",
        batch_size: int | Literal["auto"] = "auto",
        device: str = "auto",
        n_threads: int | None = None,
        cache: FilePath | CacheStore | None = "memory",
        bad_rows: BadRows = "raise",
        random_state: RandomState = None,
        verbose: int = 0,
    ) -> None:
        self.model = model
        self.revision = revision
        self.pretrained = pretrained
        self.sampling_rate = sampling_rate
        self.max_value = max_value
        self.max_seconds = max_seconds
        self.window_seconds = window_seconds
        self.hop_seconds = hop_seconds
        self.window_pooling = window_pooling
        self.front_end = front_end
        self.pooling = pooling
        self.layers = layers
        self.normalize = normalize
        self.truncate_dim = truncate_dim
        self.precompute = precompute
        self.training = training
        self.backend = backend
        self.precision = precision
        self.batch_size = batch_size
        self.device = device
        self.n_threads = n_threads
        self.cache = cache
        self.bad_rows = bad_rows
        self.random_state = random_state
        self.verbose = verbose

    # -- rows ------------------------------------------------------------------------------------

    def _unpacked(self, X):
        return rows_of(X, type(self).__name__, self.sampling_rate)

    def _check_rows(self, rows):
        key = partial(key_of, sampling_rate=self.sampling_rate, max_value=self.max_value)
        return read_rows(key, rows, n_threads_for(self.n_threads))

    def _cut_message(self, n_cut, n_rows):
        sounds = "sounds" if n_rows > 1 else "sound"
        are, were = ("are", "were") if n_cut > 1 else ("is", "was")
        return (
            f"{n_cut} of {n_rows} {sounds} {are} longer than max_seconds={self.max_seconds:g} and "
            f"{were} cut there."
        )

    def _preprocessor(self):
        return partial(
            audio_preprocessor,
            front_end=self.front_end,
            sampling_rate=self.sampling_rate,
            window_seconds=self.window_seconds,
            hop_seconds=self.hop_seconds,
            window_pooling=self.window_pooling,
            max_seconds=self.max_seconds,
            max_value=self.max_value,
        )
