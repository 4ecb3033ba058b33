"""From texts to token ids: whole, cut and in windows, against the tokenizers library's own."""

import json
import shutil
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, normalizers, processors

from skembed.base._digest import file_sha256
from skembed.exceptions import NetworkChangedError
from skembed.text._tokens import TextPreprocessor

PROMPTS = ["", "query: ", "ca"]  # the last one may grow together with the text
POST_PROCESSORS = {
    "both": "[CLS] $A [SEP]",
    "after": "$A [SEP]",
    "before": "[CLS] $A",
    "two after": "[CLS] $A [SEP] [SEP]",
    "none": "$A",
}
TEXTS = st.text(alphabet="catdogs the[SEP]?é ", max_size=60) | st.text(max_size=30)
in_one_folder = settings(
    max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None
)


@pytest.fixture(scope="session")
def tokenizer_files(tiny_bert, tmp_path_factory):
    """The tiny tokenizer, with special tokens in various places."""
    folder = tmp_path_factory.mktemp("tokenizers")
    paths = {}
    for name, template in POST_PROCESSORS.items():
        tokenizer = Tokenizer.from_file(str(tiny_bert / "tokenizer.json"))
        special = [(token, tokenizer.token_to_id(token)) for token in ("[CLS]", "[SEP]")]
        tokenizer.post_processor = processors.TemplateProcessing(
            single=template, special_tokens=special
        )
        paths[name] = folder / f"{name}.json"
        tokenizer.save(str(paths[name]))
    return paths


def front(path, **changes):
    given = {"max_length": 12, "long_texts": "truncate", "prompt": "", "lowercase": False}
    return TextPreprocessor(tokenizer=str(path), sha256=file_sha256(path), **{**given, **changes})


@cache
def reference(path, max_length=None):
    """The library's own tokenizer, which cuts by itself where it is told to."""
    tokenizer = Tokenizer.from_file(str(path))
    tokenizer.no_padding()
    tokenizer.no_truncation()
    if max_length is not None:
        tokenizer.enable_truncation(max_length)
    return tokenizer


# -- whole, cut, in windows ------------------------------------------------------------------------


@pytest.mark.parametrize("special", POST_PROCESSORS)
@in_one_folder
@given(TEXTS, st.sampled_from(PROMPTS), st.integers(9, 30))
def test_windows_together_are_the_whole_text(tokenizer_files, special, text, prompt, max_length):
    """Each token of the text is in one window, in order, between special tokens and prompt."""
    path = tokenizer_files[special]
    tokens = front(path, max_length=max_length, long_texts="chunk", prompt=prompt).tokens(text)
    ids = reference(path).encode(prompt + text).ids
    n_after = {"both": 1, "after": 1, "two after": 2}.get(special, 0)
    own = []
    for window, count in zip(tokens.inputs, tokens.counts, strict=True):
        assert window.dtype == np.int64
        assert len(window) <= max_length
        stop = len(window) - n_after
        own += window[stop - count : stop].tolist()
        assert window[: stop - count].tolist() == ids[: stop - count]
        assert window[stop:].tolist() == ids[len(ids) - n_after :]
    n_before = len(tokens.inputs[0]) - n_after - tokens.counts[0]
    assert ids[:n_before] + own + ids[len(ids) - n_after :] == ids
    assert ids[tokens.own] == own
    assert all(count > 0 for count in tokens.counts[1:])
    assert (len(tokens.inputs) > 1) == (len(ids) > max_length)
    assert (tokens.cut, tokens.problem) == (False, None)


@pytest.mark.parametrize("special", POST_PROCESSORS)
@in_one_folder
@given(TEXTS, st.sampled_from(PROMPTS), st.integers(9, 30))
def test_truncation_is_the_librarys_own(tokenizer_files, special, text, prompt, max_length):
    """The same tokens, and told of exactly where there were more."""
    path = tokenizer_files[special]
    tokens = front(path, max_length=max_length, prompt=prompt).tokens(text)
    expected = reference(path, max_length).encode(prompt + text)
    assert [window.tolist() for window in tokens.inputs] == [expected.ids]
    assert tokens.cut == bool(expected.overflowing)
    assert tokens.cut == (len(reference(path).encode(prompt + text).ids) > max_length)
    assert len(reference(path).encode(prompt + text).ids[tokens.own]) == tokens.counts[0]


