"""From rows to words and ids: as CountVectorizer, and as a plain loop."""

import pickle

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from sklearn.feature_extraction.text import CountVectorizer

from skembed.text._rows import HALF_A_PAIR
from skembed.text._words import check_rows, chunks, make_tokenizer, number_words, word_ids


@pytest.mark.parametrize(
    "parameters",
    [
        {},
        {"lowercase": False},
        {"token_pattern": r"[a-z]+"},
        {"token_pattern": r"(\w)\w*"},
        {"stop_words": "english"},
        {"stop_words": ["cat", "naïve"]},
        {"preprocessor": str.upper},
        {"tokenizer": str.split, "token_pattern": None},
    ],
    ids=str,
)
def test_words_are_count_vectorizers(texts, parameters):
    tokenizer = make_tokenizer(**parameters)
    analyze = CountVectorizer(**parameters).build_analyzer()
    for text in texts:
        assert tokenizer.words(text) == analyze(text)
    assert pickle.loads(pickle.dumps(tokenizer)).words(texts[0]) == analyze(texts[0])


@given(st.text(st.characters(max_codepoint=200) | st.sampled_from("ab_ \nΣ\u2028İ")), st.booleans())
@example("ΟΔΟΣ\nΣ ΟΔΟΣ", True)
@example("one a\ntwo\ncafé Σ\nΣ é\n\nthree", True)
def test_ascii_texts_are_split_as_the_pattern_says(text, lowercase):
    analyze = CountVectorizer(lowercase=lowercase).build_analyzer()
    assert make_tokenizer(lowercase=lowercase).words(text) == analyze(text)


def test_a_list_of_words_stands_as_it_is():
    row = ["The", "CAT", "a"]
    assert make_tokenizer(stop_words=["cat"]).words(row) is row


def test_a_tokenizer_may_return_any_iterable_of_words():
    assert make_tokenizer(tokenizer=lambda text: iter(text.split()), token_pattern=None).words(
        "A b"
    ) == ["a", "b"]


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ([1], "tokenizer must return words as str; got int"),
        (None, "tokenizer must return a list of words; got None"),
        ("words", "tokenizer must return a list of words; got str"),
    ],
)
def test_a_tokenizer_that_returns_other_things_is_refused(answer, message):
    tokenizer = make_tokenizer(tokenizer=lambda text: answer, token_pattern=None)
    with pytest.raises(TypeError, match=message):
        tokenizer.words("one")


def test_a_preprocessor_that_returns_other_things_is_refused():
    tokenizer = make_tokenizer(preprocessor=str.encode)
    with pytest.raises(TypeError, match="preprocessor must return text as str; got bytes"):
        tokenizer.words("one")


def test_neither_pattern_nor_tokenizer():
    with pytest.raises(ValueError, match="token_pattern=None needs a tokenizer"):
        make_tokenizer(token_pattern=None)


def test_stop_words_that_cannot_match_are_warned_of():
    """By CountVectorizer itself."""
    with pytest.warns(UserWarning, match="Your stop_words may be inconsistent"):
        make_tokenizer(stop_words=["don't"])


def test_keys_and_bad_rows():
    rows = ["a", ["a"], ("a",), np.array(["a", "b"]), None, 3.5, ["a", 2], "\ud800", ["\ud800"]]
    keys, bad = check_rows(rows)
    assert keys[:4] == ["a", ("a",), ("a",), ("a", "b")]
    assert keys[4:] == [None] * 5
    assert bad == {
        4: "None",
        5: "float",
        6: "list with int",
        7: HALF_A_PAIR,
        8: "list with half a surrogate pair",
    }


@given(st.lists(st.lists(st.sampled_from("abcdef"), max_size=5), max_size=8))
def test_word_ids_against_a_loop(words):
    vocabulary = {"a": 0, "c": 1, "e": 2}
    ids, starts = word_ids(words, vocabulary)
    rows = [ids[starts[i] : starts[i + 1]].tolist() for i in range(len(words))]
    assert rows == [[vocabulary.get(word, -1) for word in row] for row in words]
    assert ids.dtype == np.int32


@given(st.lists(st.lists(st.sampled_from("abcdef"), max_size=5), max_size=8))
def test_numbered_words_against_a_loop(words):
    numbered = number_words(iter(words))
    distinct = list(dict.fromkeys(word for row in words for word in row))
    assert numbered.distinct == distinct
    ids = [distinct.index(word) for row in words for word in row]
    assert numbered.ids.tolist() == ids
    assert np.diff(numbered.starts).tolist() == [len(row) for row in words]
    assert numbered.counts().tolist() == [ids.count(i) for i in range(len(distinct))]


@given(st.lists(st.integers(0, 6)), st.integers(1, 12))
def test_chunks_cover_all_rows_and_are_not_too_long(lengths, size):
    runs = list(chunks(lengths, size))
    assert [i for start, stop in runs for i in range(start, stop)] == list(range(len(lengths)))
    for start, stop in runs:
        assert stop > start
        assert sum(lengths[start : stop - 1]) < size
