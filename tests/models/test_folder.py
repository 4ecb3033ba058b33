"""A model's folder, read without torch."""

import json
import os
import shutil

import pytest
from tiny import add_modules, save_tiny_bert

from skembed._digest import digest, file_sha256
from skembed.exceptions import ModelFormatError
from skembed.models._folder import ModelFolder, Modules, read_json


@pytest.fixture
def folder(tiny_bert, tmp_path):
    """A copy of the tiny model that may be changed."""
    return shutil.copytree(tiny_bert, tmp_path / "model")


def change_json(path, **changes):
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


# -- the backbone --------------------------------------------------------------------------------


def test_config_says_how_many_layers_and_of_what_width(tiny_bert):
    """Under BERT's own names."""
    folder = ModelFolder(tiny_bert)
    assert (folder.n_layers, folder.n_hidden) == (2, 16)
    assert folder.onnx is None


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({"n_layers": 6, "dim": 768}, (6, 768)),  # DistilBERT
        ({"n_layer": 12, "n_embd": 64}, (12, 64)),  # GPT-2
        ({"num_hidden_layers": 3, "d_model": 8}, (3, 8)),
        ({}, (None, None)),
    ],
)
def test_families_have_their_own_names_for_sizes(tmp_path, config, expected):
    """None where none of the names is there."""
    (tmp_path / "config.json").write_text(json.dumps(config))
    folder = ModelFolder(tmp_path)
    assert (folder.n_layers, folder.n_hidden) == expected


def test_a_folder_without_a_config_says_so(folder):
    """An .onnx file may stand alone, weights may not."""
    (folder / "config.json").unlink()
    with pytest.raises(ModelFormatError) as raised:
        _ = ModelFolder(folder).config
    assert str(raised.value) == f"{folder} has no config.json."
    (folder / "model.safetensors").rename(folder / "model.onnx")
    assert ModelFolder(folder).config == {}


def test_an_onnx_file_is_read_in_its_folder(folder):
    """Given itself, or found where the folder has no other weights."""
    (folder / "model.onnx").write_bytes(b"graph")
    alone = ModelFolder(folder / "model.onnx")
    assert (alone.onnx, alone.path) == (folder / "model.onnx", folder)
    assert ModelFolder(folder).onnx is None
    (folder / "model.safetensors").unlink()
    assert ModelFolder(folder).onnx == folder / "model.onnx"


def test_a_manifest_is_skembeds_or_nobodys(tmp_path):
    """Other programs write files of that name too."""
    (tmp_path / "config.json").write_text("{}")
    assert ModelFolder(tmp_path).manifest is None
    (tmp_path / "manifest.json").write_text('["files"]')
    assert ModelFolder(tmp_path).manifest is None
    (tmp_path / "manifest.json").write_text('{"skembed": "1.0"}')
    assert ModelFolder(tmp_path).manifest == {"skembed": "1.0"}


@pytest.mark.parametrize("content", [b"{broken", b"\xff\xfe"])
def test_what_is_not_json_is_named(tmp_path, content):
    """The file, and what is wrong with it."""
    (tmp_path / "config.json").write_bytes(content)
    with pytest.raises(ModelFormatError, match=r"config.json is not JSON: "):
        read_json(tmp_path / "config.json")
    assert read_json(tmp_path / "other.json", 3) == 3


# -- the digest ----------------------------------------------------------------------------------


def test_the_digest_is_that_of_the_content(folder, tiny_bert, tmp_path):
    """The same in another folder and after a rewrite of the same bytes."""
    before = ModelFolder(tiny_bert).digest
    assert ModelFolder(folder).digest == before
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes())
    change_json(folder / "config.json", _name_or_path="elsewhere")
    assert ModelFolder(folder).digest == before


