"""Training with gensim: what Word2VecVectorizer and FastTextVectorizer have in common."""

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
    """Return the parameters that gensim's Word2Vec and FastText share, under gensim's names.

    Raises
    ------
    ValueError
        If nothing would be learned.
    """
    if not estimator.hs and not estimator.negative:
        raise ValueError("Nothing is learned with hs=0 and negative=0: set one of them.")
    names = ("window", "min_count", "sg", "hs", "negative", "epochs", "alpha", "sample")
    settings = {name: estimator._plain(name) for name in names}
    workers = effective_n_jobs(estimator._plain("n_jobs"))
    return {**settings, "seed": seed_of(estimator.random_state), "workers": workers}


def sentences_of(words):
    """Return rows as gensim reads them, longer ones cut: it would leave out the rest in silence.

    Parameters
    ----------
    words : NumberedWords
        The words of each row.

    Returns
    -------
    sentences : list of lists of str
        The same words. Equal ones are one object, which spares memory and makes them be found
        faster.
    """
    from gensim.models.word2vec import MAX_WORDS_IN_BATCH as LONGEST

    flat = np.array(words.distinct, dtype=object)[words.ids].tolist()
    return [
        flat[first : min(first + LONGEST, stop)]
        for start, stop in pairwise(words.starts.tolist())
        for first in range(start, max(stop, start + 1), LONGEST)
    ]


def build_vocabulary(estimator, model, words, *, update=False):
    """Give a model the words' counts; raise a ValueError if none is frequent enough.

    gensim would count them in a loop of Python's.
    """
    counts = dict(zip(words.distinct, words.counts().tolist(), strict=True))
    model.build_vocab_from_freq(counts, update=update)
    if not len(model.wv):
        raise estimator._no_words_error(words)


def train(estimator, model, words):
    """Train a model whose vocabulary is built, as gensim does when it is given sentences."""
    sentences = sentences_of(words)
    with estimator._progress(estimator._plain("epochs"), unit="epoch") as bar:
        model.train(
            sentences,
            total_examples=len(sentences),
            total_words=len(words.ids),
            epochs=estimator._plain("epochs"),
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
