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
from skembed.words._gensim import (
    GENSIM_CONSTRAINTS,
    build_vocabulary,
    model_settings,
    train,
)
from skembed.words._keyed_vectors import from_keyed_vectors
from skembed.words._packed import unpacked
from skembed.words._subwords import FastTextState
from skembed.words._tokenize import TOKEN_PATTERN

if TYPE_CHECKING:
    from typing import Literal

    from skembed.base._typing import (
        BadRows,
        FilePath,
        KeyedVectors,
        Preprocessor,
        RandomState,
        StopWords,
        Tokenizer,
        WordPooling,
    )


_MOST = 10_000  # words around a word, and negative examples, in the settings of a file


class FastTextVectorizer(_WordVectorizer):
    r"""Embed texts by the vectors of their words, trained in `fit` with fastText [1]_.

    A word's vector is the mean of its own and of those of its character n-grams. So a word that was
    not seen in `fit`, or too seldom, has one, too: misspelt words and rare forms come out near
    their kin. gensim trains.

    Parameters
    ----------
    vector_size : int, default=100
        Dimensions of a word's vector. Not used with `vectors`, which have their own.
    window : int, default=5
        Words on either side that are a word's context, at most.
    min_count : int, default=5
        Words that occur less often have no vector of their own.
    sg : {0, 1}, default=0
        1: skip-gram, a word predicts its context. 0: CBOW, the context predicts the word.
    hs : {0, 1}, default=0
        1: hierarchical softmax.
    negative : int, default=5
        Words drawn as negative examples for each word. 0: none.
    epochs : int, default=5
        Passes over the texts.
    alpha : float, default=0.025
        Learning rate at the start; it falls to 0.0001.
    sample : float, default=1e-3
        Share of all words above which a word's occurrences are thinned out. 0: none are.
    min_n : int, default=3
        Least characters of an n-gram; a word's beginning and end count as one each.
    max_n : int, default=6
        Most characters of an n-gram. 0: no n-grams.
    bucket : int, default=2_000_000
        Into how many n-grams are hashed. Training takes ``4 * bucket * vector_size`` bytes; what is
        kept afterwards are the buckets that were used.
    oov : {"subword", "ignore"}, default="subword"
        What to do with words outside the vocabulary: make their vectors of their n-grams, or leave
        them out.
    vectors : str, path, gensim.models.KeyedVectors or None, default=None
        Published vectors instead of training: a file in fastText's ``.bin`` format, with n-grams;
        or, without n-grams, ``.vec``, word2vec's text or binary format or GloVe's text; also packed
        by gzip, bz2 or xz, told apart by their content; or gensim's object. Never a pickle. A
        ``.bin`` file is mapped into memory. Set ``lowercase=False`` for vectors of cased words.
    max_words : int, default=None
        How many words of `vectors` to read, from the first on. None: all.
    fine_tune : bool, default=False
        Go on training from `vectors`, a ``.bin`` file, on the texts; `vector_size`, `window`, `sg`,
        `hs`, `negative`, `sample`, `min_n`, `max_n` and `bucket` are those of the file.
    pooling : {"mean", "sum", "max", "min_max", "tfidf", "sif", "usif"}, default="mean"
        How the vectors of a text's words become one. "min_max": both, side by side. "tfidf": mean
        weighted by the inverse document frequencies of the texts seen in `fit`. "sif": frequent
        words weigh less, and the direction that is common to all texts is taken away [2]_. "usif":
        the same with weights that depend on the vocabulary and five directions [3]_.
    lowercase : bool, default=True
        Put texts in lower case first.
    preprocessor : callable, default=None
        Function from text to text, in place of `lowercase`.
    tokenizer : callable, default=None
        Function from text to a list of words, in place of `token_pattern`.
    token_pattern : str, default="auto"
        Regular expression of a word. "auto": two or more letters, digits or underscores, with their
        combining marks and zero-width joiners, so that words of Indic, Tibetan and pointed scripts
        stay whole; other words are those of CountVectorizer, whose pattern is
        ``r"(?u)\b\w\w+\b"``.
    stop_words : {"english"}, list, set or tuple, default=None
        Words to leave out.
    n_jobs : int, default=1
        Threads to train on; -1: all cores. With more than one, results differ a little from run to
        run.
    random_state : int, RandomState instance or None, default=None
        Seeds training; an int is handed to gensim as it is. With an int and one thread, `fit` gives
        the same bits again.
    bad_rows : {"raise", "zero", "nan"}, default="raise"
        What to do with rows that are neither text nor lists of words (None, NaN, numbers): raise an
        error that names them, or give them a vector of zeros or NaN.
    verbose : int, default=0
        1: show a progress bar.

    Attributes
    ----------
    vocabulary_ : dict of str to int
        The number of each word; frequent words first.
    vectors_ : ndarray of shape (n_words, vector_size), float32
        Their vectors, n-grams included.
    n_features_in_ : int
        Columns seen in `fit`.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Their names, where they have names.
    n_features_out_ : int
        Columns of the answer.

    Raises
    ------
    ValueError
        By `fit`: no word occurs `min_count` times, ``hs=0`` and ``negative=0``, `max_words` or
        `fine_tune` without `vectors`, or `fine_tune` with vectors that have no n-grams.
    VectorFileError
        By `fit`: a file of `vectors` is damaged, or of another kind.

    Warns
    -----
    UnknownWordsWarning
        By `transform`, once, with a count: texts without any known word, which get zeros.

    See Also
    --------
    Word2VecVectorizer : The same without n-grams; faster, and smaller.
    GloVeVectorizer : Vectors trained on the counts of words that stand together.

    Notes
    -----
    A row may also be a list of words, which is taken as it stands. gensim reads 10,000 words of a
    text; longer ones are handed to it in several parts. Buckets into which no n-gram of the
    vocabulary fell have learned nothing; gensim leaves random numbers in them, here they count as
    zeros.

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

    def _wants_subwords(self):
        return self.oov == "subword"

    def _check_parameters(self):
        super()._check_parameters()
        if self.fine_tune and self.max_words:
            raise ValueError(
                "fine_tune goes on with the whole of a .bin file: leave max_words out."
            )

    def _train(self, words, start):
        from gensim.models import FastText

        settings = model_settings(self)
        if start is not None:
            model = self._model_of_file(start, settings)
            build_vocabulary(self, model, words, update=True)
        else:
            names = ("vector_size", "min_n", "max_n", "bucket")
            model = FastText(**{name: self._plain(name) for name in names}, **settings)
            build_vocabulary(self, model, words)
        train(self, model, words)
        table = from_keyed_vectors(model.wv)
        table = replace(table, state=_state_of(model, table, len(words.ids)))
        if start is not None or table.subwords is None:
            return table
        used = np.unique(np.concatenate(model.wv.buckets_word)).astype(np.int64)
        rows = table.subwords.vectors[used]
        return replace(table, subwords=replace(table.subwords, vectors=rows, buckets=used))

    def _model_of_file(self, start, settings):
        """Let gensim load a ``.bin`` file that has proved sound as far as its vectors go."""
        from gensim.models.fasttext import load_facebook_model

        if start.state is None or not isinstance(self.vectors, (str, os.PathLike)):
            raise ValueError(
                "fine_tune needs a .bin file of fastText: other vectors lack the n-grams and what "
                "the network had learned besides."
            )
        path = os.fspath(self.vectors)
        if start.state.output is None:
            raise VectorFileError(
                f"{path} is cut off after its vectors, or a classifier: what training needs "
                "besides is not there."
            )
        window, negative = (start.state.settings[name] for name in ("window", "negative"))
        hierarchical = start.state.settings["hs"]
        if not 1 <= window <= _MOST or not (0 < negative <= _MOST or hierarchical):
            raise VectorFileError(
                f"{path} cannot be trained further: window={window}, negative={negative}, "
                f"hs={hierarchical}."
            )
        try:
            with unpacked(path) as plain:
                model = load_facebook_model(plain)
        except (AssertionError, ValueError) as error:
            raise VectorFileError(f"{path} cannot be trained further: {error}") from error
        model.seed, model.workers = settings["seed"], settings["workers"]
        model.random = np.random.RandomState(model.seed)
        model.alpha, model.min_count = settings["alpha"], settings["min_count"]
        return model


def _state_of(model, table, n_tokens):
    """Return what gensim's model has learned besides, with negative sampling if it had both."""
    names = ("window", "epochs", "min_count", "negative", "sg", "sample")
    settings = {name: getattr(model, name) for name in names}
    return FastTextState(
        own=table.vectors if table.subwords is None else model.wv.vectors_vocab,
        counts=np.array([model.wv.get_vecattr(word, "count") for word in table.words]),
        output=model.syn1neg if model.negative else model.syn1,
        settings={**settings, "hs": int(not model.negative), "n_tokens": n_tokens},
    )
