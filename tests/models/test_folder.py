"""A model's folder, read without torch."""

import json
import os
import shutil

import onnx
import pytest
from safetensors.torch import load_file, save_file
from tiny import add_modules, save_tiny_bert

from skembed.base._digest import digest, file_sha256
from skembed.exceptions import ModelFormatError
from skembed.models._folder import ModelFolder, read_json


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


@pytest.mark.parametrize(
    "content", [b"{broken", b"\xff\xfe", b"[" * 100_000, b'{"a": 1' + b"0" * 5000 + b"}", b""]
)
def test_what_is_not_json_is_named(tmp_path, content):
    """The file, and what is wrong with it."""
    (tmp_path / "config.json").write_bytes(content)
    with pytest.raises(ModelFormatError, match=r"config.json is not JSON: "):
        read_json(tmp_path / "config.json")
    assert read_json(tmp_path / "other.json", 3) == 3


@pytest.mark.parametrize("content", ["[]", "3", "null", '"text"'])
def test_json_of_another_shape_is_named(tmp_path, content):
    """The file, and what it must hold."""
    (tmp_path / "config.json").write_text(content)
    with pytest.raises(ModelFormatError, match=r"config.json must contain an object. Got "):
        read_json(tmp_path / "config.json")


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


def save_graph(path, location):
    """Write a graph whose one weight lies in another file, or in a sparse, nested or local one."""
    weights = onnx.TensorProto(
        name="w", data_type=onnx.TensorProto.FLOAT, dims=[2], data_location=1
    )
    weights.external_data.add(key="location", value=location)
    node = onnx.helper.make_node("Constant", [], ["w"], value=weights)
    graph = onnx.helper.make_graph([], "g", [], [], [weights] if path.stem == "model" else [])
    inner = onnx.helper.make_graph([node], "inner", [], [])
    if path.stem == "nested":
        graph.node.append(onnx.helper.make_node("If", ["x"], [], then_branch=inner))
    model = onnx.helper.make_model(graph)
    if path.stem == "function":
        opsets = [onnx.helper.make_opsetid("", 17)]
        model.functions.append(
            onnx.helper.make_function("own", "f", [], ["w"], [node], opset_imports=opsets)
        )
    path.write_bytes(model.SerializeToString())


@pytest.mark.parametrize("kind", ["model", "nested", "function"])
@pytest.mark.parametrize("data", ["model.onnx.data", "sub/model.onnx_data", "w"])
def test_the_digest_follows_the_files_that_a_graph_names(tmp_path, kind, data):
    """Wherever in the folder they lie, and wherever in the graph they are named; no others."""
    graph = tmp_path / f"{kind}.onnx"
    save_graph(graph, data)
    with pytest.raises(ModelFormatError, match="which does not exist"):
        _ = ModelFolder(graph).digest
    (tmp_path / data).parent.mkdir(exist_ok=True)
    seen = set()
    for content in (b"weights", b"others.."):
        (tmp_path / data).write_bytes(content)
        seen.add(ModelFolder(graph).digest)
    assert len(seen) == 2
    (tmp_path / f"{kind}.onnx.notes").write_bytes(b"x")
    assert ModelFolder(graph).digest in seen


@pytest.mark.parametrize(
    "location", ["../w", "/etc/hostname", "sub/../../w", "*/_ORT_MEM_ADDR_/*", "..\\w", "C:w", ""]
)
def test_a_graph_names_no_file_outside_of_its_folder(tmp_path, location):
    """Nor memory of the process, nor the folder itself."""
    (tmp_path / "w").write_bytes(b"weights")
    (tmp_path / "folder").mkdir()
    save_graph(tmp_path / "folder" / "model.onnx", location)
    with pytest.raises(ModelFormatError, match=r"folder|not a regular file"):
        _ = ModelFolder(tmp_path / "folder").digest


def test_what_is_no_graph_has_no_digest(tmp_path):
    """The file is named."""
    (tmp_path / "model.onnx").write_bytes(b"graph")
    with pytest.raises(ModelFormatError, match=r"model.onnx is not an ONNX graph: "):
        _ = ModelFolder(tmp_path).digest


# -- shards, links and other files ----------------------------------------------------------------


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


@pytest.mark.parametrize("file", ["model.safetensors", "config.json", "modules.json"])
def test_links_out_of_the_folder_are_refused(folder, file):
    """A folder that was unpacked could name any file of the machine."""
    add_modules(folder, normalize=True)
    (folder / file).rename(folder.parent / file)
    (folder / file).symlink_to(folder.parent / file)
    with pytest.raises(ModelFormatError, match=rf"{file} is a link to .* outside the model"):
        _ = ModelFolder(folder).digest


def test_links_within_the_folder_are_followed(folder):
    """As some tools lay files."""
    (folder / "data").mkdir()
    before = ModelFolder(folder).digest
    (folder / "model.safetensors").rename(folder / "data" / "w")
    (folder / "model.safetensors").symlink_to("data/w")
    assert ModelFolder(folder).digest == before


@pytest.mark.parametrize("shared", [False, True])
def test_links_of_the_hubs_cache_are_followed(folder, tmp_path, shared):
    """From a snapshot, and from a folder in it, to the blobs: the repository's or the cache's."""
    repository = tmp_path / "models--a--b"
    blobs = tmp_path / "blobs" / "00" if shared else repository / "blobs"
    blobs.mkdir(parents=True)
    snapshot = shutil.copytree(folder, repository / "snapshots" / "0" / "part")
    before = ModelFolder(folder).digest
    for number, file in enumerate([f for f in snapshot.iterdir() if f.is_file()]):
        file.rename(blobs / str(number))
        file.symlink_to(blobs / str(number))
    assert ModelFolder(snapshot).digest == before


@pytest.mark.parametrize("file", ["model.safetensors", "config.json", "model.onnx"])
@pytest.mark.parametrize("kind", ["pipe", "folder", "loop"])
def test_only_regular_files_are_read(folder, file, kind):
    """A pipe would be waited for, for ever."""
    (folder / file).unlink(missing_ok=True)
    if file == "model.onnx":
        (folder / "model.safetensors").unlink()
    if kind == "pipe":
        os.mkfifo(folder / file)
    elif kind == "folder":
        (folder / file).mkdir()
    else:
        (folder / file).symlink_to(file)
    with pytest.raises(ModelFormatError, match=file):
        _ = ModelFolder(folder).digest


@pytest.mark.parametrize("path", ["..", "/tmp", "../model", 3, None, "a\0"])
def test_modules_outside_of_the_folder_are_refused(folder, path):
    """The backbone, and what follows it."""
    for number in (0, 1):
        add_modules(folder)
        modules = json.loads((folder / "modules.json").read_text())
        modules[number]["path"] = path
        (folder / "modules.json").write_text(json.dumps(modules))
        with pytest.raises(ModelFormatError, match=r"leaves the model's folder|list of modules"):
            _ = ModelFolder(folder).digest, ModelFolder(folder).modules


# -- keys of config.json --------------------------------------------------------------------------


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
