"""Similarity and analogy tasks for word vectors."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from scipy.stats import spearmanr

from skembed.base._batches import batches
from skembed.evaluation._task_files import pairs_of, questions_of
from skembed.words._keyed_vectors import from_keyed_vectors
from skembed.words._table import WordTable, check_analogy_method

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from skembed.base._typing import FilePath
    from skembed.words._base import _WordVectorizer
    from skembed.words._typing import Analogy, ComparesWords, KeyedVectors


_BATCH_QUESTIONS = 512  # answered at a time


class WordSimilarity(NamedTuple):
    """Agreement of cosines with human similarity scores.

    Attributes
    ----------
    spearman : float
        Spearman's correlation of cosines and scores over the known pairs; NaN if all cosines or
        all scores are equal.
    known : float
        Fraction of pairs whose words both have a vector.
    n_pairs : int
        Number of all pairs.
    """

    spearman: float
    known: float
    n_pairs: int


class AnalogyAccuracy(NamedTuple):
    """Accuracy of completed analogies in a section.

    Attributes
    ----------
    section : str
        Name of the section; "all" for all sections together.
    accuracy : float
        Fraction of known questions answered correctly; NaN if none is known.
    known : float
        Fraction of questions whose four words are in the vocabulary.
    n_questions : int
        Number of all questions in the section.
    """

    section: str
    accuracy: float
    known: float
    n_questions: int


def word_similarity(
    embedder: ComparesWords, pairs: FilePath | Sequence[tuple[str, str, float]] = "wordsim353"
) -> WordSimilarity:
    """Compare cosines of word vectors with human similarity scores.

    Parameters
    ----------
    embedder : Word2VecVectorizer, FastTextVectorizer, GloVeVectorizer or gensim.models.KeyedVectors
        Fitted object with a method ``similarity(a, b)`` that raises a KeyError for a word without a
        vector. The estimators look up a word unchanged, then in lowercase if `lowercase`.
    pairs : {"wordsim353", "simlex999"}, path, or list of (str, str, float), default="wordsim353"
        WordSim-353 [1]_ or SimLex-999 [2]_, which are included; a file of lines with two words and
        a score, separated by tabs, commas or blanks; or such triples.

    Returns
    -------
    WordSimilarity
        ``(spearman, known, n_pairs)``.

    Raises
    ------
    FileNotFoundError
        If the file does not exist.
    ValueError
        If a line is not two words and a score, or the file is not UTF-8.

    References
    ----------
    .. [1] L. Finkelstein et al., "Placing Search in Context: The Concept Revisited", ACM
       Transactions on Information Systems, 2002.
    .. [2] F. Hill, R. Reichart, A. Korhonen, "SimLex-999: Evaluating Semantic Models with (Genuine)
       Similarity Estimation", Computational Linguistics, 2015.

    Examples
    --------
    >>> from skembed import Word2VecVectorizer
    >>> from skembed.evaluation import word_similarity
    >>> embedder = Word2VecVectorizer(4, min_count=1, random_state=0).fit(["cat dog car bus"])
    >>> result = word_similarity(embedder, [("cat", "dog", 9), ("cat", "car", 1), ("cat", "ox", 5)])
    >>> round(result.known, 2), result.n_pairs
    (0.67, 3)
    """
    return _similarity(embedder, pairs_of(pairs))


def word_analogies(
    embedder: _WordVectorizer | KeyedVectors,
    questions: FilePath | Mapping[str, Sequence[tuple[str, str, str, str]]] = "questions-words",
    *,
    method: Analogy = "3cosadd",
) -> list[AnalogyAccuracy]:
    """Complete analogies: a is to b as c is to what.

    Parameters
    ----------
    embedder : Word2VecVectorizer, FastTextVectorizer, GloVeVectorizer or gensim.models.KeyedVectors
        Fitted object. A word of a question is looked up unchanged, then in lowercase.
    questions : str, path, or dict of str to list of four-tuples, default="questions-words"
        The questions of [1]_, which are included; a file in the same format, where ``: name``
        begins a section and four words are a question; or the questions of each section.
    method : {"3cosadd", "3cosmul"}, default="3cosadd"
        Add the cosines, or multiply them; see :meth:`Word2VecVectorizer.analogy`.

    Returns
    -------
    list of AnalogyAccuracy, of length n_sections + 1
        ``(section, accuracy, known, n_questions)`` for each section, then for all.

    Raises
    ------
    FileNotFoundError
        If the file does not exist.
    ValueError
        If a line is neither a section's name nor four words, or the file is not UTF-8.

    References
    ----------
    .. [1] T. Mikolov et al., "Efficient Estimation of Word Representations in Vector Space", 2013.

    Examples
    --------
    >>> from skembed import Word2VecVectorizer
    >>> from skembed.evaluation import word_analogies
    >>> embedder = Word2VecVectorizer(4, min_count=1, random_state=0).fit(["he she king queen"])
    >>> questions = {"family": [("he", "she", "king", "queen"), ("he", "she", "son", "daughter")]}
    >>> word_analogies(embedder, questions)[0]
    AnalogyAccuracy(section='family', accuracy=1.0, known=0.5, n_questions=2)
    """
    check_analogy_method(method)
    return _accuracies(_table_of(embedder), questions_of(questions), method)


def _similarity(embedder, pairs):
    cosines, scores = [], []
    for a, b, score in pairs:
        try:
            cosines.append(embedder.similarity(a, b))
        except KeyError:
            continue
        scores.append(float(score))
    constant = len(set(scores)) < 2 or len(set(cosines)) < 2
    spearman = np.nan if constant else spearmanr(cosines, scores).statistic
    return WordSimilarity(float(spearman), len(scores) / max(len(pairs), 1), len(pairs))


def _accuracies(table, questions, method):
    """Return the `AnalogyAccuracy` of each section, then of all."""
    results, total = [], np.zeros(3, dtype=int)
    for section, asked in questions.items():
        known = _known_questions(asked, table.vocabulary)
        n_correct = 0
        for batch in batches(len(known), _BATCH_QUESTIONS):
            answers = _answers(table, known[batch], method)
            n_correct += int((answers == known[batch, 3]).sum())
        counts = (n_correct, len(known), len(asked))
        results.append(_accuracy(section, *counts))
        total += counts
    return [*results, _accuracy("all", *total.tolist())]


def _table_of(embedder):
    if hasattr(embedder, "key_to_index"):  # gensim's
        return from_keyed_vectors(embedder)
    return WordTable(embedder.vocabulary_, embedder.vectors_)


def _known_questions(asked, vocabulary):
    """Return the word indices (n_known, 4) of the questions without an unknown word."""
    ids = [[vocabulary.get(w, vocabulary.get(w.lower(), -1)) for w in words] for words in asked]
    ids = np.array(ids, dtype=np.intp).reshape(-1, 4)
    return ids[(ids >= 0).all(axis=1)]


def _accuracy(section, n_correct, n_known, n_questions):
    accuracy = n_correct / n_known if n_known else float("nan")
    return AnalogyAccuracy(section, accuracy, n_known / max(n_questions, 1), n_questions)


def _answers(table, questions, method):
    """Return the index of the word that completes each question, (n_questions,)."""
    a, b, c = (table.vectors[questions[:, i]] for i in range(3))
    scores = table.analogy_scores([b, c], [a], method)
    # The words of a question are no answers to it, though they are often the nearest.
    np.put_along_axis(scores, questions[:, :3], -np.inf, axis=1)
    return scores.argmax(axis=1)