LONG_TEXTS = {
    "words": "the cat sat on a mat, " * 3000,
    "one word": "cat" * 20000,
    "a long word behind words": "the cat " * 9 + "cat" * 20000,
    "a long word before words": "x" * 30000 + " the cat sat" * 3000,
    "no words": " " * 40000 + "the cat sat on a mat while the dog ran",
    "other signs": "中文漢字" * 20000,
    "marks": "e" + "\u0301" * 40000 + " cat" * 900,
    "special tokens": "[SEP][CLS]" * 9000,
}


@pytest.mark.parametrize("name", LONG_TEXTS)
@pytest.mark.parametrize("prompt", ["", "query: "])
@pytest.mark.parametrize("special", ["both", "none"])
def test_the_start_of_a_very_long_text_gives_the_same_tokens(
    tokenizer_files, name, prompt, special
):
    """As the whole of it, which is read where the start does not decide."""
    path, text = tokenizer_files[special], LONG_TEXTS[name]
    tokens = front(path, max_length=20, prompt=prompt).tokens(text)
    expected = reference(path, 20).encode(prompt + text)
    assert [window.tolist() for window in tokens.inputs] == [expected.ids]
    assert tokens.cut == bool(expected.overflowing)
    own = reference(path).encode(prompt + text)
    assert tokens.encoding.offsets[tokens.own] == own.offsets[tokens.own]


def test_a_very_long_text_is_not_read_to_its_end(tiny_bert):
    """The part that is read does not grow with the text."""
    tokens = front(tiny_bert / "tokenizer.json", max_length=20).tokens("the cat sat " * 100_000)
    assert len(tokens.encoding.ids) < 5000


@in_one_folder
@given(TEXTS, st.integers(4, 30))
def test_too_long_texts_are_errors_where_they_shall_be(tokenizer_files, text, max_length):
    """With both numbers; others are whole."""
    path = tokenizer_files["both"]
    tokens = front(path, max_length=max_length, long_texts="error").tokens(text)
    ids = reference(path).encode(text).ids
    if len(ids) > max_length:
        assert tokens.problem == f"{len(ids)} tokens, more than max_length={max_length}"
    else:
        assert tokens.problem is None
        assert [window.tolist() for window in tokens.inputs] == [ids]
    assert not tokens.cut


def test_padding_and_truncation_of_the_file_are_not_taken_over(tiny_bert):
    """The tokenizer was saved with both, as published ones are."""
    saved = json.loads((tiny_bert / "tokenizer.json").read_text())
    assert saved["padding"]
    assert saved["truncation"]["max_length"] == 8
    tokens = front(tiny_bert / "tokenizer.json", max_length=20)
    assert len(tokens.tokens("cat").inputs[0]) == 3
    assert len(tokens.tokens("cat " * 15).inputs[0]) == 17


def test_an_empty_text_is_its_special_tokens(tiny_bert):
    """It has a vector like any other."""
    tokens = front(tiny_bert / "tokenizer.json").tokens("")
    assert [window.tolist() for window in tokens.inputs] == [[2, 3]]
    assert tokens.counts == [0]
    assert tokens.encoding.tokens[tokens.own] == []


def test_rows_are_prepared_with_weights_and_reasons(tiny_bert):
    """Windows are weighted by their own tokens; rows that are too long are bad ones."""
    path = tiny_bert / "tokenizer.json"
    rows = ["the cat", "the cat sat on a mat"]
    (short, long), wrong = front(path, max_length=6, long_texts="chunk").prepare(rows)
    assert (short.weights, long.weights) == ([2], [4, 2])
    assert wrong == {}
    _, wrong = front(path, max_length=6, long_texts="error").prepare(rows)
    assert wrong == {1: "8 tokens, more than max_length=6"}
    (short, long), _ = front(path, max_length=6).prepare(rows)
    assert (short.cut, long.cut) == (False, True)


@pytest.mark.parametrize(
    ("special", "prompt", "n_prompt_tokens", "n_taken"),
    [
        ("both", "", 0, 2),
        ("both", "query: ", 3, 4),
        ("none", "", 0, 0),
        ("none", "query: ", 2, 2),
        ("two after", "query: ", 3, 5),
    ],
)
def test_room_that_prompt_and_special_tokens_take(
    tokenizer_files, special, prompt, n_prompt_tokens, n_taken
):
    """A text needs at least one token more."""
    path = tokenizer_files[special]
    assert front(path, prompt=prompt).n_prompt_tokens == n_prompt_tokens
    front(path, prompt=prompt, max_length=n_taken + 1).check()
    if n_taken:
        with pytest.raises(ValueError) as raised:  # noqa: PT011
            front(path, prompt=prompt, max_length=n_taken).check()
        assert str(raised.value) == (
            f"max_length={n_taken} leaves no room for a text: special tokens and the prompt have "
            f"{n_taken} tokens."
        )


