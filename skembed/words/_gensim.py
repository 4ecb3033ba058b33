"""Training with gensim, shared by Word2VecVectorizer and FastTextVectorizer."""

from itertools import pairwise
from numbers import Integral, Real

import numpy as np
from joblib import effective_n_jobs
from sklearn.utils._param_validation import Interval, Options

from skembed.base._seeds import seed_of

GENSIM_CONSTRAINTS = {
    "sg": [Options(Integral, {0, 1})],
    "hs": [Options(Integral, {0, 1})],
    "negative": [Interval(Integral, 0, None, closed="left")],
    "alpha": [Interval(Real, 0, None, closed="neither")],
    "sample": [Interval(Real, 0, None, closed="left")],
}


def model_settings(estimator):
    """Return the parameters that gensim's Word2Vec and FastText share, with gensim's names.

    Raises
    ------
    ValueError
        If both ``hs`` and ``negative`` are 0.
    """
    if not estimator.hs and not estimator.negative:
        raise ValueError("hs=0 and negative=0 train nothing: set one of them.")
    names = ("window", "min_count", "sg", "hs", "negative", "epochs", "alpha", "sample")
    settings = {name: estimator._python_value(name) for name in names}
    workers = effective_n_jobs(estimator._python_value("n_jobs"))
    return {**settings, "seed": seed_of(estimator.random_state), "workers": workers}


def sentences_of(words):
    """Return rows as gensim's sentences; long rows are split, because gensim truncates them.

    Parameters
    ----------
    words : NumberedWords
        The words of each row.

    Returns
    -------
    sentences : list of lists of str
        The same words. Equal words are one object, which saves memory and makes gensim's look-ups
        faster.
    """
    from gensim.models.word2vec import MAX_WORDS_IN_BATCH

    flat = np.array(words.distinct, dtype=object)[words.ids].tolist()
    return [
        flat[first : min(first + MAX_WORDS_IN_BATCH, stop)]
        for start, stop in pairwise(words.starts.tolist())
        for first in range(start, max(stop, start + 1), MAX_WORDS_IN_BATCH)
    ]


def build_vocabulary(estimator, model, words, *, update=False):
    """Build a model's vocabulary from counts; raise a ValueError if it is empty.

    gensim's ``build_vocab`` would count the words in a Python loop.
    """
    counts = dict(zip(words.distinct, words.counts().tolist(), strict=True))
    model.build_vocab_from_freq(counts, update=update)
    if not len(model.wv):
        raise estimator._empty_vocabulary_error(words)


def train(estimator, model, words):
    """Train a model whose vocabulary is built, as gensim's constructor does with sentences."""
    sentences = sentences_of(words)
    epochs = estimator._python_value("epochs")
    with estimator._progress(epochs, unit="epoch") as bar:
        model.train(
            sentences,
            total_examples=len(sentences),
            total_words=len(words.ids),
            epochs=epochs,
            start_alpha=model.alpha,
            end_alpha=model.min_alpha,
            callbacks=[_ProgressCallback(bar)],
        )


class _ProgressCallback:
    """Callback for gensim that updates a progress bar."""

    def __init__(self, bar):
        self._bar = bar

    def _do_nothing(self, model):
        pass

    on_train_begin = on_train_end = on_epoch_begin = _do_nothing

    def on_epoch_end(self, model):
        self._bar.update(1)
