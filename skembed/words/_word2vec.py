"""Word2VecVectorizer: word vectors trained by gensim's Word2Vec, or read from a file."""

from __future__ import annotations

from typing import TYPE_CHECKING

from skembed.words._base import _WordVectorizer
from skembed.words._gensim import (
    GENSIM_CONSTRAINTS,
    build_vocabulary,
    model_settings,
    train,
)
from skembed.words._keyed_vectors import from_keyed_vectors
from skembed.words._table import append_missing_words, common_indices
from skembed.words._tokenize import TOKEN_PATTERN

if TYPE_CHECKING:
    from typing import Literal

    from skembed.base._typing import BadRows, FilePath, RandomState
    from skembed.words._typing import KeyedVectors, Preprocessor, StopWords, Tokenizer, WordPooling


class Word2VecVectorizer(_WordVectorizer):
    r"""Embed texts by the vectors of their words, trained in `fit` with Word2Vec [1]_ [2]_.

    gensim trains the vectors on the texts of `fit`; in a cross-validated pipeline, these are the
    training folds only. `pooling` combines the vectors of a text's words.

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
    vectors : str, path, gensim.models.KeyedVectors or None, default=None
        Pretrained vectors to use instead of training: a file in word2vec's text or binary, GloVe's
        text, or fastText's ``.vec`` or ``.bin`` format; or gensim's object. The content decides the
        format. Files may be compressed with gzip, bz2 or xz. Pickles are not read. Set
        ``lowercase=False`` for cased words.
    max_words : int, default=None
        Maximum number of words read from `vectors`, from the first. None: all.
    fine_tune : bool, default=False
        Continue the training of `vectors` on the texts. Words that do not occur in the texts keep
        their vectors.
    pooling : {"mean", "sum", "max", "min_max", "tfidf", "sif", "usif"}, default="mean"
        How the vectors of a text's words are combined. "min_max": minimum and maximum,
        concatenated. "tfidf": mean weighted by inverse document frequency in the texts of `fit`.
        "sif": mean with lower weights for frequent words, minus the component that is common to all
        texts [3]_. "usif": the same with weights that depend on the vocabulary, and five common
        components [4]_.
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
        By `fit`, if no word occurs `min_count` times, if ``hs=0`` and ``negative=0``, or if
        `max_words` or `fine_tune` is set without `vectors`.
    VectorFileError
        By `fit`, if a file of `vectors` is damaged, or of another kind.

    Warns
    -----
    UnknownWordsWarning
        By `transform`, once, with the number of texts that contain no known word and get zeros.

    See Also
    --------
    FastTextVectorizer : Also trains vectors of character n-grams, so that unseen words have
        vectors.
    GloVeVectorizer : Vectors trained on co-occurrence counts.
    sklearn.feature_extraction.text.TfidfVectorizer : Weighted word counts; often the better
        choice with thousands of labeled texts.

    Notes
    -----
    A row may also be a list of words, which is used unchanged. gensim truncates texts to 10,000
    words; longer texts are split into several parts for it.

    Rows that are neither text nor lists of words (None, NaN, numbers) cannot be embedded. gensim
    receives an int `random_state` unchanged.

    References
    ----------
    .. [1] T. Mikolov, K. Chen, G. Corrado, J. Dean, "Efficient Estimation of Word Representations
       in Vector Space", 2013, arXiv:1301.3781.
    .. [2] T. Mikolov et al., "Distributed Representations of Words and Phrases and their
       Compositionality", NeurIPS 2013.
    .. [3] S. Arora, Y. Liang, T. Ma, "A Simple but Tough-to-Beat Baseline for Sentence Embeddings",
       ICLR 2017.
    .. [4] K. Ethayarajh, "Unsupervised Random Walk Sentence Embeddings: A Strong but Simple
       Baseline", RepL4NLP 2018.

    Examples
    --------
    >>> from skembed import Word2VecVectorizer
    >>> texts = ["the cat sat on the mat", "the dog sat on the rug", "a cat and a dog"] * 20
    >>> embedder = Word2VecVectorizer(vector_size=16, min_count=1, random_state=0)
    >>> embedder.fit_transform(texts).shape
    (60, 16)
    >>> embedder.most_similar("cat", topn=2)
    [Neighbor(word=..., similarity=...), Neighbor(word=..., similarity=...)]

    Pretrained vectors are read from a file:

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     embedder.save_vectors(f"{folder}/vectors.txt")
    ...     pretrained = Word2VecVectorizer(vectors=f"{folder}/vectors.txt")
    ...     pretrained.fit_transform(texts).shape
    (60, 16)
    """

    _parameter_constraints: dict = {
        **_WordVectorizer._parameter_constraints,
        **GENSIM_CONSTRAINTS,
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

    def _train(self, words, start):
        from gensim.models import Word2Vec

        model = Word2Vec(vector_size=self._n_dims_of_words(start), **model_settings(self))
        build_vocabulary(self, model, words)
        if start is not None:
            indices, start_indices = common_indices(model.wv.key_to_index, start)
            model.wv.vectors[indices] = start.vectors[start_indices]
        train(self, model, words)
        return append_missing_words(from_keyed_vectors(model.wv), start)
