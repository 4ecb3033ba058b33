"""From texts to token ids: whole, cut and in windows, against the tokenizers library's own."""

import json
import shutil
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tiny import add_modules
from tokenizers import Tokenizer, normalizers, processors

from skembed.base._digest import file_sha256
from skembed.exceptions import ModelFormatError, NetworkChangedError
from skembed.models._folder import ModelFolder
from skembed.text._tokens import TextPreprocessor, text_preprocessor

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
            f"max_length={n_taken} leaves no room for a text: special tokens and the prompt take "
            f"{n_taken}."
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


# -- from a model's folder -------------------------------------------------------------------------


@pytest.fixture
def folder(tiny_bert, tmp_path):
    return add_modules(shutil.copytree(tiny_bert, tmp_path / "model"))


def front_of(folder, *, max_length=None, long_texts="truncate", prompt=None):
    return text_preprocessor(
        ModelFolder(folder), max_length=max_length, long_texts=long_texts, prompt=prompt
    )


def change_json(path, **changes):
    content = json.loads(path.read_text()) if path.exists() else {}
    path.write_text(json.dumps({**content, **changes}))


@pytest.mark.parametrize(
    ("max_seq_length", "model_max_length", "positions", "expected"),
    [
        (24, 32, 40, 24),
        (32, 24, 40, 32),  # what Sentence Transformers was told comes before the tokenizer's
        (None, 32, 40, 32),
        (None, 512, 40, 40),
        (512, 512, 40, 40),
        (None, int(1e30), 40, 40),
        (None, None, 40, 40),
        (24, int(1e30), None, 24),
    ],
)
def test_the_models_own_max_length(folder, max_seq_length, model_max_length, positions, expected):
    """Sentence Transformers' setting, else the tokenizer's; never more than there are positions."""
    change_json(folder / "sentence_bert_config.json", max_seq_length=max_seq_length)
    change_json(folder / "tokenizer_config.json", model_max_length=model_max_length)
    change_json(folder / "config.json", max_position_embeddings=positions)
    assert front_of(folder).max_length == expected


def test_settings_of_sentence_transformers_belong_to_its_folders(folder):
    """Without modules.json it does not read them either."""
    change_json(folder / "sentence_bert_config.json", max_seq_length=17, do_lower_case=True)
    (folder / "modules.json").unlink()
    assert (front_of(folder).max_length, front_of(folder).lowercase) == (32, False)


@pytest.mark.parametrize(
    ("family", "expected"),
    [
        ({"model_type": "modernbert"}, 99),
        ({"model_type": "new", "rope_theta": 1e4}, 99),
        ({"model_type": "x", "position_embedding_type": "rotary"}, 99),
        ({"model_type": "deberta-v2", "position_biased_input": False}, 99),
        ({"model_type": "deberta-v2"}, 40),
        ({"model_type": "bert"}, 40),
        ({"model_type": "roformer", "rotary_value": False}, 40),
        ({"model_type": "xlm-roberta", "pad_token_id": 1}, 38),
    ],
)
def test_networks_without_a_table_of_positions_are_cut_where_the_folder_says(
    folder, family, expected
):
    """Positions that are computed have no end; without a length they bound the tokenizer's."""
    change_json(folder / "sentence_bert_config.json", max_seq_length=99)
    change_json(folder / "tokenizer_config.json", model_max_length=1000)
    change_json(folder / "config.json", **family)
    assert front_of(folder).max_length == expected
    if expected == 99:
        assert front_of(folder, max_length=500).max_length == 500
    change_json(folder / "sentence_bert_config.json", max_seq_length=None)
    assert front_of(folder).max_length == min(expected, 40)
    change_json(folder / "sentence_bert_config.json", tokenizer_args={"model_max_length": 36})
    assert front_of(folder).max_length == 36


def test_legacy_names_of_sentence_transformers_settings(folder):
    """Its first models named the file after their family."""
    (folder / "sentence_bert_config.json").unlink()
    change_json(folder / "sentence_roberta_config.json", max_seq_length=17, do_lower_case=True)
    assert front_of(folder).max_length == 17
    assert front_of(folder).lowercase is True


def test_a_max_length_may_be_asked_for(folder):
    """More than the model's own, up to its positions."""
    change_json(folder / "sentence_bert_config.json", max_seq_length=24)
    assert front_of(folder, max_length=40).max_length == 40
    with pytest.raises(
        ValueError, match=r"^max_length=41 is more than the 40 that the model takes"
    ):
        front_of(folder, max_length=41)
    with pytest.raises(ValueError, match=r"^max_length=2 leaves no room for a text"):
        front_of(folder, max_length=2)


def test_a_model_that_says_nothing_must_be_told(folder):
    """There is no length that fits all models."""
    (folder / "sentence_bert_config.json").unlink()
    change_json(folder / "tokenizer_config.json", model_max_length=int(1e30))
    change_json(folder / "config.json", max_position_embeddings=None)
    with pytest.raises(ValueError) as raised:  # noqa: PT011
        front_of(folder)
    assert str(raised.value) == (f"{folder} does not say how many tokens it takes: set max_length.")
    assert front_of(folder, max_length=1000).max_length == 1000


@pytest.mark.parametrize(("model_type", "expected"), [("bert", 40), ("roberta", 38), ("mpnet", 38)])
def test_families_that_number_positions_from_the_padding_have_fewer(folder, model_type, expected):
    """RoBERTa's 514 positions are 512 tokens."""
    (folder / "sentence_bert_config.json").unlink()
    change_json(folder / "tokenizer_config.json", model_max_length=None)
    change_json(folder / "config.json", model_type=model_type, pad_token_id=1)
    assert front_of(folder).max_length == expected


@pytest.mark.parametrize(
    ("prompt", "default", "expected"),
    [
        (None, None, ""),
        (None, "query", "query: "),
        ("passage", "query", "passage: "),
        ("to: ", "query", "to: "),
        ("", "query", ""),
    ],
)
def test_prompts_by_name_and_by_text(folder, prompt, default, expected):
    """None is the model's default, "" is none."""
    prompts = {"query": "query: ", "passage": "passage: "}
    add_modules(folder, prompts=prompts, default=default)
    assert front_of(folder, prompt=prompt).prompt == expected


def test_a_folder_without_a_tokenizer_says_how_to_write_one(folder):
    """transformers can, from the files that it reads."""
    (folder / "tokenizer.json").unlink()
    with pytest.raises(ModelFormatError) as raised:
        front_of(folder)
    assert str(raised.value) == (
        f"{folder} has no tokenizer.json. Write one with transformers: "
        "AutoTokenizer.from_pretrained(folder).save_pretrained(folder)"
    )


def test_the_tokenizer_may_lie_above_the_backbone(folder, tmp_path):
    """Where the backbone has a folder of its own, and its tokenizer has not."""
    old = tmp_path / "old"
    (old / "1_Pooling").mkdir(parents=True)
    folder.rename(old / "0_Transformer")
    (old / "0_Transformer" / "tokenizer.json").rename(old / "tokenizer.json")
    kinds = ("Transformer", "Pooling")
    modules = [
        {"path": f"{i}_{kind}", "type": f"sentence_transformers.models.{kind}"}
        for i, kind in enumerate(kinds)
    ]
    (old / "modules.json").write_text(json.dumps(modules))
    change_json(old / "1_Pooling" / "config.json", word_embedding_dimension=16)
    assert front_of(old).tokenizer == str(old / "tokenizer.json")
