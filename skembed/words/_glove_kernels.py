"""The two inner loops of GloVe, compiled by numba. Imported on first use.

They release the GIL, so that each of several Python threads can run one.
"""

import numpy as np
from numba import njit


def _compiled(**options):
    """Return numba's decorator, with a cache on disk if a folder for it is writable."""

    def decorate(function):
        try:
            return njit(nogil=True, cache=True, **options)(function)
        except RuntimeError:  # neither the package's folder nor the user's is writable
            return njit(nogil=True, **options)(function)

    return decorate


# One dense array of sums is used for all words in turn. `found` lists its entries that are not
# zero, so that reading and clearing them takes time in proportion to a word's neighbors, not to the
# vocabulary. There is no hash table, and no memory beyond the result.
@_compiled()
def count_neighbors(sequence, positions, firsts, distance_weights, starts, columns, values):
    """Add up, for each word, the weights of the words around its occurrences.

    A first call, with empty `columns`, counts each word's neighbors; a second one fills the arrays.

    Parameters
    ----------
    sequence : ndarray of shape (n_positions,), int32
        Indices of the words of all rows, with -1 before the first row and after every row.
    positions : ndarray of shape (n_occurrences,), int64
        Positions of the words in `sequence`, word by word.
    firsts : ndarray of shape (n_words + 1,), int64
        Word i occurs at ``positions[firsts[i]:firsts[i + 1]]``.
    distance_weights : ndarray of shape (window + 1,), float64
        Weight of a word at each distance; the first, of distance 0, is not read.
    starts : ndarray of shape (n_words + 1,), int64
        If `columns` is empty, ``starts[i + 1]`` is set to the number of neighbors of word i. Else
        the neighbors of word i are written to ``columns[starts[i]:starts[i + 1]]``.
    columns, values : ndarray of shape (n_pairs,), int32 and float32
        Filled with neighbors and the sums of their weights, or empty.
    """
    n_words = len(firsts) - 1
    sums = np.zeros(n_words)
    found = np.empty(n_words, dtype=np.int32)
    for word in range(n_words):
        n_found = 0
        for k in range(firsts[word], firsts[word + 1]):
            for step in (-1, 1):  # to the left, then to the right
                position = positions[k]
                for distance in range(1, len(distance_weights)):
                    position += step
                    neighbor = sequence[position]
                    if neighbor < 0:  # end of the row
                        break
                    if sums[neighbor] == 0.0:
                        found[n_found] = neighbor
                        n_found += 1
                    sums[neighbor] += distance_weights[distance]
        if not len(columns):
            starts[word + 1] = n_found
        for i in range(n_found):
            if len(columns):
                columns[starts[word] + i] = found[i]
                values[starts[word] + i] = sums[found[i]]
            sums[found[i]] = 0.0


# The gradient of each vector is the other one times the error, so both steps are computed before
# either vector changes. As in the authors' program, a step is divided by the root of the squares
# before it, and the squares include the learning rate.
#
# "reassoc" lets the compiler add the terms of the dot product in any order, and so use vector
# instructions; "contract" allows fused multiply-adds. NaN and infinity keep their meaning.
@_compiled(fastmath={"reassoc", "contract"})
def train_pairs(
    rows, columns, log_counts, weights, words, contexts, word_biases, context_biases, learning_rate
):
    """Take one step of AdaGrad for each pair.

    Parameters
    ----------
    rows, columns : ndarray of shape (n_pairs,), int32
        Word and context of each pair.
    log_counts, weights : ndarray of shape (n_pairs,), float32
        Logarithm of each pair's count, and weight of its error.
    words, contexts : ndarray of shape (n_words, 2, n_dims), float32
        Vectors, and the sums of their squared steps. Modified in place.
    word_biases, context_biases : ndarray of shape (n_words, 2), float32
        Biases, and the sums of their squared steps. Modified in place.
    learning_rate : float32
        Learning rate of the vectors. That of the biases is 1.

    Returns
    -------
    loss : float
        Sum of half the weighted squared errors, each before its step.
    """
    loss = 0.0
    for k in range(len(rows)):
        word, context = words[rows[k]], contexts[columns[k]]
        word_bias, context_bias = word_biases[rows[k]], context_biases[columns[k]]
        dot = np.float32(0)
        for i in range(word.shape[1]):
            dot += word[0, i] * context[0, i]
        error = dot + word_bias[0] + context_bias[0] - log_counts[k]
        weighted_error = weights[k] * error
        loss += 0.5 * weighted_error * error
        scaled_error = learning_rate * weighted_error
        for i in range(word.shape[1]):
            word_step, context_step = scaled_error * context[0, i], scaled_error * word[0, i]
            word[0, i] -= word_step / np.sqrt(word[1, i])
            context[0, i] -= context_step / np.sqrt(context[1, i])
            word[1, i] += word_step * word_step
            context[1, i] += context_step * context_step
        word_bias[0] -= weighted_error / np.sqrt(word_bias[1])
        context_bias[0] -= weighted_error / np.sqrt(context_bias[1])
        word_bias[1] += weighted_error * weighted_error
        context_bias[1] += weighted_error * weighted_error
    return loss
