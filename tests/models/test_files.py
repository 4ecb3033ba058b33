"""Files of a model's folder: inside it, regular, JSON of the right shape."""

import json
import os
import shutil

import pytest
from tiny import add_modules

from skembed.exceptions import ModelFormatError
from skembed.models._files import checked_settings, file_in, inside, read_json
from skembed.models._folder import ModelFolder


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


# -- one by one -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["a", "a/b", "a/./b", "", "."])
def test_paths_inside(tmp_path, name):
    """They need not exist."""
    assert inside(tmp_path, name) == tmp_path / name


@pytest.mark.parametrize("name", ["..", "a/../..", "/a", "\\a", "C:a", "a:b", "a\0", 3, None])
def test_paths_that_leave_the_folder_on_any_system(tmp_path, name):
    """A folder that is written on one system is read on others."""
    with pytest.raises(ModelFormatError, match="leaves the model's folder"):
        inside(tmp_path, name)


def test_a_loop_of_links_is_named(tmp_path):
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    with pytest.raises(ModelFormatError, match=r"a cannot be (followed|read): "):
        file_in(tmp_path, "a")


def test_a_file_or_none(tmp_path):
    (tmp_path / "file").write_text("")
    (tmp_path / "folder").mkdir()
    assert file_in(tmp_path, "file") == tmp_path / "file"
    assert file_in(tmp_path, "other") is None
    assert file_in(tmp_path, "file/other") is None
    with pytest.raises(ModelFormatError, match="folder is not a regular file"):
        file_in(tmp_path, "folder")
    with pytest.raises(ModelFormatError, match="cannot be read: "):
        file_in(tmp_path, "a" * 5000)


@pytest.mark.parametrize(
    ("kind", "content", "expected"),
    [(list, "[1]", [1]), (dict, '{"a": null}', {"a": None}), (object, "3", 3)],
)
def test_the_kind_of_the_content(tmp_path, kind, content, expected):
    path = tmp_path / "file.json"
    path.write_text(content)
    assert read_json(path, kind=kind) == expected
    path.write_text('"text"')
    if kind is not object:
        wanted = "a list" if kind is list else "an object"
        with pytest.raises(ModelFormatError, match=f"must contain {wanted}. Got str instead"):
            read_json(path, kind=kind)


def test_a_file_of_absurd_size_is_not_read(tmp_path):
    with open(tmp_path / "big.json", "wb") as file:
        file.truncate(256 * 2**20 + 1)  # takes no room on the disk
    with pytest.raises(ModelFormatError, match=r"big.json is larger than 256 MiB"):
        read_json(tmp_path / "big.json")


@pytest.mark.parametrize(
    "error",
    [TypeError("t"), ValueError("v"), KeyError("k"), OverflowError("o"), AttributeError("a")],
)
def test_errors_of_settings_name_their_file(error):
    with pytest.raises(ModelFormatError, match=r"config.json has invalid settings: \w+Error\('"):
        with checked_settings("config.json"):
            raise error


@pytest.mark.parametrize("error", [ModelFormatError("named already"), OSError("a disk's")])
def test_other_errors_pass_through(error):
    with pytest.raises(type(error)) as raised:
        with checked_settings("config.json"):
            raise error
    assert raised.value is error
