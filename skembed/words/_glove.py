"""GloVeVectorizer: word vectors trained on counts of pairs, or read from a file."""

from __future__ import annotations

from numbers import Real
from typing import TYPE_CHECKING

import numpy as np
from joblib import effective_n_jobs
from sklearn.utils._param_validation import Interval

from skembed.base._seeds import seed_of
from skembed.words._base import _WordVectorizer
from skembed.words._glove_training import Model, count_pairs, frequent_words
from skembed.words._table import numbers_in, table_of_words, with_words_of
from skembed.words._tokenize import TOKEN_PATTERN

if TYPE_CHECKING:
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


class GloVeVectorizer(_WordVectorizer):
    r"""Embed texts by the vectors of their words, trained in `fit` with GloVe [1]_.

    Words that stand together, at most `window` words apart, are counted; vectors are learned whose
    products come near the logarithms of the counts. Needs numba: ``pip install 'skembed[glove]'``,
    unless `vectors` are given. A text's vector is what `pooling` makes of the vectors of its words.

    Parameters
    ----------
    vector_size : int, default=100
        Dimensions of a word's vector. Not used with `vectors`, which have their own.
    window : int, default=10
        Words on either side that are a word's context, at most. A word so many words away counts
        as one divided by so many; words that are left out are not counted.
    min_count : int, default=5
        Words that occur less often are left out.
    epochs : int, default=25
        Passes over the pairs.
    x_max : float, default=10
        A pair that is counted x times weighs ``min(1, (x / x_max) ** power)``. For billions of
        words the paper takes 100.
    power : float, default=0.75
        See `x_max`.
    learning_rate : float, default=0.05
        Learning rate at the start; AdaGrad lowers it, value by value.
    vectors : str, path, gensim.models.KeyedVectors or None, default=None
        Published vectors instead of training: a file in word2vec's text or binary format, GloVe's
        text, fastText's ``.vec`` or ``.bin``, also packed by gzip, bz2 or xz, told apart by their
        content; or gensim's object. Never a pickle. Set ``lowercase=False`` for vectors of cased
        words.
    max_words : int, default=None
        How many words of `vectors` to read, from the first on. None: all.
    fine_tune : bool, default=False
        Train with `vectors` as first values. Words that do not occur in the texts keep their
        vectors.
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
        Seeds training. With an int and one thread, `fit` gives the same bits again.
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
        Their vectors.
    loss_curve_ : list of float or None
        Mean over all pairs, after each epoch, of half the weighted squared error. None: nothing was
        trained.
    n_features_in_ : int
        Columns seen in `fit`.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Their names, where they have names.
    n_features_out_ : int
        Columns of the answer.

    Raises
    ------
    ValueError
        By `fit`: no word occurs `min_count` times, no two of them stand together, training
        diverges, or `max_words` or `fine_tune` without `vectors`.
    MissingDependencyError
        By `fit`: numba is not installed.
    VectorFileError
        By `fit`: a file of `vectors` is damaged, or of another kind.

    Warns
    -----
    UnknownWordsWarning
        By `transform`, once, with a count: texts without any known word, which get zeros.

    See Also
    --------
    Word2VecVectorizer : Vectors that predict the words around a word.
    FastTextVectorizer : The same with vectors of character n-grams, so that unseen words have one.

    Notes
    -----
    A row may also be a list of words, which is taken as it stands. A word has two vectors, as a
    word and as a context; their sum is used. As in the authors' program the squares that AdaGrad
    adds up are those of the steps, learning rate included, and biases are learned at rate one.
    Training takes some 32 bytes a pair.

    References
    ----------
    .. [1] J. Pennington, R. Socher, C. D. Manning, "GloVe: Global Vectors for Word Representation",
       EMNLP 2014.
    .. [2] S. Arora, Y. Liang, T. Ma, "A Simple but Tough-to-Beat Baseline for Sentence Embeddings",
       ICLR 2017.
    .. [3] K. Ethayarajh, "Unsupervised Random Walk Sentence Embeddings: A Strong but Simple
       Baseline", RepL4NLP 2018.

    Examples
    --------
    >>> from skembed import GloVeVectorizer
    >>> texts = ["the cat sat on the mat", "the dog sat on the rug", "a cat and a dog"] * 20
    >>> embedder = GloVeVectorizer(16, min_count=1, random_state=0).fit(texts)
    >>> embedder.transform(["a cat and a dog"]).shape
    (1, 16)
    >>> embedder.loss_curve_[-1] < embedder.loss_curve_[0]
    True
    """

    _parameter_constraints: dict = {
        **_WordVectorizer._parameter_constraints,
        "x_max": [Interval(Real, 0, None, closed="neither")],
        "power": [Interval(Real, 0, None, closed="left")],
        "learning_rate": [Interval(Real, 0, None, closed="neither")],
    }
    loss_curve_: list[float] | None

    def __init__(
        self,
        vector_size: int = 100,
        *,
        window: int = 10,
        min_count: int = 5,
        epochs: int = 25,
        x_max: float = 10,
        power: float = 0.75,
        learning_rate: float = 0.05,
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
        self.epochs = epochs
        self.x_max = x_max
        self.power = power
        self.learning_rate = learning_rate
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

    def _fit_rows(self, rows, y):
        self.loss_curve_ = None
        super()._fit_rows(rows, y)

    def _train(self, words, start):
        frequent, ids = frequent_words(words, self._plain("min_count"))
        if not frequent:
            raise self._no_words_error(words)
        vocabulary = {word: number for number, word in enumerate(frequent)}
        pairs = count_pairs(ids, words.starts, len(frequent), self._plain("window"))
        if not len(pairs.rows):
            raise ValueError(
                f"{type(self).__name__}: no two words that occur min_count={self.min_count} times "
                "or more stand together in a row; there is nothing to learn from."
            )
        random = np.random.default_rng(seed_of(self.random_state))
        n_dims = self._plain("vector_size") if start is None else start.vectors.shape[1]
        model = Model(len(frequent), n_dims, random)
        if start is not None:
            here, there = numbers_in(vocabulary, start)
            model.start_from(here, start.vectors[there])
        self.loss_curve_ = self._losses(model, pairs, random)
        table = table_of_words(frequent, model.vectors)
        return with_words_of(table, start)

    def _losses(self, model, pairs, random):
        """Train, and return the loss of each epoch."""
        epochs = model.train(
            pairs,
            epochs=self._plain("epochs"),
            x_max=self._plain("x_max"),
            power=self._plain("power"),
            rate=self._plain("learning_rate"),
            n_threads=effective_n_jobs(self._plain("n_jobs")),
            random=random,
        )
        losses = []
        with self._progress(self._plain("epochs"), unit="epoch") as bar:
            for loss in epochs:
                if not np.isfinite(loss):
                    raise ValueError(
                        f"{type(self).__name__}: training diverged in epoch {len(losses) + 1}. "
                        f"Lower learning_rate={self.learning_rate}."
                    )
                losses.append(float(loss))
                bar.update(1)
        return losses
