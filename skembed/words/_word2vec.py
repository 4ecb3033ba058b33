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
from skembed.words._table import numbers_in, with_words_of
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


class Word2VecVectorizer(_WordVectorizer):
    r"""Embed texts by the vectors of their words, trained in `fit` with Word2Vec [1]_ [2]_.

    gensim trains, on the texts that `fit` is given: in a pipeline that is cross-validated, on the
    training folds alone. A text's vector is what `pooling` makes of the vectors of its words.

    Parameters
    ----------
    vector_size : int, default=100
        Dimensions of a word's vector. Not used with `vectors`, which have their own.
    window : int, default=5
        Words on either side that are a word's context, at most.
    min_count : int, default=5
        Words that occur less often are left out.
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
    vectors : str, path, gensim.models.KeyedVectors or None, default=None
        Published vectors instead of training: a file in word2vec's text or binary format, GloVe's
        text, fastText's ``.vec`` or ``.bin``, also packed by gzip, bz2 or xz, told apart by their
        content; or gensim's object. Never a pickle. Set ``lowercase=False`` for vectors of cased
        words.
    max_words : int, default=None
        How many words of `vectors` to read, from the first on. None: all.
    fine_tune : bool, default=False
        Go on training from `vectors` on the texts. Words that do not occur in the texts keep their
        vectors.
    pooling : {"mean", "sum", "max", "min_max", "tfidf", "sif", "usif"}, default="mean"
        How the vectors of a text's words become one. "min_max": both, side by side. "tfidf": mean
        weighted by the inverse document frequencies of the texts seen in `fit`. "sif": frequent
        words weigh less, and the direction that is common to all texts is taken away [3]_. "usif":
        the same with weights that depend on the vocabulary and five directions [4]_.
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
        Their vectors.
    n_features_in_ : int
        Columns seen in `fit`.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Their names, where they have names.
    n_features_out_ : int
        Columns of the answer.

    Raises
    ------
    ValueError
        By `fit`: no word occurs `min_count` times, ``hs=0`` and ``negative=0``, or `max_words` or
        `fine_tune` without `vectors`.
    VectorFileError
        By `fit`: a file of `vectors` is damaged, or of another kind.

    Warns
    -----
    UnknownWordsWarning
        By `transform`, once, with a count: texts without any known word, which get zeros.

    See Also
    --------
    FastTextVectorizer : The same with vectors of character n-grams, so that unseen words have one.
    GloVeVectorizer : Vectors trained on the counts of words that stand together.
    sklearn.feature_extraction.text.TfidfVectorizer : Counts of words; often the better choice
        where thousands of labeled texts share a vocabulary.

    Notes
    -----
    A row may also be a list of words, which is taken as it stands. gensim reads 10,000 words of a
    text; longer ones are handed to it in several parts.

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

    Published vectors, here of a file that gensim ships:

    >>> from gensim.test.utils import datapath
    >>> glove = Word2VecVectorizer(vectors=datapath("test_glove.txt"), token_pattern=r"\w+")
    >>> glove.fit_transform(["the ö and the é"]).shape
    (1, 50)
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

        n_dims = self._plain("vector_size") if start is None else start.vectors.shape[1]
        model = Word2Vec(vector_size=n_dims, **model_settings(self))
        build_vocabulary(self, model, words)
        if start is not None:
            here, there = numbers_in(model.wv.key_to_index, start)
            model.wv.vectors[here] = start.vectors[there]
        train(self, model, words)
        return with_words_of(from_keyed_vectors(model.wv), start)