def test_the_digest_follows_weights_and_config(folder):
    """One bit of the weights, one key of the config."""
    seen = {ModelFolder(folder).digest}
    weights = folder / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    stat = weights.stat()
    weights.write_bytes(content)
    os.utime(weights, ns=(stat.st_atime_ns, stat.st_mtime_ns + 1))
    seen.add(ModelFolder(folder).digest)
    change_json(folder / "config.json", hidden_act="relu")
    seen.add(ModelFolder(folder).digest)
    assert len(seen) == 3


@pytest.mark.parametrize("data", ["model.onnx.data", "model.onnx_data"])
def test_the_digest_follows_weights_beside_a_graph(tmp_path, data):
    """Under the names that torch and that Optimum give them."""
    (tmp_path / "model.onnx").write_bytes(b"graph")
    seen = {ModelFolder(tmp_path).digest}
    (tmp_path / data).write_bytes(b"weights")
    seen.add(ModelFolder(tmp_path).digest)
    (tmp_path / data).write_bytes(b"other weights")
    seen.add(ModelFolder(tmp_path).digest)
    assert len(seen) == 3


def test_a_files_digest_is_the_published_one(tmp_path):
    """SHA-256 of the bytes; of the new ones when the file was replaced."""
    file = tmp_path / "file"
    file.write_bytes(b"abc")
    assert file_sha256(file) == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    other = tmp_path / "other"
    other.write_bytes(b"")
    other.replace(file)
    assert file_sha256(file) == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


def test_a_digest_tells_values_apart_and_not_their_order():
    """Keys are sorted, lists are not."""
    assert digest({"a": 1, "b": [1, 2]}) == digest({"b": [1, 2], "a": 1})
    assert len({digest(value) for value in ({"a": 1}, {"a": "1"}, [1, 2], [2, 1], None)}) == 5


# -- modules -------------------------------------------------------------------------------------


def modules_of(folder):
    return ModelFolder(folder).modules


def test_a_folder_without_modules_says_nothing_of_pooling(tiny_bert):
    """And does not normalise."""
    assert modules_of(tiny_bert) == Modules(pooling=None, normalize=False)


def test_modules_are_read_as_published(folder):
    """Pooling, dense layer, normalising, prompts."""
    dense = {
        "in_features": 16,
        "out_features": 4,
        "bias": True,
        "activation_function": "torch.nn.modules.activation.Tanh",
    }
    add_modules(
        folder,
        pooling={"pooling_mode_cls_token": True, "include_prompt": False},
        dense=dense,
        normalize=True,
        prompts={"query": "query: "},
        default="query",
    )
    modules = modules_of(folder)
    assert modules.pooling == ("cls",)
    assert modules.include_prompt is False
    assert modules.normalize is True
    assert (modules.prompts, modules.default_prompt) == ({"query": "query: "}, "query")
    (layer,) = modules.dense
    assert (layer.activation, layer.residual, layer.out_features) == ("Tanh", False, 4)
    assert layer.sha256 == file_sha256(folder / "2_Dense" / "model.safetensors")


@pytest.mark.parametrize(
    ("config", "poolings"),
    [
        ({"pooling_mode_mean_tokens": True}, ("mean",)),
        ({"pooling_mode_cls_token": True}, ("cls",)),
        ({"pooling_mode_max_tokens": True}, ("max",)),
        ({"pooling_mode_mean_sqrt_len_tokens": True}, ("mean_sqrt_len",)),
        ({"pooling_mode_weightedmean_tokens": True}, ("weighted_mean",)),
        ({"pooling_mode_lasttoken": True}, ("last",)),
        (
            {
                "pooling_mode_lasttoken": True,
                "pooling_mode_mean_tokens": True,
                "pooling_mode_max_tokens": False,
                "pooling_mode_cls_token": True,
            },
            ("cls", "mean", "last"),
        ),
        ({"pooling_mode_mean_tokens": False}, ("mean",)),
        ({"pooling_mode": "lasttoken"}, ("last",)),
        ({"pooling_mode": ["mean", "cls"]}, ("mean", "cls")),
    ],
)
def test_poolings_of_both_layouts(folder, config, poolings):
    """Flags in the order in which Sentence Transformers concatenates them; names as they stand."""
    assert modules_of(add_modules(folder, pooling=config)).pooling == poolings


