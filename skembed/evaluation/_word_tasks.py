"""Similarity and analogy tasks for word vectors, and reading the files they are published in."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from scipy.stats import spearmanr

from skembed.words._keyed_vectors import from_keyed_vectors
from skembed.words._table import WordTable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from skembed.base._typing import Analogy, ComparesWords, FilePath, KeyedVectors
    from skembed.words._base import _WordVectorizer


_SHIPPED = {  # with gensim
    "wordsim353": "wordsim353.tsv",
    "simlex999": "simlex999.txt",
    "questions-words": "questions-words.txt",
}
_QUESTIONS = 512  # answered at a time


class WordSimilarity(NamedTuple):
    """How well cosines follow people's judgment.

    Attributes
    ----------
    spearman : float
        Spearman's correlation of cosines and scores, over the known pairs; NaN where all
        cosines or all scores are equal.
    known : float
        Share of the pairs of which both words have a vector.
    n_pairs : int
        All pairs.
    """

    spearman: float
    known: float
    n_pairs: int


class AnalogyAccuracy(NamedTuple):
    """How many analogies of a section are completed rightly.

    Attributes
    ----------
    section : str
        Its name; "all" for all of them together.
    accuracy : float
        Share of the known questions whose answer is right; NaN where none is known.
    known : float
        Share of the questions whose four words are in the vocabulary.
    n_questions : int
        All questions of the section.
    """

    section: str
    accuracy: float
    known: float
    n_questions: int


def word_similarity(
    embedder: ComparesWords, pairs: FilePath | Sequence[tuple[str, str, float]] = "wordsim353"
) -> WordSimilarity:
    """Compare cosines of word vectors with people's scores.

    Parameters
    ----------
    embedder : Word2VecVectorizer, FastTextVectorizer, GloVeVectorizer or gensim.models.KeyedVectors
        What has ``similarity(a, b)`` and raises KeyError for a word without a vector. The
        estimators look a word up as it stands, else in lower case if `lowercase`.
    pairs : {"wordsim353", "simlex999"}, path, or list of (str, str, float), default="wordsim353"
        WordSim-353 [1]_ or SimLex-999 [2]_, which gensim ships; a file of lines with two words and
        a score, parted by tabs, commas or blanks; or such triples.

    Returns
    -------
    WordSimilarity
        ``(spearman, known, n_pairs)``.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
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
    if isinstance(pairs, (str, os.PathLike)):
        pairs = _read_pairs(_path_of(pairs))
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
        Fitted. A word of a question is looked up as it stands, else in lower case.
    questions : "questions-words", path, or dict of str to list of (str, str, str, str), \
            default="questions-words"
        The questions of [1]_, which gensim ships; a file of its format, where a line ``: name``
        begins a section and four words make a question; or the questions of each section.
    method : {"3cosadd", "3cosmul"}, default="3cosadd"
        Add cosines up, or multiply them [2]_.

    Returns
    -------
    list of AnalogyAccuracy, of length n_sections + 1
        ``(section, accuracy, known, n_questions)`` for each section, and for all at the end.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If a line is neither a section's name nor four words, or the file is not UTF-8.

    References
    ----------
    .. [1] T. Mikolov, K. Chen, G. Corrado, J. Dean, "Efficient Estimation of Word Representations
       in Vector Space", 2013, arXiv:1301.3781.
    .. [2] O. Levy, Y. Goldberg, "Linguistic Regularities in Sparse and Explicit Word
       Representations", CoNLL 2014.

    Examples
    --------
    >>> from skembed import Word2VecVectorizer
    >>> from skembed.evaluation import word_analogies
    >>> embedder = Word2VecVectorizer(4, min_count=1, random_state=0).fit(["he she king queen"])
    >>> questions = {"family": [("he", "she", "king", "queen"), ("he", "she", "son", "daughter")]}
    >>> for row in word_analogies(embedder, questions):
    ...     print(row.section, row.accuracy, row.known, row.n_questions)
    family 1.0 0.5 2
    all 1.0 0.5 2
    """
    if method not in ("3cosadd", "3cosmul"):
        raise ValueError(f"method must be '3cosadd' or '3cosmul', got {method!r}.")
    if isinstance(questions, (str, os.PathLike)):
        questions = _read_questions(_path_of(questions))
    words = _table_of(embedder)
    results, total = [], np.zeros(3, dtype=int)
    for section, asked in questions.items():
        known = _known_questions(asked, words.vocabulary)
        right = sum(
            int((_answers(words, part, method) == part[:, 3]).sum())
            for part in np.split(known, range(_QUESTIONS, len(known), _QUESTIONS))
        )
        counts = (right, len(known), len(asked))
        results.append(_accuracy(section, *counts))
        total += counts
    return [*results, _accuracy("all", *total.tolist())]


def _table_of(embedder):
    if hasattr(embedder, "key_to_index"):  # gensim's
        return from_keyed_vectors(embedder)
    return WordTable(embedder.vocabulary_, embedder.vectors_)


def _known_questions(asked, vocabulary):
    """Return the numbers of the words of those questions that have no unknown one, (n, 4)."""
    numbers = [[vocabulary.get(w, vocabulary.get(w.lower(), -1)) for w in words] for words in asked]
    numbers = np.array(numbers, dtype=np.intp).reshape(-1, 4)
    return numbers[(numbers >= 0).all(axis=1)]


def _accuracy(section, n_right, n_known, n_questions):
    accuracy = n_right / n_known if n_known else float("nan")
    return AnalogyAccuracy(section, accuracy, n_known / max(n_questions, 1), n_questions)


def _answers(words, questions, method):
    """Return the number of the word that completes each question, (n_questions,)."""
    a, b, c = (words.vectors[questions[:, i]] for i in range(3))
    scores = words.analogy_scores([b, c], [a], method)
    np.put_along_axis(scores, questions[:, :3], -np.inf, axis=1)
    return scores.argmax(axis=1)


def _path_of(name):
    """Return the path of a file, or of one that gensim ships."""
    if name in _SHIPPED:
        from gensim.test.utils import datapath

        return Path(datapath(_SHIPPED[name]))
    path = Path(os.path.expanduser(name))
    if not os.path.isfile(path):  # unlike Path's method it raises nothing for a name too long
        raise FileNotFoundError(f"{name}: there is no such file; shipped are {list(_SHIPPED)}.")
    return path


def _lines(path):
    """Yield the number and text of each line that says something."""
    content = path.read_bytes()
    try:
        text = content.decode().removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        before = content[: error.start].decode()
        number = len(f"{before}x".splitlines())
        raise ValueError(
            f"{path}, line {number}: the file is not UTF-8 (byte 0x{content[error.start]:02x}). "
            "Save it in this encoding."
        ) from None
    for number, line in enumerate(text.splitlines(), 1):
        if line.strip() and not line.startswith("#"):
            yield number, line.strip()


def _read_pairs(path: Path) -> list[tuple[str, str, float]]:
    pairs: list[tuple[str, str, float]] = []
    for number, line in _lines(path):
        parts = re.split(r"[\t,;]|\s+", line)
        try:
            pairs.append((parts[0], parts[1], float(parts[2])))
        except (IndexError, ValueError):
            if pairs or len(parts) < 3:  # the first line may name the columns
                raise ValueError(
                    f"{path}, line {number}: two words and a score are expected, got {line!r}."
                ) from None
    return pairs


def _read_questions(path: Path) -> dict[str, list[tuple[str, str, str, str]]]:
    sections: dict[str, list[tuple[str, str, str, str]]] = {}
    section = None
    for number, line in _lines(path):
        if line.startswith(":"):
            section = sections.setdefault(line[1:].strip(), [])
            continue
        words = line.split()
        if len(words) != 4 or section is None:
            raise ValueError(
                f"{path}, line {number}: a section (': name') or four words of one are expected, "
                f"got {line!r}."
            )
        a, b, c, d = words
        section.append((a, b, c, d))
    return sections
