"""Backbones: built-in architectures and whole, safe weights only; the process is left as it was."""

import json
import shutil
import subprocess
import sys

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file
from tiny import change_json, save_tiny_model
from transformers.utils import logging as transformers_logging

from skembed.base._graph_names import STEM
from skembed.exceptions import ModelFormatError
from skembed.models._backbone import Backbone, WithStem, load_backbone
from skembed.models._config_keys import without_code
from skembed.text._bert import TEXTS

IDS = torch.tensor([[2, 50, 51, 3], [2, 52, 53, 3]])


def change_weights(folder, change):
    weights = load_file(folder / "model.safetensors")
    change(weights)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


def test_states_are_those_of_transformers(tiny_bert):
    """All layers of transformers' own model, the embedding layer first."""
    backbone = load_backbone(tiny_bert, TEXTS)
    model = transformers.AutoModel.from_pretrained(tiny_bert).eval()
    with torch.no_grad():
        states = backbone(IDS)
        reference = model(IDS, output_hidden_states=True)
    assert len(states) == 3
    for ours, theirs in zip(states, reference.hidden_states, strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-6, rtol=0)
    assert not backbone.training


def test_weights_saved_in_half_precision_are_computed_in_float32(folder):
    """What they are stored in says nothing about what they are computed in."""
    change_weights(
        folder, lambda weights: weights.update({k: v.half() for k, v in weights.items()})
    )
    change_json(folder / "config.json", dtype="float16", torch_dtype="float16")
    backbone = load_backbone(folder, TEXTS)
    assert {parameter.dtype for parameter in backbone.parameters()} == {torch.float32}


def test_the_last_state_is_normalized_where_the_family_does(tmp_path):
    """GPT-2 normalizes after its last layer: -1 is what its own pooling sees."""
    folder = save_tiny_model(
        tmp_path / "gpt2",
        transformers.GPT2Config,
        transformers.GPT2Model,
        n_embd=16,
        n_layer=2,
        n_head=2,
        n_positions=40,
    )
    model = transformers.AutoModel.from_pretrained(folder).eval()
    with torch.no_grad():
        last = load_backbone(folder, TEXTS)(IDS)[-1]
        reference = model(IDS).last_hidden_state
    torch.testing.assert_close(last, reference, atol=1e-5, rtol=0)


def test_missing_weights_are_refused(folder):
    """They would be random: the error counts them and names one."""
    name = "encoder.layer.1.output.dense.bias"
    change_weights(folder, lambda weights: weights.pop(name))
    with pytest.raises(ModelFormatError) as raised:
        load_backbone(folder, TEXTS)
    assert str(raised.value) == (
        f"{folder}: 1 weights of BertModel are missing or have another shape, {name} among them; "
        "they would be random."
    )


def drop_pooler(weights):
    for name in [name for name in weights if name.startswith("pooler")]:
        del weights[name]


def test_a_missing_pooler_is_no_matter(folder):
    """Its answer is never used, and many published encoders come without it."""
    change_weights(folder, drop_pooler)
    assert len(load_backbone(folder, TEXTS)(IDS)) == 3


def test_weights_of_another_shape_are_refused(folder):
    """As missing ones are: transformers would draw them at random."""
    change_json(folder / "config.json", intermediate_size=25)
    with pytest.raises(ModelFormatError) as raised:
        load_backbone(folder, TEXTS)
    assert str(raised.value) == (
        f"{folder}: 6 weights of BertModel are missing or have another shape, "
        "encoder.layer.0.intermediate.dense.bias among them; they would be random."
    )


@pytest.mark.parametrize("size", [0, 100])
def test_damaged_weights_are_refused(folder, size):
    """A file that ends too early, as a broken download leaves it."""
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:size])
    with pytest.raises(ModelFormatError, match=f"^{folder}: the weights are damaged: "):
        load_backbone(folder, TEXTS)


def test_pickled_weights_are_not_loaded(folder):
    """Nor looked at, where they are all that there is."""
    weights = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    torch.save(weights, folder / "pytorch_model.bin")
    with pytest.raises(ModelFormatError, match="has no weights in safetensors files"):
        load_backbone(folder, TEXTS)


