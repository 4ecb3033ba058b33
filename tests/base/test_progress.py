"""Progress bars."""

from skembed.base._progress import no_bar, progress_bar


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
