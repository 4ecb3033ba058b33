"""`StaticEmbedder`: embed texts with the mean of the vectors of their tokens."""

from __future__ import annotations

import os
from contextlib import closing
from functools import partial
from numbers import Integral
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from sklearn.utils import check_scalar
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import check_is_fitted

from skembed.base._bad_rows import Problem
from skembed.base._digest import plain
from skembed.base._failures import naming
from skembed.base._folders import written_aside
from skembed.base._progress import speaking
from skembed.base._rows import row_key
from skembed.base._text_rows import text_problem
from skembed.base._threads import in_threads, n_threads_for
from skembed.embedder._base import Block, Embedder
from skembed.embedder._cache_parameter import CACHE_CONSTRAINTS, store_of
from skembed.embedder._computed_once import computed_once
from skembed.embedder._kept import KeptPieces, Windows
from skembed.models._static import write_static_folder
from skembed.text._static_names import DEFAULT_MODEL
from skembed.text._static_table import static_table
from skembed.text._static_tokens import load_tokenizer

if TYPE_CHECKING:
    from typing import Literal

    from typing_extensions import Self

    from skembed.base._typing import BadRows, CacheStore, FilePath, Rows
    from skembed.text._bert import BertEmbedder

_CHUNK = 1024  # rows that are tokenized, pooled and looked up at a time


