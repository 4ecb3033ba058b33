"""README's example prints what README says; its commands are there."""

import contextlib
import io
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


def blocks(language):
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```$", text, flags=re.MULTILINE | re.DOTALL)


def test_the_example_prints_what_is_said():
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        exec(compile(blocks("python")[0], "README.md", "exec"), {})
    assert out.getvalue() == blocks("text")[0]


def test_there_are_two_commands_of_one_line():
    commands = blocks("bash")
    assert [command.count("\n") for command in commands] == [1, 1]
    assert "examples/quickstart.py" in commands[0]
    assert commands[1].rstrip().endswith("-m pytest")


@pytest.mark.slow
def test_the_quickstart_prints_the_table_that_is_said():
    """All but the seconds, which differ."""
    done = subprocess.run(
        [sys.executable, ROOT / "examples" / "quickstart.py"],
        capture_output=True,
        text=True,
        check=True,
    )

    def without_seconds(text):
        return re.sub(r"\d+\.\d s", "… s", text)

    assert without_seconds(done.stdout) == without_seconds(blocks("text")[1])
