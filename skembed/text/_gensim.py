"""Training with gensim: what Word2VecVectorizer and FastTextVectorizer have in common."""

from numbers import Integral, Real

from joblib import effective_n_jobs
from sklearn.utils._param_validation import Interval, Options

GENSIM_CONSTRAINTS = {
    "sg": [Options(Integral, {0, 1})],
    "hs": [Options(Integral, {0, 1})],
    "negative": [Interval(Integral, 0, None, closed="left")],
    "alpha": [Interval(Real, 0, None, closed="neither")],
    "sample": [Interval(Real, 0, None, closed="left")],
}


def model_settings(estimator):
    """Return the parameters that gensim's Word2Vec and FastText share, under gensim's names.

    Raises
    ------
    ValueError
        If nothing would be learned.
    """
    if not estimator.hs and not estimator.negative:
        raise ValueError("Nothing is learned with hs=0 and negative=0: set one of them.")
    names = ("window", "min_count", "sg", "hs", "negative", "epochs", "alpha", "sample")
    settings = {name: getattr(estimator, name) for name in names}
    return {**settings, "seed": estimator._seed(), "workers": effective_n_jobs(estimator.n_jobs)}


def sentences_of(words):
    """Cut rows that are longer than gensim reads; it would leave out the rest without a word.

    Parameters
    ----------
    words : list of n_rows lists of str
        The words of each row.

    Returns
    -------
    sentences : list of lists of str
        The same words; longer rows as several sentences.
    """
    from gensim.models.word2vec import MAX_WORDS_IN_BATCH as LONGEST

    if max(map(len, words), default=0) <= LONGEST:
        return words
    return [
        row[start : start + LONGEST] for row in words for start in range(0, len(row) or 1, LONGEST)
    ]


def build_vocabulary(estimator, model, sentences, **settings):
    """Let a model count the words; raise a ValueError if none is frequent enough."""
    model.build_vocab(sentences, keep_raw_vocab=True, **settings)
    counts, model.raw_vocab = model.raw_vocab, None
    if not len(model.wv):
        raise estimator._no_words_error(counts)


def train(estimator, model, sentences):
    """Train a model whose vocabulary is built, as gensim does when it is given sentences."""
    with estimator._progress(estimator.epochs, unit="epoch") as bar:
        model.train(
            sentences,
            total_examples=model.corpus_count,
            total_words=model.corpus_total_words,
            epochs=estimator.epochs,
            start_alpha=model.alpha,
            end_alpha=model.min_alpha,
            callbacks=[_Epochs(bar)],
        )


class _Epochs:
    """What gensim calls as it goes on."""

    def __init__(self, bar):
        self._bar = bar

    def _nothing(self, model):
        pass

    on_train_begin = on_train_end = on_epoch_begin = _nothing

    def on_epoch_end(self, model):
        self._bar.update(1)
