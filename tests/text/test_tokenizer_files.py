"""Files of a tokenizer in another folder: transformers and skembed build the same one."""

import json

import pytest
import transformers
from tiny import change_json, save_bytes_tokenizer, save_tiny_bert

from skembed.models._folder import ModelFolder
from skembed.text._tokenizer_files import write_tokenizer_files
from skembed.text._tokens import text_preprocessor

ASKED = {"max_length": None, "long_texts": "truncate", "prompt": None}


@pytest.fixture
def source(tmp_path):
    return save_tiny_bert(tmp_path / "source")


def test_every_file_is_copied(source, tmp_path):
    (source / "added_tokens.json").write_text("{}")
    (source / "vocab.txt").write_text("[PAD]\n")
    (source / "weights.bin").write_text("no")
    write_tokenizer_files(
        ModelFolder(source), source / "tokenizer.json", {}, tmp_path, max_length=20
    )
    names = {path.name for path in tmp_path.iterdir()} - {"source"}
    assert names == {"tokenizer.json", "tokenizer_config.json", "added_tokens.json", "vocab.txt"}
    assert transformers.AutoTokenizer.from_pretrained(tmp_path).model_max_length == 20


def test_arguments_take_precedence_and_code_is_left_out(source, tmp_path):
    change_json(source / "tokenizer_config.json", auto_map={"AutoTokenizer": ["code.Mine", None]})
    arguments = {"unk_token": "[MASK]"}
    write_tokenizer_files(ModelFolder(source), source / "tokenizer.json", arguments, tmp_path, 20)
    settings = json.loads((tmp_path / "tokenizer_config.json").read_text())
    assert settings["unk_token"] == "[MASK]"
    assert "auto_map" not in settings


def test_a_class_that_only_the_config_names(source, tmp_path):
    """It changes the tokenizer, and transformers may not write it again."""
    save_bytes_tokenizer(source, "RobertaTokenizer")
    settings = json.loads((source / "tokenizer_config.json").read_text())
    name = settings.pop("tokenizer_class")
    (source / "tokenizer_config.json").write_text(json.dumps(settings))
    change_json(source / "config.json", tokenizer_class=name)
    before = text_preprocessor(ModelFolder(source), **ASKED)
    config = json.loads((source / "config.json").read_text())
    del config["tokenizer_class"]
    (tmp_path / "config.json").write_text(json.dumps(config))
    (tmp_path / "model.safetensors").write_bytes((source / "model.safetensors").read_bytes())
    write_tokenizer_files(
        ModelFolder(source), before.tokenizer, {}, tmp_path, max_length=before.max_length
    )
    assert text_preprocessor(ModelFolder(tmp_path), **ASKED).settings() == before.settings()
