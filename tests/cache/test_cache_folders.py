"""Cache folders that are unsafe: others may write to them, or their locks are unreliable."""

import contextlib
import os

import pytest

from cache.on_disk import KEYS, VALUES, reopen
from skembed.base import _folders
from skembed.exceptions import CacheWarning


@pytest.mark.skipif(os.name != "posix", reason="only POSIX systems tell who may write to a folder")
@pytest.mark.parametrize("inner", [False, True])
def test_a_folder_that_others_may_write_to_is_warned_of(full, inner):
    folder = os.path.join(full.folder, "vectors")
    os.chmod(full.folder, 0o755)
    os.chmod(folder if inner else full.folder, 0o777)
    _folders.warn_if_others_may_write.cache_clear()
    with pytest.warns(CacheWarning, match=r"may be written by everybody.*chmod go-w") as caught:
        assert full.read("f", KEYS) == VALUES
    assert [item.filename for item in caught] == [__file__]
    reopen()
    full.read("f", KEYS)  # once a process


@pytest.mark.skipif(os.name != "posix", reason="only POSIX systems tell who may write to a folder")
@pytest.mark.parametrize(
    ("outer", "inner", "group", "owner", "who"),
    [
        (0o700, 0o777, 1234, 1234, None),  # others cannot enter
        (0o1777, 0o700, 1000, 1000, None),  # /tmp
        (0o1777, 0o700, 1000, 1234, "its owner, the user 1234"),
        (0o755, 0o775, 1000, 1000, None),  # the user's own group
        (0o755, 0o775, 1234, 1000, "the group 1234"),
        (0o755, 0o755, 1000, 0, None),  # root may anyway
        (0o755, 0o755, 1000, 1234, "its owner, the user 1234"),
    ],
)
def test_who_else_may_write(tmp_path, monkeypatch, outer, inner, group, owner, who):
    folder = tmp_path / "outer" / "inner"
    modes = {str(folder): (inner, owner, group), str(folder.parent): (outer, 0, 1000)}

    class Stat:
        def __init__(self, path):
            self.st_mode, self.st_uid, self.st_gid = modes[path]

    monkeypatch.setattr(_folders.os, "stat", Stat)
    monkeypatch.setattr(_folders.os, "geteuid", lambda: 1000)
    expected = pytest.warns(CacheWarning, match=who) if who else contextlib.nullcontext()
    with expected:
        _folders.warn_if_others_may_write(str(folder), CacheWarning)


def test_a_network_file_system_is_warned_of(cache, tmp_path, monkeypatch):
    mounts = tmp_path / "mounts"
    mounts.write_text(
        f"/dev/sda / ext4 rw 0 0\nserver:/x {os.path.realpath(tmp_path)} nfs4 rw 0 0\n"
    )
    real_open = open
    monkeypatch.setattr(
        "builtins.open",
        lambda path, *a, **k: real_open(mounts if path == "/proc/mounts" else path, *a, **k),
    )
    with pytest.warns(
        CacheWarning, match=r"network file system.*Use a local folder, .*EmbeddingCache"
    ):
        cache.read("f", KEYS)
