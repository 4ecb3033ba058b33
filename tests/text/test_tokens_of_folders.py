"""The preprocessor of texts that a model's folder defines."""

import json
import shutil

import pytest
from tiny import add_modules, change_json

from skembed.exceptions import ModelFormatError
from skembed.models._folder import ModelFolder
from skembed.text._tokens import text_preprocessor


@pytest.fixture
def folder(tiny_bert, tmp_path):
    return add_modules(shutil.copytree(tiny_bert, tmp_path / "model"))


def front_of(folder, *, max_length=None, long_texts="truncate", prompt=None):
    return text_preprocessor(
        ModelFolder(folder), max_length=max_length, long_texts=long_texts, prompt=prompt
    )


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
    with pytest.raises(ValueError, match=r"^max_length=41 exceeds the maximum of the model, 40"):
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
    assert str(raised.value) == (f"{folder} does not define a maximum length: set max_length.")
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
