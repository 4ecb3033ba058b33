"""Where networks are kept: the cache folder, else a temporary one, and who else may write there."""

import os
import shutil
from types import SimpleNamespace

import pytest

import skembed
from skembed.base import _folders
from skembed.exceptions import CacheWarning, RuntimeFallbackWarning
from skembed.models import _storage


@pytest.fixture(autouse=True)
def _as_a_new_process(monkeypatch):
    monkeypatch.setattr(_storage, "_fallbacks", {})
    _storage._problem.cache_clear()
    _storage._warn.cache_clear()
    _folders.warn_if_others_may_write.cache_clear()


@pytest.fixture
def folder(tmp_path):
    """The cache folder of the test."""
    with skembed.config_context(cache_folder=tmp_path / "cache"):
        yield tmp_path / "cache"


@pytest.fixture
def disks(monkeypatch):
    """Free bytes by the beginning of a path."""
    free = {}

    def usage(path):
        sizes = [size for start, size in free.items() if str(path).startswith(str(start))]
        return SimpleNamespace(free=sizes[0] if sizes else 2**40)

    monkeypatch.setattr(shutil, "disk_usage", usage)
    return free


def test_networks_are_kept_under_the_cache_folder(folder):
    assert _storage.kept_folder("name", "file") == folder / "networks" / "name"
    assert os.stat(folder).st_mode & 0o777 == 0o700


def test_a_full_disk_is_named_and_a_temporary_folder_used(folder, disks):
    """Once a process; what was put there is found again, though the disk has room by then."""
    disks[folder] = 1000
    with pytest.warns(RuntimeFallbackWarning) as caught:
        kept = _storage.kept_folder("name", "file")
    assert caught[0].filename == __file__
    text = str(caught[0].message)
    for part in (str(folder), "No space left on device", "0 MiB of 32", "set_config(cache_folder="):
        assert part in text
    assert not kept.is_relative_to(folder)
    assert _storage.kept_folder("name", "file") == kept
    kept.mkdir(parents=True)
    (kept / "file").write_text("")
    disks.clear()
    assert _storage.kept_folder("name", "file") == kept
    assert _storage.kept_folder("other", "file") == folder / "networks" / "other"


def test_a_path_that_is_too_long_is_named_and_a_temporary_folder_used(tmp_path):
    with (
        skembed.config_context(cache_folder=tmp_path / ("a" * 300)),
        pytest.warns(RuntimeFallbackWarning, match="cannot be written .*too long"),
    ):
        assert not _storage.kept_folder("name", "file").is_relative_to(tmp_path)


def test_a_network_that_is_there_is_used_whatever_the_disk_has(folder, disks):
    (folder / "networks" / "name").mkdir(parents=True)
    (folder / "networks" / "name" / "file").write_text("")
    disks[folder] = 0
    assert _storage.kept_folder("name", "file") == folder / "networks" / "name"


def test_large_weights_need_more_room(folder, disks, tmp_path, monkeypatch):
    (tmp_path / "model.safetensors").write_bytes(bytes(1000))
    monkeypatch.setattr(_storage, "_MIN_FREE", 100)
    disks[folder] = 2100
    assert _storage.kept_folder("name", "file").is_relative_to(folder)
    with pytest.warns(RuntimeFallbackWarning, match="No space left"):
        assert not _storage.kept_folder("name", "file", tmp_path).is_relative_to(folder)


def test_weights_of_a_graph_need_room_too(folder, disks, tmp_path, monkeypatch):
    """Those in the graph, and those in a file beside it."""
    for name in ("model.onnx", "model.onnx_data"):
        (tmp_path / name).write_bytes(bytes(500))
    (tmp_path / "other.onnx").write_bytes(bytes(5000))
    monkeypatch.setattr(_storage, "_MIN_FREE", 100)
    graph = tmp_path / "model.onnx"
    disks[folder] = 2250
    assert _storage.kept_folder("name", "file", graph).is_relative_to(folder)
    disks[folder] = 2150
    with pytest.warns(RuntimeFallbackWarning, match="No space left"):
        assert not _storage.kept_folder("name", "file", graph).is_relative_to(folder)


@pytest.mark.filterwarnings("ignore::skembed.exceptions.RuntimeFallbackWarning")
def test_where_no_disk_has_room_the_error_says_what_to_do(folder, disks):
    disks["/"] = disks[os.path.splitdrive(str(folder))[0]] = 0
    with pytest.raises(OSError, match=r"cannot be stored in .* nor in .*Free some space") as raised:
        _storage.kept_folder("name", "file")
    assert str(folder) in str(raised.value)


def test_a_write_that_fails_is_named(folder, monkeypatch):
    """As under a quota, where the disk has room for others."""

    def fail(*_, **__):
        raise OSError(122, "Disk quota exceeded")

    monkeypatch.setattr(_storage.tempfile, "TemporaryFile", fail)
    with pytest.warns(RuntimeFallbackWarning, match="Disk quota exceeded"):
        assert not _storage.kept_folder("name", "file").is_relative_to(folder)


@pytest.mark.skipif(os.name != "posix", reason="only POSIX systems tell who may write to a folder")
def test_a_folder_that_others_may_write_to_is_warned_of(folder):
    networks = folder / "networks"
    networks.mkdir(parents=True)
    networks.chmod(0o777)
    with pytest.warns(CacheWarning, match=r"networks may be written by everybody.*chmod go-w"):
        _storage.kept_folder("name", "file")
    _storage.kept_folder("name", "file")  # once a process


def test_a_network_is_written_once_and_whole(folder):
    """A failed attempt leaves nothing behind."""

    def fail(aside):
        (aside / "part").touch()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        _storage.written_once("name", fail, "writing")
    assert [path.name for path in (folder / "networks").iterdir()] == ["name.lock"]
    written = _storage.written_once(
        "name", lambda aside: (aside / "config.json").touch(), "writing"
    )
    assert written == folder / "networks" / "name"
    assert _storage.written_once("name", fail, "writing") == written
