"""A model's folder, read without torch."""

import json
import os
import shutil

import pytest
from safetensors.torch import load_file, save_file
from tiny import change_json, save_tiny_bert

from skembed.exceptions import ModelFormatError
from skembed.models._folder import ModelFolder

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


def test_a_folder_may_have_the_name_of_a_graph(folder):
    """``export("bert.onnx")`` makes such a folder."""
    named = folder.rename(folder.with_name("model.onnx"))
    assert ModelFolder(named).path == named
    assert ModelFolder(named).onnx is None


def test_a_manifest_is_skembeds_or_nobodys(tmp_path):
    """Other programs write files of that name too."""
    (tmp_path / "config.json").write_text("{}")
    assert ModelFolder(tmp_path).manifest is None
    (tmp_path / "manifest.json").write_text('["files"]')
    assert ModelFolder(tmp_path).manifest is None
    (tmp_path / "manifest.json").write_text('{"skembed": "1.0"}')
    assert ModelFolder(tmp_path).manifest == {"skembed": "1.0"}


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


# -- shards --------------------------------------------------------------------------------------


def make_shards(folder, *names):
    """Cut the weights into two files that an index names."""
    weights = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    parts = [dict(list(weights.items())[i::2]) for i in range(2)]
    weight_map = {}
    for name, part in zip(names, parts, strict=True):
        (folder / name).parent.mkdir(exist_ok=True)
        save_file(part, folder / name)
        weight_map |= dict.fromkeys(part, name)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))


@pytest.mark.parametrize("names", [("model-1.safetensors", "model-2.safetensors"), ("a", "b/c")])
def test_shards_are_those_that_the_index_names(folder, names):
    """All are part of the digest, others are not; they may lie in folders within the folder."""
    make_shards(folder, *names)
    before = ModelFolder(folder).digest
    assert ModelFolder(folder).weights == [folder / name for name in names]
    shutil.copy(folder / names[0], folder / "model-9.safetensors")
    assert ModelFolder(folder).digest == before
    shutil.copy(folder / names[0], folder / names[1])
    assert ModelFolder(folder).digest != before


@pytest.mark.parametrize("name", ["../other.safetensors", "{}/other.safetensors", "..\\other"])
def test_shards_outside_of_the_folder_are_refused(folder, name):
    """Another folder's weights are not in this folder's digest."""
    shutil.copy(folder / "model.safetensors", folder.parent / "other.safetensors")
    make_shards(folder, "a.safetensors", "b.safetensors")
    index = json.dumps({"weight_map": {"w": name.format(folder.parent)}})
    (folder / "model.safetensors.index.json").write_text(index)
    with pytest.raises(ModelFormatError, match="leaves the model's folder"):
        _ = ModelFolder(folder).digest


@pytest.mark.parametrize("index", [{"weight_map": ["a"]}, {"weight_map": {"w": 1}}, {}])
def test_an_index_of_another_shape_is_named(folder, index):
    """Where it is read: there is no model.safetensors."""
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    assert ModelFolder(folder).weights == [folder / "model.safetensors"]
    (folder / "model.safetensors").unlink()
    with pytest.raises(ModelFormatError, match="weight_map must give the file of each weight"):
        _ = ModelFolder(folder).weights


def test_the_backbone_may_have_a_folder_of_its_own(tmp_path):
    """As Sentence Transformers wrote it first."""
    save_tiny_bert(tmp_path / "0_Transformer")
    package = "sentence_transformers.models"
    modules = [
        {"path": "0_Transformer", "type": f"{package}.Transformer"},
        {"path": "1_Pooling", "type": f"{package}.Pooling"},
    ]
    (tmp_path / "modules.json").write_text(json.dumps(modules))
    folder = ModelFolder(tmp_path)
    assert folder.backbone_path == tmp_path / "0_Transformer"
    assert folder.onnx is None
    assert (folder.n_layers, folder.n_hidden) == (2, 16)
    assert folder.digest == ModelFolder(tmp_path / "0_Transformer").digest


# -- ONNX graphs ----------------------------------------------------------------------------------


def test_a_graph_may_be_in_a_folder_of_the_folder(folder):
    (folder / "onnx").mkdir()
    graph = folder / "onnx" / "model.onnx"
    graph.write_bytes(b"graph")
    assert ModelFolder(folder).onnx is None  # there are weights
    (folder / "model.safetensors").unlink()
    assert ModelFolder(folder).onnx == graph
    alone = ModelFolder(graph)
    assert (alone.path, alone.backbone_path) == (folder, folder)
    assert alone.config == ModelFolder(folder).config != {}
    (folder / "model.onnx").write_bytes(b"graph")
    assert ModelFolder(folder).onnx == folder / "model.onnx"


def test_settings_beside_a_graph_come_before_those_above(folder):
    other = folder / "fp16" / "model.onnx"
    other.parent.mkdir()
    other.write_bytes(b"graph")
    (folder / "config.json").rename(other.parent / "config.json")
    found = ModelFolder(other)
    assert (found.path, found.backbone_path) == (other.parent, other.parent)
    (folder / "modules.json").write_text("[]")
    (folder / "tokenizer.json").unlink()
    (folder / "preprocessor_config.json").unlink(missing_ok=True)
    found = ModelFolder(other)
    assert (found.path, found.backbone_path) == (folder, other.parent)
    assert found.config


def test_a_manifest_is_about_the_graph_beside_it(folder):
    (folder / "manifest.json").write_text('{"skembed": "0"}')
    (folder / "onnx").mkdir()
    for path in (folder / "model.onnx", folder / "onnx" / "model.onnx"):
        path.write_bytes(b"graph")
    assert ModelFolder(folder / "model.onnx").manifest is not None
    assert ModelFolder(folder / "onnx" / "model.onnx").manifest is None
    shutil.copy(folder / "manifest.json", folder / "onnx")
    (folder / "modules.json").write_text("[]")
    assert ModelFolder(folder / "onnx" / "model.onnx").path == folder / "onnx"
