"""What `BertEmbedder.embed_tokens` returns for a text. Imports nothing of skembed."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class TokenEmbeddings(NamedTuple):
    """The tokens of one text, with their positions and vectors.

    Attributes
    ----------
    tokens : list of str
        The tokens as strings, without special tokens and the prompt.
    spans : ndarray of shape (n_tokens, 2), int
        Start and stop of each token in the text, in characters: ``text[start:stop]``.
    vectors : ndarray of shape (n_tokens, n_dims), float32
        Context-dependent vectors.
    """

    tokens: list[str]
    spans: np.ndarray
    vectors: np.ndarray


def with_spans(item, vectors, n_prompt):
    """Return the tokens of a text, without special tokens, with their spans and vectors."""
    spans = np.array(item.encoding.offsets[item.own], dtype=np.intp).reshape(-1, 2)
    return TokenEmbeddings(item.encoding.tokens[item.own], spans - n_prompt, vectors)
