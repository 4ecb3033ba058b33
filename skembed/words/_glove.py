"""GloVeVectorizer: word vectors trained on co-occurrence counts, or read from a file."""

from __future__ import annotations

from numbers import Real
from typing import TYPE_CHECKING

import numpy as np
from joblib import effective_n_jobs
from sklearn.utils._param_validation import Interval

from skembed.base._seeds import seed_of
from skembed.words._base import _WordVectorizer
from skembed.words._glove_training import GloVeModel, count_pairs, frequent_words
from skembed.words._table import append_missing_words, common_indices, table_from_words
from skembed.words._tokenize import TOKEN_PATTERN

if TYPE_CHECKING:
    from skembed.base._typing import BadRows, FilePath, RandomState
    from skembed.words._typing import KeyedVectors, Preprocessor, StopWords, Tokenizer, WordPooling


class GloVeVectorizer(_WordVectorizer):
    r"""Embed texts by the vectors of their words, trained in `fit` with GloVe [1]_.

    Co-occurrences of words at most `window` words apart are counted. Vectors are trained whose dot
    products approximate log counts. Training needs numba: ``pip install 'skembed[glove]'``.
    `pooling` combines the vectors of a text's words.

    Parameters
    ----------
    vector_size : int, default=100
        Length of a word's vector. Ignored if `vectors` are given, which have their own length.
    window : int, default=10
        Maximum number of context words on either side of a word.
    min_count : int, default=5
        Minimum number of occurrences; rarer words are not in the vocabulary.
    epochs : int, default=25
        Number of passes over the pairs.
    x_max : float, default=10
        A pair that is counted x times has the weight ``min(1, (x / x_max) ** power)``. The paper
        uses 100 for billions of words.
    power : float, default=0.75
        See `x_max`.
    learning_rate : float, default=0.05
        Initial learning rate; AdaGrad decreases it for each value separately.
    vectors : str, path, gensim.models.KeyedVectors or None, default=None
        Pretrained vectors to use instead of training: a file in word2vec's text or binary, GloVe's
        text, or fastText's ``.vec`` or ``.bin`` format; or gensim's object. The content decides the
        format. Files may be compressed with gzip, bz2 or xz. Pickles are not read. Set
        ``lowercase=False`` for cased words.
    max_words : int, default=None
        Maximum number of words read from `vectors`, from the first. None: all.
    fine_tune : bool, default=False
        Train with `vectors` as initial values. Words that do not occur in the texts keep their
        vectors.
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
    loss_curve_ : list of float or None
        Mean of half the weighted squared error over all pairs, for each epoch. None: no training
        took place.
    n_features_in_ : int
        Number of columns seen in `fit`.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of the columns seen in `fit`, if they have names.
    n_features_out_ : int
        Number of output features.

    Raises
    ------
    ValueError
        By `fit`, if no word occurs `min_count` times, if no two such words co-occur, if training
        diverges, or if `max_words` or `fine_tune` is set without `vectors`.
    MissingDependencyError
        By `fit`, if numba is not installed.
    VectorFileError
        By `fit`, if a file of `vectors` is damaged, or of another kind.

    Warns
    -----
    UnknownWordsWarning
        By `transform`, once, with the number of texts that contain no known word and get zeros.

    See Also
    --------
    Word2VecVectorizer : Vectors trained to predict the context of a word.
    FastTextVectorizer : Also trains vectors of character n-grams, so that unseen words have
        vectors.

    Notes
    -----
    A row may also be a list of words, which is used unchanged. A word has two vectors, one as a
    word and one as a context; their sum is used. As in the authors' program, AdaGrad adds up the
    squares of the steps, which include the learning rate, and the learning rate of the biases is 1.
    Training needs about 32 bytes per pair.

    Rows that are neither text nor lists of words (None, NaN, numbers) cannot be embedded.

    A word at distance d in the context counts 1/d. Rare words are removed before distances are
    measured.

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

    def _fit_rows(self, rows, labels):
        self.loss_curve_ = None
        super()._fit_rows(rows, labels)

    def _train(self, words, start):
        frequent, ids = frequent_words(words, self._python_value("min_count"))
        if not frequent:
            raise self._empty_vocabulary_error(words)
        vocabulary = {word: index for index, word in enumerate(frequent)}
        pairs = count_pairs(ids, words.starts, len(frequent), self._python_value("window"))
        if not len(pairs.rows):
            raise ValueError(
                f"{type(self).__name__}: no two words that occur min_count={self.min_count} times "
                "or more co-occur in a row; there are no pairs to train on."
            )
        random = np.random.default_rng(seed_of(self.random_state))
        model = GloVeModel(len(frequent), self._n_dims_of_words(start), random)
        if start is not None:
            indices, start_indices = common_indices(vocabulary, start)
            model.set_vectors(indices, start.vectors[start_indices])
        self.loss_curve_ = self._train_epochs(model, pairs, random)
        table = table_from_words(frequent, model.vectors)
        return append_missing_words(table, start)

    def _train_epochs(self, model, pairs, random):
        """Train, and return the loss of each epoch."""
        epochs = model.train(
            pairs,
            epochs=self._python_value("epochs"),
            x_max=self._python_value("x_max"),
            power=self._python_value("power"),
            learning_rate=self._python_value("learning_rate"),
            n_threads=effective_n_jobs(self._python_value("n_jobs")),
            random=random,
        )
        losses = []
        with self._progress(self._python_value("epochs"), unit="epoch") as bar:
            for loss in epochs:
                if not np.isfinite(loss):
                    raise ValueError(
                        f"{type(self).__name__}: training diverged in epoch {len(losses) + 1}. "
                        f"Lower learning_rate={self.learning_rate}."
                    )
                losses.append(float(loss))
                bar.update(1)
        return losses