class StaticEmbedder(Embedder):
    """Embed texts with the mean of a table of token vectors, such as model2vec's.

    A static model has no network: a token has the same vector in every text. It is hundreds of
    times as fast as the transformer that it was made from, and its vectors are less exact. It needs
    neither torch nor ONNX Runtime. The default table is part of skembed, so nothing is downloaded.

    Parameters
    ----------
    model : str or path, default="static-minilm"
        "static-minilm", the table of 256 dimensions for English that is part of skembed; a folder
        written by model2vec [1]_, by Sentence Transformers with a ``StaticEmbedding``, or by
        :meth:`export`; or a hub id. An id is searched in the hub's local cache, then on the hub.
        Short names of model2vec's models, such as ``"potion-base-8M"``, are supported. Only
        safetensors weights are read.
    revision : str, default=None
        Branch, tag or commit of a hub id.
    normalize : bool or "auto", default="auto"
        Scale vectors to unit length. "auto": as the model's own files say.
    truncate_dim : int, default=None
        Number of dimensions to keep, before normalization. The dimensions of "static-minilm" and of
        model2vec's tables are sorted by variance. None: the ``truncate_dim`` that Sentence
        Transformers saved with the model, if any, which is applied after normalization.
    max_length : int, default=None
        Maximum number of tokens of a text, including special tokens and the prompt. None: the
        model's own.
    prompt : str, default=None
        Text that precedes each text: the name of one of the model's prompts (``"query"``), or any
        text. None: the model's default prompt, if it has one. "": none.
    n_threads : int, default=None
        Number of threads that read rows and compute. None: the setting of ``skembed.set_config``,
        else the number of cores that joblib reports.
    cache : "memory", str, path, Store or None, default=None
        Where computed vectors are kept, so that no row is computed twice. "memory": in the memory
        of this process (see :func:`skembed.memory_cache`), or in the folder of
        ``skembed.set_config(cache_folder=…)`` if one was set. A str or path: in this folder, which
        processes and later runs share (see :class:`skembed.EmbeddingCache`). A store: in this
        object (see :class:`skembed.cache.Store`). None: nowhere.
    bad_rows : {"raise", "zero", "nan"}, default="raise"
        How rows that cannot be embedded are handled. "raise": an error names them. "zero", "nan":
        their vectors are zeros or NaN.
    verbose : int, default=0
        If 1, show progress bars, and the seconds of steps that are done once, such as a download
        or an export. With 0, these are only logged (logger "skembed", level INFO).

    Attributes
    ----------
    fingerprint_ : str
        Identifier of what the network computes: weights, parameters, versions of the libraries.
    n_features_in_ : int
        Number of columns seen in `fit`.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of the columns seen in `fit`, if they have names.
    n_features_out_ : int
        Number of output features.

    See Also
    --------
    BertEmbedder : More exact vectors, from a transformer.
    Word2VecVectorizer : Vectors of words that are learned from the rows.

    Notes
    -----
    "static-minilm" was made from all-MiniLM-L6-v2 (Apache-2.0, see NOTICE): the transformer's
    vectors of single tokens, reduced by PCA, with weights a / (a + p) by the probability p of a
    token [2]_. The guide compares its scores with those of the transformer.

    Unknown tokens are treated as the authors of a table treat them: model2vec leaves them out,
    Sentence Transformers pools their vector. A text without any token has the zero vector. There
    are no special tokens.

    The default is ``cache=None``: computing a row takes some 25 microseconds, and the room of a
    cache is left to the rows of networks. ``cache="memory"`` makes a search faster, because reading
    a row takes a fifth of that.

    References
    ----------
    .. [1] S. Tulkens, T. van Dongen, "Model2Vec: Fast State-of-the-Art Static Embeddings", 2024,
       https://github.com/MinishLab/model2vec
    .. [2] S. Arora, Y. Liang, T. Ma, "A Simple but Tough-to-Beat Baseline for Sentence
       Embeddings", ICLR 2017.

    Examples
    --------
    >>> from skembed import StaticEmbedder
    >>> texts = ["A cat sits on the mat.", "A kitten rests on a rug.", "Stocks fell sharply."]
    >>> vectors = StaticEmbedder().fit_transform(texts)
    >>> vectors.shape
    (3, 256)
    >>> (vectors @ vectors.T).round(2)
    array([[...]], dtype=float32)
    """

    _parameter_constraints: dict = {
        **Embedder._parameter_constraints,
        "model": [str, os.PathLike],
        "revision": [str, None],
        "normalize": ["boolean", StrOptions({"auto"})],
        "truncate_dim": [Interval(Integral, 1, None, closed="left"), None],
        "max_length": [Interval(Integral, 1, None, closed="left"), None],
        "prompt": [str, None],
        "n_threads": [Interval(Integral, 1, None, closed="left"), None],
        "cache": CACHE_CONSTRAINTS,
    }
    fingerprint_: str
    _kind = "texts"
    _problem = Problem("not text", "not text")

    def __init__(
        self,
        model: FilePath = DEFAULT_MODEL,
        *,
        revision: str | None = None,
        normalize: bool | Literal["auto"] = "auto",
        truncate_dim: int | None = None,
        max_length: int | None = None,
        prompt: str | None = None,
        n_threads: int | None = None,
        cache: FilePath | CacheStore | None = None,
        bad_rows: BadRows = "raise",
        verbose: int = 0,
    ) -> None:
        self.model = model
        self.revision = revision
        self.normalize = normalize
        self.truncate_dim = truncate_dim
        self.max_length = max_length
        self.prompt = prompt
        self.n_threads = n_threads
        self.cache = cache
        self.bad_rows = bad_rows
        self.verbose = verbose

    def _check_rows(self, rows):
        keys, bad = [], {}
        for position, row in enumerate(rows):
            problem = text_problem(row)
            if problem is not None:
                bad[position] = problem
            # A digest is needed by caches only; a text is a key, too.
            is_key = problem is not None or self.cache is None
            key = None if problem is not None else row
            keys.append(key if is_key else row_key(b"text", row.encode()))
        return keys, bad

    def _fit_rows(self, rows, labels):
        names = ("revision", "normalize", "truncate_dim", "max_length", "prompt")
        given = {name: plain(getattr(self, name)) for name in names}
        with naming(self.model), speaking(self._speaker()):
            self._table = static_table(type(self).__name__, self.model, **given)
        self._n_dims = self._table.n_dims
        self.fingerprint_ = self._table.fingerprint

    def _embed(self, rows, keys, bad):
        table = self._table.found(self.model)
        embed = self._uncached if self.cache is None else self._cached
        with self._progress(len(rows), unit="row") as bar, closing(embed(table, rows, keys)) as got:
            for positions, means, cut in got:
                yield Block(positions, table.finished(means), cut)
                bar.update(len(positions))

    def _uncached(self, table, rows, keys):
        """Yield positions of rows, means of their tokens' vectors, and whether they were cut."""
        table.loaded()  # once, and not on several threads
        starts = range(0, len(rows), _CHUNK)
        chunks = [[str(row) for row in rows[i : i + _CHUNK]] for i in starts]
        means = in_threads(table.means, chunks, n_threads_for(self.n_threads))
        for start, chunk, (vectors, cut) in zip(starts, chunks, means, strict=True):
            yield np.arange(start, start + len(chunk)), vectors, cut

    def _cached(self, table, rows, keys):
        """Yield the same, from the cache if possible."""

        def preparation(positions):
            return partial(table.means, [rows[i] for i in positions])

        def compute(positions, means):
            ones = np.ones(len(positions), dtype=np.intp)
            windows = Windows([means[0]], ones, ones.astype(np.float64), means[1])
            return np.arange(len(positions)), windows

        kept = KeptPieces(store_of(self.cache), table)
        chunks = computed_once(kept, keys, _CHUNK, preparation=preparation, compute=compute)
        with closing(chunks):
            for positions, windows, _ in chunks:
                yield positions, windows.vectors[0], windows.cut

    def _cut_message(self, n_cut, n_rows):
        texts = "texts" if n_rows > 1 else "text"
        are, were = ("are", "were") if n_cut > 1 else ("is", "was")
        return (
            f"{n_cut} of {n_rows} {texts} {are} longer than max_length={self._table.max_length} "
            f"tokens and {were} cut there. Set a larger max_length."
        )

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.string = True
        return tags

    # -- beyond scikit-learn ----------------------------------------------------------------------

    @classmethod
    def distill(
        cls,
        teacher: BertEmbedder | FilePath,
        folder: FilePath,
        X: Rows,
        *,
        n_components: int = 256,
        max_fit_rows: int = 2000,
        int8: bool = False,
    ) -> Self:
        """Make a static model from a transformer, in about a minute.

        The vectors of single tokens are reduced by PCA and weighted by the frequency of tokens in
        `X`. Then a ridge regression moves the means of some texts of `X` to the teacher's vectors
        of these texts. The folder is also one of model2vec and Sentence Transformers.

        Parameters
        ----------
        teacher : BertEmbedder, str or path
            The transformer, or its parameter `model`.
        folder : str or path
            A folder that does not exist or is empty.
        X : sequence, array or column of str, of length n_rows
            Texts like those that will be embedded. Labels are not used.
        n_components : int, default=256
            Length of the vectors.
        max_fit_rows : int, default=2000
            Number of rows of X that the teacher embeds for the regression. 0: no regression.
        int8 : bool, default=False
            Whether to write 8-bit integers with a scale for each token, a quarter of the size.

        Returns
        -------
        StaticEmbedder
            An embedder whose parameter `model` is the folder. It is not fitted.

        Raises
        ------
        FileExistsError
            If the folder has files in it.
        BadRowsError
            If rows of X are not text.
        ValueError
            If `n_components` exceeds the length of the teacher's vectors, or a number is too small.

        Examples
        --------
        >>> import tempfile
        >>> from skembed import StaticEmbedder
        >>> texts = ["A cat sits on the mat.", "A kitten rests on a rug.", "Stocks fell sharply."]
        >>> folder = tempfile.mkdtemp()
        >>> embedder = StaticEmbedder.distill(
        ...     "sentence-transformers/all-MiniLM-L6-v2", folder, texts, n_components=64
        ... )  # doctest: +SKIP
        >>> embedder.fit_transform(texts).shape  # doctest: +SKIP
        (3, 64)
        """
        from skembed.text._distill import distill

        for name, value, least in (
            ("n_components", n_components, 1),
            ("max_fit_rows", max_fit_rows, 0),
        ):
            check_scalar(value, name, Integral, min_val=least)
        embedder = cls(folder)
        columns = embedder._columns_of(X)
        embedder._checked(columns)
        texts = [str(row) for row in columns.rows]
        settings = {"n_components": n_components, "max_fit_rows": max_fit_rows, "int8": int8}
        distill(teacher, folder, texts, **settings)
        return embedder

    def export(self, folder: FilePath) -> Path:
        """Write the table and the tokenizer to a folder, with the parameters that were fitted.

        skembed, model2vec and Sentence Transformers read it. To load it, pass the folder as
        ``model``.

        Parameters
        ----------
        folder : str or path
            A folder that does not exist or is empty.

        Returns
        -------
        pathlib.Path
            The folder.

        Raises
        ------
        FileExistsError
            If the folder has files in it.
        ValueError
            If there is a prompt, which model2vec's folders cannot state.
        NotFittedError
            If the embedder is not fitted.
        """
        check_is_fitted(self)
        table = self._table.found(self.model)
        if table.prompt and table.is_model2vec:
            raise ValueError(
                f"Folders of model2vec have no prompt. Got {table.prompt!r}; fit with prompt=''."
            )
        _, vectors = table.loaded()
        last = table.head.truncate_last
        if not last:
            vectors = vectors[:, : table.head.truncate_dim]
        tokenizer, _ = load_tokenizer(table.tokenizer)
        folder = Path(folder).expanduser().absolute()
        with written_aside(folder) as aside:
            write_static_folder(
                aside,
                tokenizer,
                np.ascontiguousarray(vectors),
                normalize=table.head.normalize,
                max_length=table.max_length,
                prompt=table.prompt,
                truncate_dim=table.head.truncate_dim if last else None,
                is_model2vec=table.is_model2vec,
            )
        return folder
