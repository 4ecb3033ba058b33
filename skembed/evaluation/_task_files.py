"""Find and read files of word tasks: those that gensim carries, and the user's own.

Imports nothing of skembed.
"""

from __future__ import annotations

import os
import re
from importlib import util
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from importlib.resources.abc import Traversable

    from skembed.base._typing import FilePath


# Files that gensim's package carries.
_INCLUDED = {
    "wordsim353": "wordsim353.tsv",
    "simlex999": "simlex999.txt",
    "questions-words": "questions-words.txt",
}


def pairs_of(
    pairs: FilePath | Sequence[tuple[str, str, float]],
) -> Sequence[tuple[str, str, float]]:
    """Return pairs with scores, read from a file if its name or path is passed."""
    return read_pairs(find_file(pairs)) if isinstance(pairs, (str, os.PathLike)) else pairs


def questions_of(
    questions: FilePath | Mapping[str, Sequence[tuple[str, str, str, str]]],
) -> Mapping[str, Sequence[tuple[str, str, str, str]]]:
    """Return the questions of each section, read from a file if its name or path is passed."""
    if isinstance(questions, (str, os.PathLike)):
        return read_questions(find_file(questions))
    return questions


def find_file(name: FilePath) -> Traversable:
    """Return an included file by its name, or the file with this path.

    Raises
    ------
    FileNotFoundError
        If there is no such file.

    Examples
    --------
    >>> find_file("simlex999").name
    'simlex999.txt'
    """
    if name in _INCLUDED:
        return _in_gensim(_INCLUDED[name])
    path = os.path.expanduser(name)
    if not os.path.isfile(path):  # unlike the method of Path, it does not fail for long names
        raise FileNotFoundError(f"{name}: there is no such file; included are {list(_INCLUDED)}.")
    return Path(path)


def _in_gensim(name: str) -> Traversable:
    """Return a file of gensim's package; gensim is not imported."""
    spec = util.find_spec("gensim")
    places = spec.submodule_search_locations if spec is not None else None
    for place in places or ():
        path = Path(place, "test", "test_data", name)
        if path.is_file():
            return path
    raise FileNotFoundError(
        f"{name} is not in the installed package gensim, whose published versions carry it in "
        "gensim/test/test_data. Install gensim from PyPI, or pass the path of the file."
    )


def read_pairs(file: Traversable) -> list[tuple[str, str, float]]:
    """Read lines with two words and a score, separated by tabs, commas, semicolons or blanks.

    Raises
    ------
    ValueError
        If a line is something else, or the file is not UTF-8.
    """
    pairs: list[tuple[str, str, float]] = []
    for number, line in _lines(file):
        parts = re.split(r"[\t,;]|\s+", line)
        try:
            pairs.append((parts[0], parts[1], float(parts[2])))
        except (IndexError, ValueError):
            if pairs or len(parts) < 3:  # the first line may contain the names of the columns
                raise ValueError(
                    f"{file}, line {number}: two words and a score are expected, got {line!r}."
                ) from None
    return pairs


def read_questions(file: Traversable) -> dict[str, list[tuple[str, str, str, str]]]:
    """Read lines ``: name``, each of which begins a section, and lines of four words.

    Raises
    ------
    ValueError
        If a line is something else, or the file is not UTF-8.
    """
    sections: dict[str, list[tuple[str, str, str, str]]] = {}
    section = None
    for number, line in _lines(file):
        if line.startswith(":"):
            section = sections.setdefault(line[1:].strip(), [])
            continue
        words = line.split()
        if len(words) != 4 or section is None:
            raise ValueError(
                f"{file}, line {number}: a section (': name') or, within a section, four words are "
                f"expected, got {line!r}."
            )
        a, b, c, d = words
        section.append((a, b, c, d))
    return sections


def _lines(file: Traversable) -> Iterator[tuple[int, str]]:
    """Yield the number and the text of each line that is neither blank nor a comment."""
    content = file.read_bytes()
    try:
        text = content.decode().removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        before = content[: error.start].decode()
        number = len(f"{before}x".splitlines())
        raise ValueError(
            f"{file}, line {number}: the file is not UTF-8 (byte 0x{content[error.start]:02x}). "
            "Convert it to UTF-8."
        ) from None
    for number, line in enumerate(text.splitlines(), 1):
        if line.strip() and not line.startswith("#"):
            yield number, line.strip()