def give_code(folder, marker, **config):
    """Put code of the model's own into its folder; it writes `marker` when it is run."""
    (folder / "modeling.py").write_text(
        f"import pathlib\npathlib.Path({str(marker)!r}).touch()\n"
        "from transformers import BertConfig, BertModel\n"
        "class OwnConfig(BertConfig):\n    model_type = 'own'\n"
        "class OwnModel(BertModel):\n    config_class = OwnConfig\n"
    )
    auto_map = {"AutoConfig": "modeling.OwnConfig", "AutoModel": "modeling.OwnModel"}
    change_json(folder / "config.json", auto_map=auto_map, **config)


def test_an_unknown_architecture_is_refused_without_running_its_code(folder, tmp_path):
    """Whatever its folder says about where the code lies."""
    marker = tmp_path / "ran"
    give_code(folder, marker, model_type="own")
    with pytest.raises(ModelFormatError) as raised:
        load_backbone(folder, TEXTS)
    assert str(raised.value).startswith(
        f"{folder} cannot be loaded by transformers {transformers.__version__} without code from "
        "outside it, which skembed never runs: "
    )
    assert not marker.exists()


def test_a_known_architecture_is_loaded_without_running_its_code(folder, tmp_path):
    """transformers' own class is taken, not the folder's."""
    marker = tmp_path / "ran"
    give_code(folder, marker)
    backbone = load_backbone(folder, TEXTS)
    assert type(backbone.model) is transformers.BertModel
    assert not marker.exists()


HOSTILE = {
    "attn_implementation": "kernels-community/flash-attn",
    "_attn_implementation": "flex_attention",
    "_attn_implementation_internal": "kernels-community/flash-attn",
    "experts_implementation": "kernels-community/experts",
    "dtype": "load",
    "torch_dtype": "no such type",
    "output_attentions": True,
    "return_dict": False,
    "fusion_config": {"patch_embeddings": True},
    "distributed_config": {"tp_size": 2},
}


@pytest.mark.parametrize("key", HOSTILE)
def test_keys_that_select_code_are_overridden(folder, tiny_bert, key, monkeypatch):
    """Attention is passed explicitly: no kernel is asked for, and no vector changes."""
    asked = []
    monkeypatch.setattr(transformers.utils.import_utils, "is_kernels_available", lambda: True)
    monkeypatch.setattr(
        transformers.integrations.hub_kernels, "get_kernel", lambda *a, **k: asked.append(a)
    )
    change_json(folder / "config.json", **{key: HOSTILE[key]})
    backbone = load_backbone(folder, TEXTS)
    assert backbone.model.config._attn_implementation in ("sdpa", "eager")
    for ours, theirs in zip(backbone(IDS), load_backbone(tiny_bert, TEXTS)(IDS), strict=True):
        assert torch.equal(ours, theirs)
    assert not asked


def test_the_table_holds_all_keys_that_transformers_reads_of_attention():
    """Each has to be dropped, wherever it stands in a config."""
    nested = {"text_config": {"encoder": [dict(HOSTILE)]}, **HOSTILE}
    assert without_code(nested) == {"text_config": {"encoder": [{}]}}


@pytest.mark.parametrize("name", ["bidirectional_mask_function", "eager_mask"])
def test_without_transformers_internals_only_the_fusion_is_lost(name, tiny_bert):
    """Another version may lack them: torch computes, and exports are written with products."""
    code = (
        "import transformers.masking_utils\n"
        f"del transformers.masking_utils.{name}\n"
        "from skembed.models._backbone import load_backbone\n"
        "from skembed.text._bert import TEXTS\n"
        f"print(load_backbone({str(tiny_bert)!r}, TEXTS).attentions)\n"
    )
    command = [sys.executable, "-W", "ignore", "-c", code]
    answer = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert answer.strip() == "('eager',)"


