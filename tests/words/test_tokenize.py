"""Rows to words and ids, compared with CountVectorizer and with plain loops."""

import pickle

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from sklearn.feature_extraction.text import CountVectorizer

from skembed.base._text_rows import LONE_SURROGATE
from skembed.words._tokenize import (
    COUNT_PATTERN,
    check_rows,
    chunks,
    find_words,
    make_tokenizer,
    number_words,
    word_ids,
)


@pytest.mark.parametrize(
    "parameters",
    [
        {},
        {"lowercase": False},
        {"token_pattern": r"[a-z]+"},
        {"token_pattern": r"(\w)\w*"},
        {"token_pattern": COUNT_PATTERN},
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


_TEXTS = st.text(st.characters(max_codepoint=200) | st.sampled_from("ab_ \nΣ\u2028İ\u0301\u200d"))


@pytest.mark.parametrize("pattern", ["auto", COUNT_PATTERN])
@given(text=_TEXTS, lowercase=st.booleans())
@example(text="ΟΔΟΣ\nΣ ΟΔΟΣ", lowercase=True)
@example(text="one a\ntwo\ncafé Σ\nΣ é\n\nthree", lowercase=True)
@example(text="a\u0301\n\u0301b a\u200d\nb", lowercase=True)
def test_ascii_texts_are_split_as_the_pattern_says(pattern, text, lowercase):
    tokenizer = make_tokenizer(lowercase=lowercase, token_pattern=pattern)
    assert tokenizer.ascii_table is not None
    assert tokenizer.words(text) == tokenizer._replace(ascii_table=None).words(text)
    if pattern != "auto":
        analyze = CountVectorizer(lowercase=lowercase).build_analyzer()
        assert tokenizer.words(text) == analyze(text)


@given(st.text(st.characters(exclude_categories=("Mn", "Mc", "Me", "Cf", "Cs"))))
def test_words_without_marks_are_count_vectorizers(text):
    analyze = CountVectorizer(lowercase=False).build_analyzer()
    assert find_words(text) == analyze(text)


@given(st.text(st.sampled_from("ab1_ .\n\u0301\u093f\u200c\u200d\ufe0f")))
def test_words_with_marks_against_a_loop(text):
    """Character by character: a letter begins a word, letters and marks continue it."""

    def goes_on(i):
        return i < len(text) and (text[i].isalnum() or text[i] == "_" or is_mark(i))

    def is_mark(i):
        return i >= 0 and text[i] in "\u0301\u093f\ufe0f"

    words, i = [], 0
    while i < len(text):
        if not (text[i].isalnum() or text[i] == "_"):
            i += 1
            continue
        start = i
        while goes_on(i) or (
            i < len(text) and text[i] in "\u200c\u200d" and (goes_on(i + 1) or is_mark(i - 1))
        ):
            i += 1
        words += [text[start:i]] if i - start > 1 else []
    assert find_words(text) == words


@pytest.mark.parametrize(
    "words",
    [
        ["नमस्ते", "दुनिया", "हिन्दी", "भाषा", "की"],  # Devanagari
        ["বাংলা", "ভাষা", "স্বাধীনতা"],  # Bengali
        ["தமிழ்", "மொழி", "வணக்கம்"],  # Tamil
        ["తెలుగు", "ಕನ್ನಡ", "ગુજરાતી", "ਪੰਜਾਬੀ", "ଓଡ଼ିଆ"],
        ["മലയാളം", "അവന്\u200d", "ശ്രീ"],  # Malayalam, with a joiner at the end
        ["සිංහල", "ශ්\u200dරී"],  # Sinhala, with a joiner inside
        ["བོད་ཡིག", "བཀྲ་ཤིས"],  # Tibetan: the tsheg parts syllables
        ["שָׁלוֹם", "עוֹלָם"],  # pointed Hebrew
        ["مُحَمَّد", "العَرَبِيَّة", "می\u200cخواهم"],  # noqa: RUF001 (Arabic with vowels, Persian)
        ["ܫܠܡܐ", "ދިވެހި", "မြန်မာ", "ភាសាខ្មែរ", "ภาษาไทย", "ລາວ"],
        ["cafe\u0301", "nai\u0308ve"],  # Latin letters with accents of their own
        ["𑄌𑄋𑄴𑄟𑄳𑄦", "葛\U000e0100城"],  # beyond the first plane
    ],
    ids=lambda words: words[0],
)
@pytest.mark.parametrize("lowercase", [True, False])
def test_words_of_all_scripts_stay_whole(words, lowercase):
    found = make_tokenizer(lowercase=lowercase).words(", ".join(words) + ".\n(" + words[0] + ")")
    expected = [part for word in [*words, words[0]] for part in word.split("་")]
    assert found == expected


def test_a_joiner_at_the_end_of_a_word_is_no_part_of_it():
    assert find_words("می\u200c خواهم\u200c") == ["می", "خواهم"]


def test_a_list_of_words_is_unchanged():
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
    with pytest.raises(ValueError, match="token_pattern=None requires a tokenizer"):
        make_tokenizer(token_pattern=None)


def test_a_warning_for_stop_words_that_cannot_match():
    """CountVectorizer itself raises the warning."""
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
        7: LONE_SURROGATE,
        8: "list with a lone surrogate",
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
