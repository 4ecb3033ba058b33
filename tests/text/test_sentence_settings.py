"""Settings of texts that Sentence Transformers saved: applied, or refused by file and key."""

import shutil

import pytest
from tiny import add_modules, change_json

from skembed.exceptions import ModelFormatError
from skembed.models._folder import ModelFolder
from skembed.text._sentence_settings import TextSettings, read_text_settings


@pytest.fixture
def folder(tiny_bert, tmp_path):
    """A copy of the tiny model that may be changed."""
    return shutil.copytree(tiny_bert, tmp_path / "model")


TEXT = {"text": {"method": "forward", "method_output_name": "last_hidden_state"}}


def text_settings(folder, **settings):
    add_modules(folder)
    (folder / "sentence_bert_config.json").unlink()
    change_json(folder / "sentence_bert_config.json", **settings)
    return read_text_settings(ModelFolder(folder))


def test_settings_of_texts(folder):
    """Those that change no vector are left alone."""
    assert read_text_settings(ModelFolder(folder)) == TextSettings()
    settings = text_settings(
        folder,
        max_seq_length=24,
        do_lower_case=True,
        transformer_task="feature-extraction",
        modality_config={**TEXT, "image": {"method": "x", "method_output_name": "y"}},
        module_output_name="token_embeddings",
        processing_kwargs={
            "text": {"padding": "max_length", "truncation": True},
            "chat_template": {"add_generation_prompt": True},
        },
        unpad_inputs=False,
        query_length=32,
        model_args={"attn_implementation": "sdpa", "torch_dtype": "float16"},
        tokenizer_args={"model_max_length": 48, "trust_remote_code": True},
        config_args={},
    )
    assert settings == TextSettings(24, True, {"model_max_length": 48})


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"max_seq_length": "24"}, "max_seq_length is '24'"),
        ({"max_seq_length": 0}, "max_seq_length is 0"),
        ({"scale": 2}, "the key 'scale'"),
        ({"tokenizer_name_or_path": "other"}, "tokenizer_name_or_path is not supported"),
        ({"transformer_task": "fill-mask"}, "transformer_task 'fill-mask' is not supported"),
        ({"processing_kwargs": {"text": {"max_length": 8}}}, "processing_kwargs.text.max_length"),
        ({"processing_kwargs": {"text": {"truncation": False}}}, "text.truncation"),
        ({"processing_kwargs": {"common": {"add_special_tokens": False}}}, "common.add_special"),
        ({"model_kwargs": {"layers": 3}}, "model_kwargs.layers"),
        ({"model_args": {"layers": 3}}, "model_kwargs.layers"),
        ({"config_args": {"num_hidden_layers": 1}}, "config_kwargs.num_hidden_layers"),
        (
            {"modality_config": TEXT, "module_output_name": "sentence_embedding"},
            "module_output_name 'sentence_embedding' is not supported",
        ),
        ({"modality_config": TEXT}, "module_output_name None is not supported"),
        *(
            (
                {"modality_config": modalities, "module_output_name": "token_embeddings"},
                "modality_config .* is not supported",
            )
            for modalities in (
                {},
                {"text": {"method": "forward", "method_output_name": "pooler_output"}},
                {"text": {"method": "forward", "method_output_name": ["hidden_states", -2]}},
                {"text": {"method": "get_text_features", "method_output_name": None}},
                {**TEXT, "message": TEXT["text"]},
            )
        ),
    ],
)
def test_other_settings_of_texts_are_refused(folder, settings, message):
    """By file and key."""
    with pytest.raises(ModelFormatError, match=rf"sentence_bert_config.json: .*{message}"):
        text_settings(folder, **settings)