@pytest.fixture(scope="session")
def cased(tiny_bert, tmp_path_factory):
    """The tiny tokenizer without a normalizer: capitals are unknown to it."""
    tokenizer = Tokenizer.from_file(str(tiny_bert / "tokenizer.json"))
    tokenizer.normalizer = normalizers.NFC()
    path = tmp_path_factory.mktemp("cased") / "tokenizer.json"
    tokenizer.save(str(path))
    return path


@in_one_folder
@given(st.text(alphabet="CATcat İ[SEP]ΣΑ", max_size=20), st.sampled_from(["", "Query: "]))
def test_lowercasing_is_the_librarys_own(cased, text, prompt):
    """As Sentence Transformers does it: prompt and text, but not special tokens."""
    lowered = Tokenizer.from_file(str(cased))
    lowered.no_padding()
    lowered.no_truncation()
    lowered.normalizer = normalizers.Sequence([normalizers.Lowercase(), normalizers.NFC()])
    tokens = front(cased, max_length=99, prompt=prompt, lowercase=True).tokens(text)
    expected = lowered.encode(prompt + text)
    assert tokens.inputs[0].tolist() == expected.ids
    assert tokens.encoding.offsets == expected.offsets


def test_lowercasing_is_one_fronts_own_matter(cased):
    """Two embedders of one tokenizer do not share it where one of them lowercases."""
    texts = ["CAT", "cat"]
    for lowercase in (True, False, True):
        upper, lower = (
            front(cased, lowercase=lowercase).tokens(text).inputs[0].tolist() for text in texts
        )
        assert (upper == lower) is lowercase


# -- what defines it -----------------------------------------------------------------------------


def test_settings_are_all_but_the_path(tiny_bert, tmp_path):
    """The same tokenizer in another place gives the same vectors."""
    here = front(tiny_bert / "tokenizer.json")
    there = front(shutil.copy(tiny_bert / "tokenizer.json", tmp_path / "other.json"))
    assert here.settings() == there.settings()
    for change in (
        {"max_length": 13},
        {"long_texts": "chunk"},
        {"prompt": "query: "},
        {"lowercase": True},
    ):
        assert front(tiny_bert / "tokenizer.json", **change).settings() != here.settings()


def test_another_tokenizer_in_its_place_is_noticed(tiny_bert, tmp_path):
    """As when a model is downloaded anew under a pickled estimator."""
    path = Path(shutil.copy(tiny_bert / "tokenizer.json", tmp_path / "tokenizer.json"))
    tokenizer = Tokenizer.from_file(str(path))
    tokenizer.add_tokens(["unheard-of"])
    tokenizer.save(str(path))
    before = front(path)
    shutil.copy(tiny_bert / "tokenizer.json", path)
    with pytest.raises(NetworkChangedError) as raised:
        before.tokens("cat")
    assert str(raised.value) == (
        f"{path} holds another tokenizer now than when the estimator was fitted. Fit the estimator "
        "again, or restore the old content."
    )


@pytest.mark.parametrize("max_length", [8, 30, 512])
def test_probes_are_words_of_three_lengths(tiny_bert, max_length):
    """No special tokens, nothing longer than the network takes, the same each time."""
    path = tiny_bert / "tokenizer.json"
    probes = front(path, max_length=max_length).probes()
    lengths = [min(length, max_length) for length in (11, 3, 35)]
    assert [item.shape for item in probes] == list(zip((2, 1, 3), lengths, strict=True))
    ids = np.concatenate([item.ravel() for item in probes])
    assert ids.dtype == np.int64
    assert ids.min() >= 5
    assert ids.max() < reference(path).get_vocab_size()
    again = front(path, max_length=max_length).probes()
    assert all(np.array_equal(a, b) for a, b in zip(probes, again, strict=True))


def test_a_saved_front_is_the_same(tiny_bert, tmp_path):
    """Its file and its settings are what an exported folder holds."""
    before = front(tiny_bert / "tokenizer.json", prompt="query: ", lowercase=True)
    saved = before.save(tmp_path)
    assert saved == {"max_length": 12, "prompt": "query: ", "lowercase": True}
    assert front(tmp_path / "tokenizer.json", **saved).settings() == before.settings()
