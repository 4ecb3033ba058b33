"""Files of word tasks: those of the package, and each kind of damage with its message."""

import fnmatch
import re
import sys
from pathlib import Path

import pytest
from gensim.test.utils import datapath

import skembed
from skembed import Word2VecVectorizer
from skembed.evaluation import word_analogies, word_similarity
from skembed.evaluation._task_files import find_file, read_pairs, read_questions


@pytest.fixture(scope="module")
def embedder():
    return Word2VecVectorizer(4, min_count=1, random_state=0).fit(["old new hard easy"])


def test_included_files_do_not_need_those_of_gensims_tests(embedder, monkeypatch):
    for name in [name for name in sys.modules if name.startswith("gensim.test")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "gensim.test", None)  # as if it were not installed
    assert word_similarity(embedder, "wordsim353").n_pairs == 353
    assert word_similarity(embedder, "simlex999").n_pairs == 999
    assert word_analogies(embedder)[-1].n_questions == 19544


def test_included_files_are_unchanged_and_listed_with_their_license():
    notes = find_file("wordsim353").with_name("README.md").read_text(encoding="utf-8")
    for name in ("wordsim353", "simlex999", "questions-words"):
        file = find_file(name)
        assert file.read_bytes() == Path(datapath(file.name)).read_bytes()
        assert f"`{file.name}`" in notes


def test_included_files_are_part_of_the_package():
    tomllib = pytest.importorskip("tomllib", reason="tomllib is new in Python 3.11")
    package = Path(skembed.__file__).parent
    pyproject = tomllib.loads((package.parent / "pyproject.toml").read_text())
    patterns = pyproject["tool"]["setuptools"]["package-data"]["skembed"]
    for file in (package / "evaluation" / "data").iterdir():
        name = file.relative_to(package).as_posix()
        assert any(fnmatch.fnmatch(name, pattern) for pattern in patterns)


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
