"""Keys of config.json that select code or files."""

import pytest
from tiny import change_json

from skembed.exceptions import ModelFormatError
from skembed.models._folder import ModelFolder


@pytest.mark.parametrize("nested", [False, True])
@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("quantization_config", {"quant_method": "bitsandbytes"}),
        ("transformers_weights", "other.safetensors"),
        ("backbone", "owner/name"),
        ("use_pretrained_backbone", True),
        ("model_type", "yoso"),
        ("model_type", ["bert"]),
        ("num_hidden_layers", 10**6),
        ("depths", [300, 300]),
        ("depth_coefficient", 1e9),
    ],
)
def test_a_config_that_selects_code_or_absurd_sizes_is_refused(folder, key, value, nested):
    """Before anything is loaded; file and key are named."""
    change = {"text_config": {"inner": [{key: value}]}} if nested else {key: value}
    change_json(folder / "config.json", **change)
    named = f"config.json: .*{'yoso' if value == 'yoso' else key}"
    with pytest.raises(ModelFormatError, match=named):
        _ = ModelFolder(folder).config


@pytest.mark.parametrize("value", [None, False, {}])
def test_keys_that_say_no_are_no_fault(folder, value):
    """As transformers writes them."""
    change_json(folder / "config.json", quantization_config=value, use_timm_backbone=value)
    assert ModelFolder(folder).config["hidden_size"] == 16
