"""Files that are neither images nor sounds are named by their first bytes."""

import pytest

from skembed.base._file_kinds import kind_of_file


@pytest.mark.parametrize(
    ("start", "kind"),
    [
        (b"\xef\xbb\xbf\n <HTML>", "an HTML page"),
        (b"%PDF-1.7", "a PDF document"),
        (b"PK\x03\x04", "a zip archive"),
        (b"text", None),
        (b"", None),
    ],
)
def test_kinds(start, kind):
    assert kind_of_file(start) == kind


def test_further_kinds_take_precedence():
    assert kind_of_file(b"<?xml", {b"<?xml": "a drawing"}) == "a drawing"
    assert kind_of_file(b"%PDF", {b"<?xml": "a drawing"}) == "a PDF document"