def test_an_unknown_pooling_is_named(folder):
    """Not replaced by the mean."""
    add_modules(folder, pooling={"pooling_mode": ["mean", "attention"]})
    with pytest.raises(ModelFormatError, match=r"Unknown pooling modes \['attention'\]; known: "):
        modules_of(folder)


def set_modules(folder, *kinds):
    modules = [
        {"idx": i, "name": str(i), "path": f"{i}_{kind}" if i else "", "type": f"a.b.{kind}"}
        for i, kind in enumerate(kinds)
    ]
    (folder / "modules.json").write_text(json.dumps(modules))


def test_an_unknown_module_is_named(folder):
    """Leaving it out would give other vectors than the model's."""
    set_modules(folder, "Transformer", "Pooling", "CNN")
    with pytest.raises(ModelFormatError) as raised:
        modules_of(folder)
    assert str(raised.value) == (
        f"{folder}: modules.json names a module that skembed does not know: CNN. It knows "
        "Transformer, Pooling, Dense, Normalize and Dropout."
    )


def test_dropout_does_nothing(folder):
    """It is active in training alone."""
    set_modules(folder, "Transformer", "Pooling", "Dropout", "Normalize")
    assert modules_of(folder) == Modules(pooling=("mean",), normalize=True)


def test_dense_after_normalize_is_refused(folder):
    """The order matters, and the head has one order."""
    dense = {"in_features": 16, "out_features": 4, "activation_function": "torch.nn.modules.X"}
    add_modules(folder, dense=dense, normalize=True)
    modules = json.loads((folder / "modules.json").read_text())
    (folder / "modules.json").write_text(json.dumps([*modules[:2], modules[3], modules[2]]))
    with pytest.raises(ModelFormatError, match="Dense after Normalize is not supported"):
        modules_of(folder)


def test_a_dense_layer_of_tokens_is_refused(folder):
    """As models that keep a vector a token have."""
    dense = {"in_features": 16, "out_features": 4, "module_input_name": "token_embeddings"}
    add_modules(folder, dense=dense)
    with pytest.raises(ModelFormatError, match="does not know: Dense of tokens"):
        modules_of(folder)


def test_a_pickled_dense_layer_is_refused(folder):
    """Its folder is named."""
    add_modules(folder, dense={"in_features": 16, "out_features": 4})
    (folder / "2_Dense" / "model.safetensors").rename(folder / "2_Dense" / "pytorch_model.bin")
    with pytest.raises(ModelFormatError) as raised:
        modules_of(folder)
    assert str(raised.value) == (
        f"{folder / '2_Dense'} has no model.safetensors; skembed never loads pickle."
    )


def test_an_activation_from_elsewhere_is_refused(folder):
    """A config may not name code to be run."""
    dense = {"in_features": 16, "out_features": 4, "activation_function": "os.system"}
    add_modules(folder, dense=dense)
    with pytest.raises(ModelFormatError, match=r"activation 'os.system' is not a class of torch"):
        modules_of(folder)


def test_the_backbone_may_have_a_folder_of_its_own(tmp_path):
    """As Sentence Transformers wrote it first."""
    save_tiny_bert(tmp_path / "0_Transformer")
    modules = [
        {"idx": 0, "name": "0", "path": "0_Transformer", "type": "a.Transformer"},
        {"idx": 1, "name": "1", "path": "1_Pooling", "type": "a.Pooling"},
    ]
    (tmp_path / "modules.json").write_text(json.dumps(modules))
    folder = ModelFolder(tmp_path)
    assert folder.backbone_path == tmp_path / "0_Transformer"
    assert folder.onnx is None
    assert (folder.n_layers, folder.n_hidden) == (2, 16)
    assert folder.digest == ModelFolder(tmp_path / "0_Transformer").digest
