"""Keys of config.json that select code or files."""

import pytest
from tiny import change_json

from skembed.exceptions import ModelFormatError
from skembed.models._config_keys import (
    OVERRIDDEN,
    REFUSED,
    REFUSED_FAMILIES,
    check_config,
    without_code,
)
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


# -- the tables -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [*OVERRIDDEN, *REFUSED])
def test_no_key_of_the_tables_reaches_transformers(name):
    """At any depth, whatever its value."""
    config = {name: 1, "text_config": {name: {}, "n": 1}, "parts": [{name: None}, 2]}
    assert without_code(config) == {"text_config": {"n": 1}, "parts": [{}, 2]}
    assert name in config  # the config itself stays as it is


def test_a_key_is_dropped_or_refused():
    assert not set(OVERRIDDEN) & set(REFUSED)


@pytest.mark.parametrize("name", OVERRIDDEN)
def test_keys_that_are_dropped_are_no_fault(name):
    check_config({name: "anything"}, "config.json")


@pytest.mark.parametrize("name", REFUSED)
def test_keys_that_are_refused(name):
    with pytest.raises(ModelFormatError) as raised:
        check_config({"vision_config": {name: "x"}}, "/a/config.json")
    assert (
        str(raised.value) == f"/a/config.json: {name} selects {REFUSED[name]}; skembed refuses it."
    )
    for value in (None, False, {}):
        check_config({name: value}, "config.json")


@pytest.mark.parametrize("family", REFUSED_FAMILIES)
def test_families_that_are_refused(family):
    with pytest.raises(ModelFormatError, match=f"the family '{family}' runs downloaded code"):
        check_config({"encoder": {"model_type": family}}, "config.json")


@pytest.mark.parametrize("name", ["hidden_size", "num_hidden_layers", "vocab_size", "n_embd"])
@pytest.mark.parametrize("value", [-1, 2.0, "8", True, [8]])
def test_sizes_are_integers(name, value):
    with pytest.raises(ModelFormatError, match=f"{name} must be an integer of at least 0. Got "):
        check_config({name: value}, "config.json")
    check_config({name: None}, "config.json")
    check_config({name: 0}, "config.json")


@pytest.mark.parametrize(
    ("name", "most"),
    [
        ("hidden_size", 65_536),
        ("d_model", 65_536),
        ("num_hidden_layers", 512),
        ("n_layer", 512),
        ("num_experts", 512),
        ("stage_repeats", 512),
        ("depth_coefficient", 16),
    ],
)
def test_networks_are_of_bounded_size(name, most):
    check_config({name: most}, "config.json")
    with pytest.raises(ModelFormatError, match=f"config.json: {name} is {most + 1}"):
        check_config({name: most + 1}, "config.json")


def test_numbers_in_a_list_are_added():
    check_config({"depths": [256, 256]}, "config.json")
    with pytest.raises(ModelFormatError, match="depths is 513"):
        check_config({"depths": [256, 257]}, "config.json")
    with pytest.raises(ModelFormatError, match="depths is nan"):
        check_config({"depths": [float("nan")]}, "config.json")


@pytest.mark.parametrize("name", ["layer_norm_eps", "group_size", "block_hidden_sizes"])
def test_other_numbers_are_not_bounded(name):
    """They count no modules."""
    check_config({name: 400 if name == "layer_norm_eps" else 4096}, "config.json")


def test_configs_are_nested_so_deep_and_no_deeper():
    config = {}
    for _ in range(16):
        config = {"inner": config}
    check_config(config, "config.json")
    with pytest.raises(ModelFormatError, match=r"config\.json is nested too deeply"):
        check_config({"inner": config}, "config.json")
