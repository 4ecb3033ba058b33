"""What a file is, by its first bytes."""

import pytest

from skembed.base._file_kinds import kind_of_file


@pytest.mark.parametrize(
    ("start", "kind"),
    [
        (b"<?xml version='1.0'?>", "an XML document"),
        (b"\xef\xbb\xbf\r\n <HTML>", "an HTML page"),
        (b"%PDF-1.7", "a PDF document"),
        (b"PK\x03\x04....", "a zip archive"),
        (b"version https://git-lfs.github.com/spec/v1", "a pointer of Git LFS"),
        (b"\x89PNG\r\n", None),
        (b"", None),
    ],
)
def test_known_kinds(start, kind):
    found = kind_of_file(start)
    assert found is None if kind is None else found.startswith(kind)


def test_further_kinds_take_precedence():
    assert kind_of_file(b"RIFFxxxx", {b"riff": "a sound"}) == "a sound"
    assert kind_of_file(b"PK\x03\x04", {b"pk": "an archive of ours"}) == "an archive of ours"
