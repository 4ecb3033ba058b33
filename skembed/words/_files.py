"""Files of word vectors, read by parsers that execute nothing of what they read.

word2vec's text and binary format, GloVe's text, fastText's ``.vec`` and ``.bin``; each also packed
by gzip, bz2 or xz. Formats are told apart by their content, not by the name. `_fasttext_file` reads
``.bin``, `_word2vec_file` the others.
"""

import os
from dataclasses import dataclass

import numpy as np

from skembed.base._digest import check_unchanged, file_sha256
from skembed.base._shared import Registry
from skembed.exceptions import VectorFileError
from skembed.words._fasttext_file import read_fasttext
from skembed.words._fasttext_layout import MAGIC
from skembed.words._keyed_vectors import from_keyed_vectors
from skembed.words._kinds import refuse_other_kinds
from skembed.words._packed import is_packed, open_file, rest_of, unpacking_errors
from skembed.words._word2vec_file import read_words

_files = Registry(max_items=2)
_ROWS = 4096  # looked at at a time


@dataclass(frozen=True)
class VectorFile:
    """A file that holds a word table, read once a process.

    Parameters
    ----------
    path : str
        Where it is.
    sha256 : str
        Of its content.
    max_words : int or None
        How many words to read, from the first on. None: all.
    """

    path: str
    sha256: str
    max_words: int | None

    def table(self):
        """Return the `WordTable`."""
        return _files.get((self.sha256, self.max_words), self._read)

    def _read(self):
        check_unchanged(self.path, self.sha256, "vectors")
        return read_vectors(self.path, self.max_words)


def open_vectors(vectors, max_words):
    """Return the word table of a file or of gensim's ``KeyedVectors``.

    Parameters
    ----------
    vectors : str, path or gensim.models.KeyedVectors
        A file, or the vectors themselves.
    max_words : int or None
        How many words to take, from the first on. None: all.

    Returns
    -------
    source : VectorFile or WordTable
        What has a method ``table()``.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    VectorFileError
        If the file is damaged, or of another kind.
    ValueError
        If ``KeyedVectors`` are empty, or hold NaN or infinity.
    """
    if not isinstance(vectors, (str, os.PathLike)):
        table = from_keyed_vectors(vectors, max_words)
        check_finite(table.words, table.vectors, "vectors", ValueError)
        return table
    path = os.path.abspath(os.path.expanduser(os.fspath(vectors)))
    given = f"vectors={os.fspath(vectors)!r}"
    if os.path.isdir(path):
        raise VectorFileError(f"{given} is a folder; name the file of vectors in it.")
    if not os.path.exists(path):
        raise FileNotFoundError(f"{given}: there is no such file.")
    if not os.path.isfile(path):
        raise VectorFileError(f"{given} is a device, pipe or socket: a file is expected.")
    try:
        _refuse_early(path)
        source = VectorFile(path, file_sha256(path), max_words)
    except unpacking_errors() as error:
        raise VectorFileError(f"{path} cannot be read: {error}") from error
    source.table()
    return source


def _refuse_early(path):
    """Look at the first word of a file before all of it is read for its digest."""
    with open_file(path) as file:
        refuse_other_kinds(file, path)
        if file.peek(4)[:4] != MAGIC and not is_packed(file):
            read_words(file, path, 1)


def read_vectors(path, max_words=None):
    """Read a file of word vectors.

    Parameters
    ----------
    path : str or path
        The file.
    max_words : int, default=None
        How many words to read, from the first on; they are mostly written by falling frequency.
        None: all.

    Returns
    -------
    table : WordTable
        Its arrays are read-only.

    Raises
    ------
    VectorFileError
        If the file is damaged, or of another kind.

    Examples
    --------
    >>> from gensim.test.utils import datapath
    >>> table = read_vectors(datapath("test_glove.txt"), max_words=3)
    >>> table.words, table.vectors.shape
    (['the', 'ö', 'é'], (3, 50))
    """
    path = os.fspath(path)
    try:
        with open_file(path) as file:
            refuse_other_kinds(file, path)
            if file.peek(4)[:4] == MAGIC:
                table = read_fasttext(rest_of(file)[0], path, max_words)
            else:
                table = read_words(file, path, max_words)
    except unpacking_errors() as error:  # mmap's, too
        raise VectorFileError(f"{path} cannot be read: {error}") from error
    check_finite(table.words, table.vectors, path, VectorFileError)
    table.vectors.flags.writeable = False
    return table


def check_finite(words, vectors, what, error):
    """Raise `error` if there are no words, or a vector holds NaN or infinity."""
    if not len(words):
        raise error(f"{what}: there are no words.")
    for start in range(0, len(words), _ROWS):
        finite = np.isfinite(vectors[start : start + _ROWS]).all(axis=1)
        if not finite.all():
            word = words[start + int(finite.argmin())]
            raise error(f"{what}: the vector of {word!r} holds NaN or infinity.")
