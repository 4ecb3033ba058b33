"""The command line: status, output and errors. `test_convert` runs a whole conversion."""

import subprocess
import sys

import pytest

from skembed import __version__
from skembed.cli._main import main


def test_version(capsys):
    with pytest.raises(SystemExit) as raised:
        main(["--version"])
    assert raised.value.code == 0
    assert capsys.readouterr().out == f"skembed {__version__}\n"


@pytest.mark.parametrize("arguments", [[], ["convert"], ["convert", "panns", "file"], ["other"]])
def test_incomplete_commands_print_their_usage(arguments, capsys):
    with pytest.raises(SystemExit) as raised:
        main(arguments)
    assert raised.value.code == 2
    assert "usage: python -m skembed" in capsys.readouterr().err


def test_the_command_fails_in_one_line(tmp_path):
    command = [sys.executable, "-m", "skembed", "convert", "panns", "nowhere.pth", "folder"]
    result = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert result.returncode == 2
    assert result.stderr == "python -m skembed: There is no file nowhere.pth.\n"
    assert not list(tmp_path.iterdir())
