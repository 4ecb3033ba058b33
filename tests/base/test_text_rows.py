"""Why a row is not a text."""

from pathlib import Path

import numpy as np
import pytest

from skembed.base._text_rows import LONE_SURROGATE, has_lone_surrogate, text_problem


@pytest.mark.parametrize(
    ("text", "expected"),
    [("", False), ("naïve", False), ("\U0001f600", False), ("\ud83d", True), ("a\ude00b", True)],
)
def test_has_lone_surrogate(text, expected):
    assert has_lone_surrogate(text) == expected
    assert text_problem(text) == (LONE_SURROGATE if expected else None)


def test_the_remedy_for_surrogates_works():
    """Two halves of a pair become one character; a lone one becomes the replacement character."""
    code = LONE_SURROGATE.partition("replace it with ")[2]
    assert eval(code, {"row": "\ud83d\ude00"}) == "\U0001f600"
    assert eval(code, {"row": "a\ud83d"}) == "a\ufffd"


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        (None, "None"),
        (float("nan"), "float nan"),
        (3, "int"),
        (bytearray(b"a"), "bytearray; decode it with row.decode()"),
        (memoryview(b"a"), "memoryview; decode it with bytes(row).decode()"),
        (["a", "b"], 'list of words; join them with " ".join(row)'),
        (np.array(["a"]), 'ndarray of words; join them with " ".join(row)'),
        (["a", 1], "list"),
    ],
)
def test_rows_that_are_not_text(row, expected):
    assert text_problem(row) == expected


def test_a_path_is_not_a_text():
    assert text_problem(Path("a.txt")).endswith("; read the file with row.read_text()")
