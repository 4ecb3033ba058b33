"""Progress bars, and lines about steps."""

import logging
import re

import pytest

from skembed.base._progress import is_speaking, no_bar, progress_bar, speaking, step


def test_a_bar_counts_to_its_total(capsys):
    with progress_bar(5, "embedding", "row") as bar:
        bar.update(2)
        bar.update(3)
        assert (bar.n, bar.total) == (5, 5)
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "embedding: 100%" in shown.err
    assert "5/5" in shown.err


def test_no_bar_shows_nothing(capsys):
    with no_bar() as bar:
        assert bar.update(3) is None
    assert capsys.readouterr() == ("", "")


def test_a_step_is_logged_and_prints_nothing(capsys, caplog):
    with caplog.at_level(logging.INFO, logger="skembed"), step("exporting X"):
        pass
    assert caplog.messages[0] == "exporting X ..."
    assert re.fullmatch(r"exporting X: \d+\.\d s", caplog.messages[1])
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("has_bar", [False, True])
def test_a_step_prints_one_line_if_asked_to(capsys, has_bar):
    """Begun before the step, so that who waits can see why; a bar comes before the line."""
    with speaking("Embedder"), step("exporting X", has_bar):
        assert capsys.readouterr().err == ("" if has_bar else "Embedder: exporting X ... ")
        with step("exporting a part"):  # would break the line
            pass
        assert capsys.readouterr().err == ""
    before = "Embedder: exporting X ... " if has_bar else ""
    shown = capsys.readouterr()
    assert re.fullmatch(rf"{before}\d+\.\d s\n", shown.err)
    assert shown.out == ""
    assert not is_speaking()


def test_a_step_that_fails_says_so(capsys, caplog):
    with (
        caplog.at_level(logging.INFO, logger="skembed"),
        pytest.raises(KeyError),
        speaking("Embedder"),
        step("exporting X"),
    ):
        raise KeyError
    assert re.search(r"failed after \d+\.\d s\n$", capsys.readouterr().err)
    assert "failed after" in caplog.messages[-1]
