"""Folders written aside and renamed.

The warnings about unsafe folders are tested in tests/cache/test_cache_folders.py.
"""

import os
import stat

import pytest

from skembed.base._folders import check_empty, written_aside, written_whole


def test_a_folder_appears_when_all_is_written(tmp_path):
    """Its missing parents are created."""
    folder = tmp_path / "a" / "b"
    with written_aside(folder) as aside:
        (aside / "file").write_text("content")
        assert not folder.exists()
        assert aside.parent == folder.parent
    assert [path.name for path in folder.parent.iterdir()] == ["b"]
    assert (folder / "file").read_text() == "content"


def test_an_empty_folder_is_replaced(tmp_path):
    folder = tmp_path / "a"
    folder.mkdir()
    with written_aside(folder) as aside:
        (aside / "file").touch()
    assert (folder / "file").exists()


def test_a_failure_leaves_nothing_behind(tmp_path):
    """A KeyboardInterrupt neither."""

    def interrupted():
        with written_aside(tmp_path / "a") as aside:
            (aside / "file").touch()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", ["full", "file"])
def test_what_is_there_is_never_replaced(tmp_path, kind):
    folder = tmp_path / "a"
    if kind == "full":
        folder.mkdir()
        (folder / "file").touch()
    else:
        folder.touch()
    with pytest.raises(FileExistsError, match="a is not an empty folder"), written_aside(folder):
        pass
    with pytest.raises(FileExistsError, match="a is not an empty folder"):
        check_empty(folder)
    check_empty(tmp_path / "b")


def test_two_writers_do_not_meet(tmp_path):
    """Threads of one process, too, write under different names."""
    with written_aside(tmp_path / "a") as one, written_aside(tmp_path / "a") as other:
        assert one != other


@pytest.mark.skipif(os.name != "posix", reason="only POSIX systems have modes")
@pytest.mark.parametrize(("mode", "expected"), [(0o777, 0o755), (0o700, 0o700)])
def test_mode(tmp_path, mode, expected):
    """The umask is honored."""
    before = os.umask(0o022)
    try:
        with written_aside(tmp_path / "a", mode=mode):
            pass
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == expected


def test_a_file_appears_when_all_is_written(tmp_path):
    """Until then, an existing one keeps its content. The permissions are those of any new file."""
    file, other = tmp_path / "file", tmp_path / "other"
    file.write_bytes(b"before")
    other.touch()
    with written_whole(file) as aside:
        aside.write(b"after")
        assert file.read_bytes() == b"before"
    assert file.read_bytes() == b"after"
    assert sorted(tmp_path.iterdir()) == [file, other]
    assert file.stat().st_mode == other.stat().st_mode


def test_a_file_that_fails_leaves_nothing_behind(tmp_path):
    def interrupted():
        with written_whole(tmp_path / "file") as aside:
            aside.write(b"half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert list(tmp_path.iterdir()) == []
