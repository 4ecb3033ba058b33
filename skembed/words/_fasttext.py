"""FastTextVectorizer: word vectors with character n-grams, by gensim or from a file."""

from __future__ import annotations

import os
from dataclasses import replace
from numbers import Integral
from typing import TYPE_CHECKING

import numpy as np
from sklearn.utils._param_validation import Interval, StrOptions

from skembed.exceptions import VectorFileError
from skembed.words._base import _WordVectorizer
from skembed.words._compressed import decompressed
from skembed.words._gensim import (
    GENSIM_CONSTRAINTS,
    build_vocabulary,
    model_settings,
    train,
)
from skembed.words._keyed_vectors import from_keyed_vectors
from skembed.words._subwords import FastTextState
from skembed.words._tokenize import TOKEN_PATTERN

if TYPE_CHECKING:
    from typing import Literal

    from skembed.base._typing import BadRows, FilePath, RandomState
    from skembed.words._typing import KeyedVectors, Preprocessor, StopWords, Tokenizer, WordPooling


_MAX_SETTING = 10_000  # plausible maximum of `window` and `negative` in a file


class FastTextVectorizer(_WordVectorizer):
    r"""Embed texts by the vectors of their words, trained in `fit` with fastText [1]_.

    The vector of a word is the mean of its own vector and the vectors of its character n-grams. So
    rare and unseen words have vectors, too: misspelled words and rare forms are close to similar
    words. gensim trains the vectors.

    Parameters
    ----------
    vector_size : int, default=100
        Length of a word's vector. Ignored if `vectors` are given, which have their own length.
    window : int, default=5
        Maximum number of context words on either side of a word.
    min_count : int, default=5
        Minimum number of occurrences; rarer words are not in the vocabulary.
    sg : {0, 1}, default=0
        Training algorithm. 1: skip-gram, a word predicts its context. 0: CBOW, the context predicts
        the word.
    hs : {0, 1}, default=0
        1: use hierarchical softmax.
    negative : int, default=5
        Number of negative samples for each word. 0: no negative sampling.
    epochs : int, default=5
        Number of passes over the texts.
    alpha : float, default=0.025
        Initial learning rate, which decreases linearly to 0.0001.
    sample : float, default=1e-3
        Relative frequency above which occurrences of a word are randomly dropped. 0: none are.
    min_n : int, default=3
        Minimum length of n-grams in characters; the beginning and the end of a word count as one
        each.
    max_n : int, default=6
        Maximum length of n-grams in characters. 0: no n-grams.
    bucket : int, default=2_000_000
        Number of buckets that n-grams are hashed into. Training needs ``4 * bucket * vector_size``
        bytes; afterwards only the buckets in use are kept.
    oov : {"subword", "ignore"}, default="subword"
        How words outside the vocabulary are handled. "subword": they get vectors from their
        n-grams. "ignore": they are ignored.
    vectors : str, path, gensim.models.KeyedVectors or None, default=None
        Pretrained vectors to use instead of training: a file in fastText's ``.bin`` format, with
        n-grams; a file without n-grams in fastText's ``.vec``, word2vec's text or binary, or
        GloVe's text format; or gensim's object. The content decides the format. Files may be
        compressed with gzip, bz2 or xz. Pickles are not read. A ``.bin`` file is mapped into
        memory. Set ``lowercase=False`` for cased words.
    max_words : int, default=None
        Maximum number of words read from `vectors`, from the first. None: all.
    fine_tune : bool, default=False
        Continue the training of `vectors`, a ``.bin`` file, on the texts. `vector_size`, `window`,
        `sg`, `hs`, `negative`, `sample`, `min_n`, `max_n` and `bucket` are read from the file.
    pooling : {"mean", "sum", "max", "min_max", "tfidf", "sif", "usif"}, default="mean"
        How the vectors of a text's words are combined. "min_max": minimum and maximum,
        concatenated. "tfidf": mean weighted by inverse document frequency in the texts of `fit`.
        "sif": mean with lower weights for frequent words, minus the component that is common to all
        texts [2]_. "usif": the same with weights that depend on the vocabulary, and five common
        components [3]_.
    lowercase : bool, default=True
        Convert texts to lowercase before they are split.
    preprocessor : callable, default=None
        Function from text to text that replaces `lowercase`.
    tokenizer : callable, default=None
        Function from text to a list of words that replaces `token_pattern`.
    token_pattern : str, default="auto"
        Regular expression of a word. "auto": two or more letters, digits or underscores, with their
        combining marks and zero-width joiners. So words of Indic, Tibetan and pointed scripts are
        not split; all other words are those of CountVectorizer, whose pattern is
        ``r"(?u)\b\w\w+\b"``.
    stop_words : {"english"}, list, set or tuple, default=None
        Words to ignore.
    n_jobs : int, default=1
        Number of threads for training; -1: all cores. With more than one, results differ slightly
        between runs.
    random_state : int, RandomState instance or None, default=None
        Seed of the training. With an int and one thread, `fit` is reproducible to the bit.
    bad_rows : {"raise", "zero", "nan"}, default="raise"
        How rows that cannot be embedded are handled. "raise": an error names them. "zero", "nan":
        their vectors are zeros or NaN.
    verbose : int, default=0
        If 1, show progress bars, and the seconds of steps that are done once, such as a download
        or an export. With 0, these are only logged (logger "skembed", level INFO).

    Attributes
    ----------
    vocabulary_ : dict of str to int
        Index of each word, most frequent first.
    vectors_ : ndarray of shape (n_words, vector_size), float32
        Vector of each word.
    n_features_in_ : int
        Number of columns seen in `fit`.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of the columns seen in `fit`, if they have names.
    n_features_out_ : int
        Number of output features.

    Raises
    ------
    ValueError
        By `fit`, if no word occurs `min_count` times, if ``hs=0`` and ``negative=0``, if
        `max_words` or `fine_tune` is set without `vectors`, or if `fine_tune` is set with vectors
        that have no n-grams.
    VectorFileError
        By `fit`, if a file of `vectors` is damaged, or of another kind.

    Warns
    -----
    UnknownWordsWarning
        By `transform`, once, with the number of texts that contain no known word and get zeros.

    See Also
    --------
    Word2VecVectorizer : Without n-grams; faster, and smaller.
    GloVeVectorizer : Vectors trained on co-occurrence counts.

    Notes
    -----
    A row may also be a list of words, which is used unchanged. gensim truncates texts to 10,000
    words; longer texts are split into several parts for it. gensim leaves random numbers in buckets
    without an n-gram of the vocabulary, which are never trained; here they are zeros.

    Rows that are neither text nor lists of words (None, NaN, numbers) cannot be embedded. gensim
    receives an int `random_state` unchanged.

    `vectors_` includes the n-grams of each word.

    References
    ----------
    .. [1] P. Bojanowski, E. Grave, A. Joulin, T. Mikolov, "Enriching Word Vectors with Subword
       Information", TACL 2017.
    .. [2] S. Arora, Y. Liang, T. Ma, "A Simple but Tough-to-Beat Baseline for Sentence Embeddings",
       ICLR 2017.
    .. [3] K. Ethayarajh, "Unsupervised Random Walk Sentence Embeddings: A Strong but Simple
       Baseline", RepL4NLP 2018.

    Examples
    --------
    >>> from skembed import FastTextVectorizer
    >>> texts = ["the cat sat on the mat", "the dog sat on the rug", "a cat and a dog"] * 20
    >>> embedder = FastTextVectorizer(16, min_count=1, bucket=1000, random_state=0)
    >>> embedder.fit(texts).transform(["dogs and cats"]).shape
    (1, 16)
    >>> "cats" in embedder.vocabulary_, round(embedder.similarity("cats", "cat"), 1)
    (False, ...)
    """

    _parameter_constraints: dict = {
        **_WordVectorizer._parameter_constraints,
        **GENSIM_CONSTRAINTS,
        "min_n": [Interval(Integral, 1, None, closed="left")],
        "max_n": [Interval(Integral, 0, None, closed="left")],
        "bucket": [Interval(Integral, 1, None, closed="left")],
        "oov": [StrOptions({"subword", "ignore"})],
    }

    def __init__(
        self,
        vector_size: int = 100,
        *,
        window: int = 5,
        min_count: int = 5,
        sg: Literal[0, 1] = 0,
        hs: Literal[0, 1] = 0,
        negative: int = 5,
        epochs: int = 5,
        alpha: float = 0.025,
        sample: float = 1e-3,
        min_n: int = 3,
        max_n: int = 6,
        bucket: int = 2_000_000,
        oov: Literal["subword", "ignore"] = "subword",
        vectors: FilePath | KeyedVectors | None = None,
        max_words: int | None = None,
        fine_tune: bool = False,
        pooling: WordPooling = "mean",
        lowercase: bool = True,
        preprocessor: Preprocessor | None = None,
        tokenizer: Tokenizer | None = None,
        token_pattern: str | None = TOKEN_PATTERN,
        stop_words: StopWords = None,
        n_jobs: int | None = 1,
        random_state: RandomState = None,
        bad_rows: BadRows = "raise",
        verbose: int = 0,
    ) -> None:
        self.vector_size = vector_size
        self.window = window
        self.min_count = min_count
        self.sg = sg
        self.hs = hs
        self.negative = negative
        self.epochs = epochs
        self.alpha = alpha
        self.sample = sample
        self.min_n = min_n
        self.max_n = max_n
        self.bucket = bucket
        self.oov = oov
        self.vectors = vectors
        self.max_words = max_words
        self.fine_tune = fine_tune
        self.pooling = pooling
        self.lowercase = lowercase
        self.preprocessor = preprocessor
        self.tokenizer = tokenizer
        self.token_pattern = token_pattern
        self.stop_words = stop_words
        self.n_jobs = n_jobs
        self.random_state = random_state
        self.bad_rows = bad_rows
        self.verbose = verbose

    _writes_ngrams = True

    def _uses_subwords(self):
        return self.oov == "subword"

    def _check_parameters(self):
        super()._check_parameters()
        if self.fine_tune and self.max_words:
            raise ValueError(
                "fine_tune continues the training of all words of a .bin file: leave max_words out."
            )

    def _train(self, words, start):
        from gensim.models import FastText

        settings = model_settings(self)
        if start is not None:
            model = self._load_model(start, settings)
            build_vocabulary(self, model, words, update=True)
        else:
            names = ("vector_size", "min_n", "max_n", "bucket")
            model = FastText(**{name: self._python_value(name) for name in names}, **settings)
            build_vocabulary(self, model, words)
        train(self, model, words)
        table = from_keyed_vectors(model.wv)
        table = replace(table, state=_state_of(model, table, len(words.ids)))
        if start is not None or table.subwords is None:
            return table
        # gensim keeps random initial vectors in buckets that no n-gram of the vocabulary uses.
        used = np.unique(np.concatenate(model.wv.buckets_word)).astype(np.int64)
        rows = table.subwords.vectors[used]
        return replace(table, subwords=replace(table.subwords, vectors=rows, buckets=used))

    def _load_model(self, start, settings):
        """Load a ``.bin`` file, whose vectors were checked before, as gensim's model."""
        from gensim.models.fasttext import load_facebook_model

        if start.state is None or not isinstance(self.vectors, (str, os.PathLike)):
            raise ValueError(
                "fine_tune needs a .bin file of fastText: other vectors lack n-grams and output "
                "weights."
            )
        path = os.fspath(self.vectors)
        if start.state.output is None:
            raise VectorFileError(
                f"{path} is truncated after its vectors, or a classifier: it lacks the output "
                "weights that training needs."
            )
        window, negative = (start.state.settings[name] for name in ("window", "negative"))
        hs = start.state.settings["hs"]
        # gensim fails in its training threads for other settings, and then waits forever.
        if not 1 <= window <= _MAX_SETTING or not (0 < negative <= _MAX_SETTING or hs):
            raise VectorFileError(
                f"The training of {path} cannot be continued: window={window}, "
                f"negative={negative}, hs={hs}."
            )
        try:
            with decompressed(path) as plain:
                model = load_facebook_model(plain)
        except (AssertionError, ValueError) as error:
            raise VectorFileError(f"The training of {path} cannot be continued: {error}") from error
        model.seed, model.workers = settings["seed"], settings["workers"]
        model.random = np.random.RandomState(model.seed)
        model.alpha, model.min_count = settings["alpha"], settings["min_count"]
        return model


def _state_of(model, table, n_tokens):
    """Return the `FastTextState` of gensim's model; of two output layers, negative sampling's."""
    names = ("window", "epochs", "min_count", "negative", "sg", "sample")
    settings = {name: getattr(model, name) for name in names}
    return FastTextState(
        own_vectors=table.vectors if table.subwords is None else model.wv.vectors_vocab,
        counts=np.array([model.wv.get_vecattr(word, "count") for word in table.words]),
        output=model.syn1neg if model.negative else model.syn1,
        settings={**settings, "hs": int(not model.negative), "n_tokens": n_tokens},
    )
