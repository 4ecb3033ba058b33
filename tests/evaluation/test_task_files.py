"""Files of word tasks: those of the package, and each kind of damage with its message."""

import re
import sys
from importlib.machinery import FileFinder, SourceFileLoader

import pytest

from skembed import Word2VecVectorizer
from skembed.evaluation import _task_files, word_analogies, word_similarity
from skembed.evaluation._task_files import read_pairs, read_questions


@pytest.fixture(scope="module")
def embedder():
    return Word2VecVectorizer(4, min_count=1, random_state=0).fit(["old new hard easy"])


def test_included_files_are_found_without_importing_gensims_tests(embedder, monkeypatch):
    for name in [name for name in sys.modules if name.startswith("gensim.test")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "gensim.test", None)  # importing it would fail
    assert word_similarity(embedder, "wordsim353").n_pairs == 353
    assert word_similarity(embedder, "simlex999").n_pairs == 999
    assert word_analogies(embedder)[-1].n_questions == 19544


def test_a_gensim_without_the_files_is_named_with_the_remedy(embedder, monkeypatch, tmp_path):
    """Some distributions leave out the data of gensim's tests."""
    (tmp_path / "gensim").mkdir()
    (tmp_path / "gensim" / "__init__.py").touch()
    finder = FileFinder(str(tmp_path), (SourceFileLoader, [".py"]))
    monkeypatch.setattr(_task_files.util, "find_spec", finder.find_spec)
    with pytest.raises(FileNotFoundError, match=r"simlex999\.txt is not in the installed package"):
        word_similarity(embedder, "simlex999")


def test_sections_of_questions(tmp_path):
    (tmp_path / "file.txt").write_text("# a comment\n: one\na b c d\n\n: two\ne f g h\ni j k l\n")
    assert read_questions(tmp_path / "file.txt") == {
        "one": [("a", "b", "c", "d")],
        "two": [("e", "f", "g", "h"), ("i", "j", "k", "l")],
    }


def test_pairs(tmp_path):
    (tmp_path / "file.txt").write_text("word 1\tword 2\tscore\nold\tnew\t1.5\nhard easy 2\n")
    assert read_pairs(tmp_path / "file.txt") == [("old", "new", 1.5), ("hard", "easy", 2.0)]


@pytest.mark.parametrize(
    "text",
    [
        "old,new,1.5\nhard,easy,2\n",
        "Word 1,Word 2,Score\nold,new,1.5\nhard,easy,2",
        "old new 1.5\n",
    ],
)
def test_files_of_pairs(embedder, tmp_path, text):
    (tmp_path / "pairs.txt").write_text(text)
    expected = len(text.strip().splitlines()) - text.startswith("Word")
    assert word_similarity(embedder, tmp_path / "pairs.txt").n_pairs == expected


@pytest.mark.parametrize(
    ("evaluate", "text", "message"),
    [
        (word_similarity, "old\tnew\t1\nhard\teasy\n", "line 2: two words and a score"),
        (word_similarity, "old\tnew\t1\nhard\teasy\tvery\n", "line 2: two words and a score"),
        (
            word_analogies,
            "a b c d\n",
            "line 1: a section (': name') or, within a section, four words",
        ),
        (
            word_analogies,
            ": one\na b c\n",
            "line 2: a section (': name') or, within a section, four words",
        ),
    ],
)
def test_damaged_files(embedder, tmp_path, evaluate, text, message):
    (tmp_path / "file.txt").write_text(text)
    with pytest.raises(ValueError, match=re.escape(message)):
        evaluate(embedder, tmp_path / "file.txt")


@pytest.mark.parametrize("evaluate", [word_similarity, word_analogies])
@pytest.mark.parametrize(
    ("content", "number"),
    [
        (": one\nna\xefve a b c\n".encode("latin-1"), 2),
        ("\ufeff: é\r\na b c d\r\n".encode() + b"\xc3", 3),
        (": one\n".encode("utf-16"), 1),
    ],
)
def test_files_of_another_encoding(embedder, tmp_path, evaluate, content, number):
    path = tmp_path / "file.txt"
    path.write_bytes(content)
    with pytest.raises(ValueError, match="not UTF-8") as raised:
        evaluate(embedder, path)
    assert f"{path}, line {number}: " in str(raised.value)
    assert not isinstance(raised.value, UnicodeError)


def test_files_that_do_not_exist(embedder):
    with pytest.raises(FileNotFoundError, match="there is no such file"):
        word_similarity(embedder, "a" * 300)
    with pytest.raises(FileNotFoundError, match="no-such: there is no such file; included are"):
        word_similarity(embedder, "no-such")
