"""A function in a process of its own: its answer, its errors, and none of its noise."""

import os
import sys
import warnings

import pytest

from skembed.exceptions import ModelFormatError
from skembed.runtime._child import call_in_child


def noisy(value):
    sys.stdout.write("to stdout")
    os.write(1, b"to the file of stdout")
    sys.stderr.write("to stderr")
    warnings.warn("a warning", FutureWarning, stacklevel=1)
    warnings.simplefilter("error")
    return os.getpid(), value


class Odd(Exception):
    def __init__(self, one, two):
        super().__init__(one)


def fail(kind):
    if kind == "exit":
        os._exit(3)
    raise ModelFormatError("of the model") if kind == "known" else Odd("odd", 2)


def test_the_answer_comes_back_without_noise(capfd):
    filters = list(warnings.filters)
    process, value = call_in_child(noisy, {"a": (1, "é")})
    assert value == {"a": (1, "é")}
    assert process != os.getpid()
    assert capfd.readouterr() == ("", "")
    assert list(warnings.filters) == filters


@pytest.mark.parametrize(
    ("kind", "error", "words"),
    [
        ("known", ModelFormatError, "of the model"),
        ("odd", RuntimeError, "Odd: odd"),
        ("exit", RuntimeError, "ended with status 3 and without a result"),
    ],
)
def test_errors_come_back(kind, error, words):
    with pytest.raises(error, match=words):
        call_in_child(fail, kind)


def test_files_of_the_working_folder_are_not_imported(tmp_path, monkeypatch):
    """A module there that has the name of one of the standard library's is nobody's code."""
    for name in ("pickle", "contextlib", "subprocess"):
        (tmp_path / f"{name}.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry])
    assert call_in_child(abs, -3) == 3
    assert not (tmp_path / "ran").exists()


def test_python_inside_another_program_has_no_child(monkeypatch):
    monkeypatch.setattr(sys, "executable", "")
    assert call_in_child(os.getpid) == os.getpid()
