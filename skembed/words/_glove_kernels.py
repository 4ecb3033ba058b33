"""The two inner loops of GloVe, compiled by numba. Imported on first use.

They run without the GIL, so several Python threads can each run one.
"""

import numpy as np
from numba import njit


def _compiled(**options):
    """Return numba's decorator; what it compiles is kept on disk where there is a place for it."""

    def decorate(function):
        try:
            return njit(nogil=True, cache=True, **options)(function)
        except RuntimeError:  # neither the package's folder nor the user's can be written
            return njit(nogil=True, **options)(function)

    return decorate


@_compiled()
def count_neighbors(sequence, positions, firsts, weights, starts, columns, values):
    """Add up, for each word, the weights of the words around its occurrences.

    Parameters
    ----------
    sequence : ndarray of shape (n_positions,), int32
        Words of all rows, with -1 before the first row and after every row.
    positions : ndarray of shape (n_occurrences,), int64
        Where the words occur, word by word.
    firsts : ndarray of shape (n_words + 1,), int64
        Word i occurs at ``positions[firsts[i]:firsts[i + 1]]``.
    weights : ndarray of shape (window + 1,), float64
        Weight of a word so many words away.
    starts : ndarray of shape (n_words + 1,), int64
        Word i's neighbors go to ``columns[starts[i]:starts[i + 1]]``. Written if `columns` is
        empty, such that each entry but the first holds a number of neighbors; else read.
    columns : ndarray of shape (n_pairs,), int32
        Filled with neighbors, or empty.
    values : ndarray of shape (n_pairs,), float32
        Filled with their sums, or empty.
    """
    n_words = len(firsts) - 1
    sums = np.zeros(n_words)
    found = np.empty(n_words, dtype=np.int32)
    for word in range(n_words):
        n_found = 0
        for k in range(firsts[word], firsts[word + 1]):
            for step in (-1, 1):
                place = positions[k]
                for distance in range(1, len(weights)):
                    place += step
                    other = sequence[place]
                    if other < 0:
                        break
                    if sums[other] == 0.0:
                        found[n_found] = other
                        n_found += 1
                    sums[other] += weights[distance]
        if not len(columns):
            starts[word + 1] = n_found
        for i in range(n_found):
            if len(columns):
                columns[starts[word] + i] = found[i]
                values[starts[word] + i] = sums[found[i]]
            sums[found[i]] = 0.0


@_compiled(fastmath={"reassoc", "contract"})
def sweep(rows, columns, logs, shares, words, contexts, word_biases, context_biases, rate):
    """Go over pairs once, with a step of AdaGrad for each.

    Parameters
    ----------
    rows, columns : ndarray of shape (n_pairs,), int32
        Word and context of each pair.
    logs : ndarray of shape (n_pairs,), float32
        Logarithm of each pair's count.
    shares : ndarray of shape (n_pairs,), float32
        Weight of each pair's error.
    words, contexts : ndarray of shape (n_words, 2, n_dims), float32
        Vectors, and the sums of their squared steps. Changed.
    word_biases, context_biases : ndarray of shape (n_words, 2), float32
        The same of the biases. Changed.
    rate : float32
        Learning rate of the vectors.

    Returns
    -------
    loss : float
        Sum of half the weighted squared errors, each taken before its step.
    """
    loss = 0.0
    for k in range(len(rows)):
        word, context = words[rows[k]], contexts[columns[k]]
        word_bias, context_bias = word_biases[rows[k]], context_biases[columns[k]]
        dot = np.float32(0)
        for i in range(word.shape[1]):
            dot += word[0, i] * context[0, i]
        error = dot + word_bias[0] + context_bias[0] - logs[k]
        pull = shares[k] * error
        loss += 0.5 * pull * error
        scaled = rate * pull
        for i in range(word.shape[1]):
            of_word, of_context = scaled * context[0, i], scaled * word[0, i]
            word[0, i] -= of_word / np.sqrt(word[1, i])
            context[0, i] -= of_context / np.sqrt(context[1, i])
            word[1, i] += of_word * of_word
            context[1, i] += of_context * of_context
        word_bias[0] -= pull / np.sqrt(word_bias[1])
        context_bias[0] -= pull / np.sqrt(context_bias[1])
        word_bias[1] += pull * pull
        context_bias[1] += pull * pull
    return loss
