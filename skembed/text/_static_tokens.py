"""Convert texts to the token ids of a static model, fast.

A static model needs nothing but ids. If a tokenizer splits texts at whitespace first, as BERT's
does, the ids of a text are those of its words, so each distinct word is tokenized once.
"""

import json
import re
from array import array
from itertools import chain

import numpy as np
from tokenizers import Tokenizer

from skembed.exceptions import ModelFormatError
from skembed.models._files import checked_settings

_MAX_WORDS = 2**17  # words whose ids are kept; some 25 MB
_MAX_WORD = 64  # characters; longer words are rare, and tokenized each time
# Control characters, which BERT's normalizer deletes, that Python's `split` takes for whitespace.
_CONTROLS = "\x0b\x0c\x1c\x1d\x1e\x1f\x85"

# The parts of a printable ASCII word: BERT's pre-tokenizer isolates each punctuation mark.
_PARTS = re.compile("[A-Za-z0-9]+|[^A-Za-z0-9]")


class StaticTokens:
    """The tokenizer of a static model.

    Parameters
    ----------
    tokenizer : tokenizers.Tokenizer
        The tokenizer; it is changed.
    max_length : int or None
        Number of tokens after which a text is cut.
    max_chars : int or None
        Number of characters after which a text is cut before it is tokenized, as model2vec does.
    unknown : int or None
        Id of a token that is left out.
    prompt : str
        Text that precedes each text.
    """

    def __init__(self, tokenizer, *, max_length=None, max_chars=None, unknown=None, prompt=""):
        tokenizer.no_padding()
        tokenizer.no_truncation()
        self._tokenizer = tokenizer
        self._max_length, self._max_chars = max_length, max_chars
        self._unknown, self._prompt = unknown, prompt
        self._marks = word_marks(tokenizer)
        self._whole_words = {}
        if (
            self._marks is not None
            and json.loads(tokenizer.to_str())["model"]["type"] == "WordPiece"
        ):
            self._whole_words = tokenizer.get_vocab(with_added_tokens=False)
            self._lowercase = tokenizer.normalizer.lowercase
        self._words = _Words(self._of_word)

    def ids(self, texts):
        """Return the token ids of texts.

        Returns
        -------
        ids : ndarray of shape (n_tokens,), int32
            Of all texts, one after the other; -1 for a token that is left out.
        starts : ndarray of shape (n_rows + 1,), int64
            Text i has ``ids[starts[i]:starts[i + 1]]``.
        cut : ndarray of shape (n_rows,), bool
            Whether a text was cut.
        """
        ids, starts = array("i"), array("q", [0])
        cut = np.zeros(len(texts), dtype=bool)
        if len(self._words) > _MAX_WORDS:
            self._words = _Words(self._of_word)
        words = self._words
        for position, text in enumerate(texts):
            if self._prompt:
                text = self._prompt + text
            if self._max_chars is not None and len(text) > self._max_chars:
                text = text[: self._max_chars]
                cut[position] = True
            if self._marks is None or any(map(text.__contains__, self._marks)):
                ids.extend(self._encoded(text))
            else:
                ids.extend(chain.from_iterable(map(words.__getitem__, text.split())))
            stop = starts[-1] + (self._max_length or 0)
            if self._max_length is not None and len(ids) > stop:
                del ids[stop:]
                cut[position] = True
            starts.append(len(ids))
        ids = np.array(ids, dtype=np.int32)
        if self._unknown is not None:
            ids[ids == self._unknown] = -1
        return ids, np.array(starts, dtype=np.int64), cut

    def _encoded(self, text):
        return self._tokenizer.encode(text, add_special_tokens=False).ids

    def _of_word(self, word):
        """Return the ids of a word, as a tuple."""
        if not (self._whole_words and word.isascii() and word.isprintable()):
            return tuple(self._encoded(word))
        # The tokenizer takes the longest piece first, so a part in the vocabulary is one token.
        parts = _PARTS.findall(word.lower() if self._lowercase else word)
        known = [self._whole_words.get(part) if len(part) < _MAX_WORD else None for part in parts]
        found = zip(parts, known, strict=True)
        ids = [self._encoded(part) if i is None else (i,) for part, i in found]
        return tuple(chain.from_iterable(ids))


class _Words(dict):
    """The ids of words, tokenized on first use; threads may share it."""

    def __init__(self, tokenize):
        super().__init__()
        self._tokenize = tokenize

    def __missing__(self, word):
        ids = self._tokenize(word)
        if len(word) <= _MAX_WORD:
            self[word] = ids
        return ids


def word_marks(tokenizer):
    """Return characters of texts that must be tokenized as a whole; None: of all texts.

    Without these characters, the ids of a text are those of its words, one after the other: BERT's
    normalizer changes character by character, its pre-tokenizer splits at whitespace, and no added
    token, which is searched in the whole text, occurs.

    Parameters
    ----------
    tokenizer : tokenizers.Tokenizer
        The tokenizer.

    Returns
    -------
    marks : str or None
    """
    content = json.loads(tokenizer.to_str())
    normalizer, splitter = content.get("normalizer"), content.get("pre_tokenizer")
    kinds = [section and section["type"] for section in (normalizer, splitter)]
    if kinds != ["BertNormalizer", "BertPreTokenizer"] or not normalizer["clean_text"]:
        return None
    marks = set()
    for token in content["added_tokens"]:
        bounds = [mark for mark in "[<" if mark in token["content"]]
        if not bounds:  # such as "town": it might occur in any word
            return None
        marks.add(bounds[0])
    return "".join(sorted(marks)) + _CONTROLS


def load_tokenizer(path):
    """Return the `tokenizers.Tokenizer` of a file, and the content of its section "truncation".

    Raises
    ------
    ModelFormatError
        If the file is no tokenizer.
    """
    try:
        tokenizer = Tokenizer.from_file(str(path))
    except Exception as error:  # tokenizers raises Exception itself
        raise ModelFormatError(f"{path} is not a tokenizer: {error}") from error
    return tokenizer, tokenizer.truncation


def truncation_length(path, truncation):
    """Return the number of tokens after which tokenizer.json cuts a text; None: no limit."""
    if truncation is None:
        return None
    with checked_settings(path):
        if truncation.get("direction", "right") != "right":
            raise ModelFormatError(f"{path}: truncation on the left is not supported.")
        return int(truncation["max_length"])


def unknown_id(tokenizer):
    """Return the id of a tokenizer's unknown token; None if it has none."""
    if hasattr(tokenizer.model, "unk_token"):
        token = tokenizer.model.unk_token
        return None if token is None else tokenizer.token_to_id(token)
    return json.loads(tokenizer.to_str())["model"].get("unk_id")


def median_token_length(tokenizer):
    """Return the median length of tokens in characters, by which model2vec cuts texts."""
    return int(np.median([len(token) for token in tokenizer.get_vocab()]))
