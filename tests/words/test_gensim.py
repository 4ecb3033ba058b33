"""Training with gensim: long rows, threads, progress.

The vectors are compared with gensim's in test_word2vec and test_fasttext.
"""

import numpy as np
from gensim.models import Word2Vec

from skembed import Word2VecVectorizer


def test_texts_longer_than_gensim_reads_are_read_to_the_end(words):
    """Gensim truncates texts to 10,000 words without a warning."""
    long = [word for row in words for word in row] * 2
    embedder = Word2VecVectorizer(5, epochs=1, random_state=0).fit([long])
    parts = [long[start : start + 10_000] for start in range(0, len(long), 10_000)]
    assert len(parts) > 5
    model = Word2Vec(parts, vector_size=5, epochs=1, seed=0, workers=1)
    np.testing.assert_array_equal(embedder.vectors_, model.wv.vectors)


def test_several_threads_train(news):
    embedder = Word2VecVectorizer(5, epochs=1, n_jobs=2).fit(news)
    assert np.isfinite(embedder.vectors_).all()


def test_verbose_shows_a_progress_bar_and_quiet_shows_nothing(news, capsys):
    embedder = Word2VecVectorizer(5, epochs=2, verbose=1).fit(news)
    embedder.transform(news)
    shown = capsys.readouterr().err
    assert "Word2VecVectorizer: 100%" in shown
    assert "2/2" in shown
    n_unique = len(set(news))
    assert f"{n_unique}/{n_unique}" in shown
    embedder.set_params(verbose=0).fit(news).transform(news)
    assert capsys.readouterr() == ("", "")
