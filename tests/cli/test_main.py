"""The command line: its exit status and its messages."""

import subprocess
import sys

import pytest

from skembed import __version__
from skembed.audio import _convert
from skembed.cli._main import main


def test_the_version(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["--version"])
    assert ended.value.code == 0
    assert capsys.readouterr().out == f"skembed {__version__}\n"


@pytest.mark.parametrize(
    "arguments", [[], ["convert"], ["convert", "other"], ["convert", "panns", "file"], ["other"]]
)
def test_an_incomplete_command_shows_the_usage(arguments, capsys):
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.startswith("usage: python -m skembed")


def test_convert_panns_prints_the_digest(monkeypatch, capsys):
    asked = []

    def convert(*given):
        asked.append(given)
        return "0" * 64

    monkeypatch.setattr(_convert, "convert_panns", convert)
    assert main(["convert", "panns", "in.pth", "out"]) == 0
    assert asked == [("in.pth", "out")]
    assert capsys.readouterr().out == f"out/model.safetensors, SHA-256 {'0' * 64}\n"


@pytest.mark.parametrize("error", [OSError, ValueError, ImportError])
def test_what_cannot_be_done_is_one_line(monkeypatch, capsys, error):
    def convert(*_):
        raise error("the reason")

    monkeypatch.setattr(_convert, "convert_panns", convert)
    assert main(["convert", "panns", "in.pth", "out"]) == 2
    assert capsys.readouterr() == ("", "python -m skembed: the reason\n")


def test_an_error_of_skembed_itself_is_not_hidden(monkeypatch):
    def convert(*_):
        raise ZeroDivisionError

    monkeypatch.setattr(_convert, "convert_panns", convert)
    with pytest.raises(ZeroDivisionError):
        main(["convert", "panns", "in.pth", "out"])


def test_the_command_fails_in_one_line(tmp_path):
    command = [sys.executable, "-m", "skembed", "convert", "panns", "nowhere.pth", "folder"]
    result = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert result.returncode == 2
    assert result.stderr == "python -m skembed: There is no file nowhere.pth.\n"
    assert not list(tmp_path.iterdir())