def test_an_adapter_beside_the_weights_is_never_applied(folder, tiny_bert, monkeypatch):
    """transformers applies it where peft is installed; it is not in the fingerprint."""
    monkeypatch.setattr("transformers.models.auto.auto_factory.is_peft_available", lambda: True)
    monkeypatch.setattr(
        transformers.modeling_utils, "is_peft_available", lambda: True, raising=False
    )
    (folder / "adapter_config.json").write_text('{"base_model_name_or_path": "other"}')
    shutil.copy(folder / "model.safetensors", folder / "adapter_model.safetensors")
    states = load_backbone(folder, TEXTS)(IDS)
    assert torch.equal(states[-1], load_backbone(tiny_bert, TEXTS)(IDS)[-1])


def test_a_config_of_far_more_weights_is_refused_before_they_are_made(folder):
    """A table of a billion rows would fill the memory."""
    change_json(folder / "config.json", vocab_size=10**9)
    with pytest.raises(
        ModelFormatError, match=r"describes a network of 16,000,.* the weights contain"
    ):
        load_backbone(folder, TEXTS)


@pytest.mark.parametrize(
    "change",
    [
        {"hidden_size": "16"},
        {"hidden_size": 0},
        {"num_attention_heads": 3},
        {"hidden_act": "no such"},
        {"hidden_act": 5},
        {"__class__": "x"},
        {"self": 1},
        {"id2label": [1]},
        {"vocab_size": -1},
        {"layer_norm_eps": "x"},
        {"model_type": "no such"},
        {"model_type": None},
        {"rope_parameters": 3, "model_type": "modernbert"},
    ],
)
def test_configs_of_wrong_values_are_format_errors(folder, change):
    """Whatever transformers raises; the folder is named."""
    change_json(folder / "config.json", **change)
    with pytest.raises(ModelFormatError, match=f"^{folder}"):
        load_backbone(folder, TEXTS)


def test_shards_are_loaded_by_their_index(folder, tiny_bert):
    """And nothing else is."""
    weights = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    names = sorted(weights)
    halves = {"a.safetensors": names[::2], "b.safetensors": names[1::2]}
    for file, part in halves.items():
        save_file({name: weights[name] for name in part}, folder / file)
    weight_map = {name: file for file, part in halves.items() for name in part}
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))
    states = load_backbone(folder, TEXTS)(IDS)
    assert torch.equal(states[-1], load_backbone(tiny_bert, TEXTS)(IDS)[-1])


@pytest.mark.parametrize("outcome", ["loads", "fails"])
def test_the_process_is_left_as_it_was(folder, outcome, capfd):
    """Verbosity, progress bar and random numbers of others; nothing is printed."""
    change_weights(folder, drop_pooler)  # which transformers then draws at random
    if outcome == "fails":
        (folder / "model.safetensors").unlink()
    transformers_logging.set_verbosity_info()
    transformers_logging.enable_progress_bar()
    try:
        torch.manual_seed(3)
        expected = torch.random.get_rng_state()
        capfd.readouterr()
        try:
            load_backbone(folder, TEXTS)
        except ModelFormatError:
            assert outcome == "fails"
        assert capfd.readouterr() == ("", "")
        assert torch.equal(torch.random.get_rng_state(), expected)
        assert transformers_logging.get_verbosity() == transformers_logging.INFO
        assert transformers_logging.is_progress_bar_enabled()
    finally:
        transformers_logging.set_verbosity_warning()


def test_a_progress_bar_that_was_off_stays_off(tiny_bert):
    """Putting it back does not mean putting it on."""
    transformers_logging.disable_progress_bar()
    try:
        load_backbone(tiny_bert, TEXTS)
        assert not transformers_logging.is_progress_bar_enabled()
    finally:
        transformers_logging.enable_progress_bar()


def test_weights_of_the_stem_begin_with_its_name():
    """Quantizing recognizes them by it, and leaves them in float32."""
    backbone = Backbone()
    backbone.linear = torch.nn.Linear(2, 2)
    network = WithStem(torch.nn.Linear(2, 2), backbone)
    names = [name for name, _ in network.named_parameters()]
    assert [name.startswith(f"{STEM}.") for name in names] == [True, True, False, False]
