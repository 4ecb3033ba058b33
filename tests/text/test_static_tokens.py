"""Token ids of static models: word by word, they equal those of the whole text."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny import save_tiny_tokenizer
from tokenizers import Tokenizer, normalizers, pre_tokenizers
from tokenizers.models import BPE, WordLevel, WordPiece

from skembed.exceptions import ModelFormatError
from skembed.text import _static_tokens
from skembed.text._static_tokens import (
    StaticTokens,
    load_tokenizer,
    median_token_length,
    truncation_length,
    unknown_id,
    word_marks,
)

VOCABULARY = ["[UNK]", "[CLS]", *"abcdeé,.[<", *(f"##{c}" for c in "abcdeé"), "ab", "cad", "##ca"]


def make(lowercase=True, **changes):
    """Return a tokenizer as BERT's."""
    vocabulary = {token: i for i, token in enumerate(VOCABULARY)}
    tokenizer = Tokenizer(WordPiece(vocabulary, unk_token="[UNK]", max_input_chars_per_word=9))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=lowercase, **changes)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.add_special_tokens(["[UNK]", "[CLS]"])
    return tokenizer


def encoded(tokenizer, text):
    return tokenizer.encode(text, add_special_tokens=False).ids


CHARACTERS = (
    "abcdeABé,.<[] \t\n\r\x00\x0b\x0c\x1c\x1f\x7f\x85\xa0\u2028\u200b\u0301\u3000\ufffd中Σİ"
)
TEXTS = st.text(st.sampled_from(CHARACTERS), max_size=30) | st.text(max_size=12)
INSERTED = st.sampled_from(["", "[CLS]", "[cls]", "[UNK]", "<", "abcabcabcabc"])


@pytest.mark.parametrize("lowercase", [True, False])
@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(TEXTS, INSERTED, TEXTS).map("".join), max_size=4))
def test_ids_equal_those_of_the_whole_text(lowercase, texts):
    tokenizer = make(lowercase)
    ids, starts, cut = StaticTokens(make(lowercase)).ids(texts)
    for i, text in enumerate(texts):
        assert ids[starts[i] : starts[i + 1]].tolist() == encoded(tokenizer, text)
    assert not cut.any()


def test_each_word_is_tokenized_once(monkeypatch):
    tokens, words = StaticTokens(make()), []
    original = tokens._encoded
    monkeypatch.setattr(tokens, "_encoded", lambda word: words.append(word) or original(word))
    tokens.ids(["ab eda eda", "é eda x", "eda, eda"])
    assert sorted(words) == sorted(["eda", "é", "x", "eda"])  # "eda," is a word of its own


def test_the_number_of_kept_words_is_bounded(monkeypatch):
    monkeypatch.setattr(_static_tokens, "_MAX_WORDS", 3)
    tokens = StaticTokens(make())
    for text in ["a b c d e", "ab cad", "a" * 70]:
        ids, _, _ = tokens.ids([text])
        assert ids.tolist() == encoded(make(), text)
    assert set(tokens._words) == {"ab", "cad"}


@pytest.mark.parametrize(
    "tokenizer",
    [
        make(clean_text=False),
        Tokenizer(BPE({"a": 0, "b": 1}, [])),
        Tokenizer(WordLevel({"a": 0}, unk_token="a")),
    ],
)
def test_other_tokenizers_see_whole_texts(tokenizer):
    assert word_marks(tokenizer) is None
    texts = ["a b", " ab\x85a "]
    ids, starts, _ = StaticTokens(tokenizer).ids(texts)
    for i, text in enumerate(texts):
        assert ids[starts[i] : starts[i + 1]].tolist() == encoded(tokenizer, text)


def test_an_added_word_is_searched_in_whole_texts():
    tokenizer = make()
    tokenizer.add_tokens(["b c"])
    assert word_marks(tokenizer) is None
    ids, _, _ = StaticTokens(tokenizer).ids(["a b c"])
    assert ids.tolist() == [VOCABULARY.index("a"), len(VOCABULARY)]


def test_texts_are_cut_at_max_length_before_unknown_tokens_are_left_out():
    tokens = StaticTokens(make(), max_length=3, unknown=0)
    ids, starts, cut = tokens.ids(["a x b a", "a b c", "x"])
    a, b, c = (VOCABULARY.index(token) for token in "abc")
    assert ids.tolist() == [a, -1, b, a, b, c, -1]
    assert starts.tolist() == [0, 3, 6, 7]
    assert cut.tolist() == [True, False, False]


def test_texts_are_cut_by_characters_as_model2vec_does():
    ids, _, cut = StaticTokens(make(), max_length=9, max_chars=3).ids(["a b c"])
    assert ids.tolist() == [VOCABULARY.index("a"), VOCABULARY.index("b")]
    assert cut.all()


def test_a_prompt_precedes_each_text():
    ids, _, _ = StaticTokens(make(), prompt="a, ").ids(["b"])
    assert ids.tolist() == encoded(make(), "a, b")


def test_padding_and_truncation_of_the_file_are_ignored(tmp_path):
    save_tiny_tokenizer(tmp_path)  # pads to 16 tokens and cuts after 8
    tokenizer, truncation = load_tokenizer(tmp_path / "tokenizer.json")
    assert truncation_length(tmp_path, truncation) == 8
    ids, _, _ = StaticTokens(tokenizer).ids(["a " * 20])
    assert len(ids) == 20


def test_truncation_on_the_left_is_refused(tmp_path):
    assert truncation_length(tmp_path, None) is None
    with pytest.raises(ModelFormatError, match="truncation on the left"):
        truncation_length(tmp_path, {"direction": "left", "max_length": 8})


@pytest.mark.parametrize("content", ["", "{}", "[1]", '{"model": {"type": "Other"}}'])
def test_files_that_are_no_tokenizers_are_named(tmp_path, content):
    path = tmp_path / "tokenizer.json"
    path.write_text(content)
    with pytest.raises(ModelFormatError, match=r"tokenizer.json is not a tokenizer: "):
        load_tokenizer(path)


def test_unknown_tokens_of_all_kinds():
    assert unknown_id(make()) == 0
    assert unknown_id(Tokenizer(BPE({"a": 0}, []))) is None
    unigram = '{"type": "Unigram", "unk_id": 1, "vocab": [["a", -1.0], ["<unk>", 0.0]]}'
    assert unknown_id(Tokenizer.from_str(f'{{"model": {unigram}, "added_tokens": []}}')) == 1


def test_median_token_length():
    assert median_token_length(make()) == int(np.median([len(token) for token in VOCABULARY]))
