"""Files of a model's folder: inside it, regular, JSON of the right shape."""

import json
import os
import shutil

import pytest
from tiny import add_modules

from skembed.exceptions import ModelFormatError
from skembed.models._folder import ModelFolder, read_json


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
