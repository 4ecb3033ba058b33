"""Digests of files and settings; files that changed since fit."""

import os

import numpy as np
import pytest

from skembed.base._digest import changed_since_fit, check_unchanged, digest, file_sha256, plain
from skembed.exceptions import NetworkChangedError

ABC = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"  # FIPS 180-2, appendix B.1


def test_sha256_of_a_file(tmp_path):
    (tmp_path / "file").write_bytes(b"abc")
    assert file_sha256(tmp_path / "file") == ABC


def test_a_file_of_the_same_size_and_time_is_read_again(tmp_path):
    """A copy that keeps its times, as `cp -p` makes, has another inode."""
    path = tmp_path / "file"
    path.write_bytes(b"abc")
    before, status = file_sha256(path), path.stat()
    (tmp_path / "other").write_bytes(b"xyz")
    os.utime(tmp_path / "other", ns=(status.st_atime_ns, status.st_mtime_ns))
    (tmp_path / "other").replace(path)
    assert file_sha256(path) != before


def test_digest_does_not_depend_on_the_order_of_keys():
    assert digest({"a": [1, 2], "b": None}) == digest({"b": None, "a": [1, 2]})
    assert digest({"a": [1, 2]}) != digest({"a": [2, 1]})
    assert len(digest("")) == 64


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (np.int64(3), 3),
        (np.array([1.5, 2.5]), [1.5, 2.5]),
        ((np.int8(1), [np.str_("a")]), (1, ["a"])),
        ({"a": np.arange(2)}, {"a": [0, 1]}),
        (range(2), [0, 1]),
        (None, None),
    ],
)
def test_plain(value, expected):
    found = plain(value)
    assert found == expected
    assert type(found) is type(expected)


def test_plain_leaves_other_objects_alone():
    """A subclass of dict may mean more than its items."""

    class Own(dict):
        pass

    own = Own(a=np.int64(1))
    assert plain(own) is own


def test_check_unchanged(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"abc")
    check_unchanged(path, ABC)
    path.write_bytes(b"abcd")
    with pytest.raises(NetworkChangedError) as raised:
        check_unchanged(path, ABC, "tokenizer")
    assert str(raised.value) == (
        f"{path} holds another tokenizer now than when the estimator was fitted. Fit the estimator "
        "again, or restore the old content."
    )
    path.unlink()
    with pytest.raises(FileNotFoundError):
        check_unchanged(path, ABC)


def test_the_message_agrees_in_number():
    assert "holds other vectors now" in str(changed_since_fit("v.txt", "vectors"))
    assert "holds another network now" in str(changed_since_fit("folder"))


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
