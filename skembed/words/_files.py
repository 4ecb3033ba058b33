"""Read files of word vectors, without executing anything in them.

The formats are word2vec's text and binary format, GloVe's text, fastText's ``.vec`` and ``.bin``;
any of them may be compressed with gzip, bz2 or xz. The content decides the format, not the name.
`_fasttext_file` parses ``.bin`` files, `_word2vec_file` all others.
"""

import os
from dataclasses import dataclass

import numpy as np

from skembed.base._batches import batches
from skembed.base._digest import check_unchanged, file_sha256
from skembed.base._shared import Registry
from skembed.exceptions import VectorFileError
from skembed.words._compressed import (
    is_compressed,
    open_file,
    reading_errors,
    remaining_content,
)
from skembed.words._fasttext_file import read_fasttext
from skembed.words._fasttext_layout import MAGIC
from skembed.words._keyed_vectors import from_keyed_vectors
from skembed.words._kinds import check_kind
from skembed.words._word2vec_file import read_word2vec

_tables = Registry(max_items=2)
_CHECKED_ROWS = 4096  # checked at a time


@dataclass(frozen=True)
class VectorFile:
    """A file with a word table, which is read once per process.

    Parameters
    ----------
    path : str
        Path of the file.
    sha256 : str
        Digest of its content.
    max_words : int or None
        Maximum number of words. None: all.
    """

    path: str
    sha256: str
    max_words: int | None

    def table(self):
        """Return the `WordTable`."""
        return _tables.get((self.sha256, self.max_words), self._read)

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
        Maximum number of words, from the first. None: all.

    Returns
    -------
    source : VectorFile or WordTable
        An object with a method ``table()``.

    Raises
    ------
    FileNotFoundError
        If the file does not exist.
    VectorFileError
        If the file is damaged, or of another kind.
    ValueError
        If ``KeyedVectors`` are empty, or contain NaN or infinity.
    """
    if not isinstance(vectors, (str, os.PathLike)):
        table = from_keyed_vectors(vectors, max_words)
        check_finite(table.words, table.vectors, "vectors", ValueError)
        return table
    path = os.path.abspath(os.path.expanduser(os.fspath(vectors)))
    given = f"vectors={os.fspath(vectors)!r}"
    if os.path.isdir(path):
        raise VectorFileError(f"{given} is a folder; pass a file of vectors.")
    if not os.path.exists(path):
        raise FileNotFoundError(f"{given}: there is no such file.")
    if not os.path.isfile(path):
        raise VectorFileError(f"{given} is a device, pipe or socket: a file is expected.")
    try:
        _check_start(path)
        source = VectorFile(path, file_sha256(path), max_words)
    except reading_errors() as error:
        raise VectorFileError(f"{path} cannot be read: {error}") from error
    source.table()
    return source


def _check_start(path):
    """Parse the first word, so that other files are rejected before they are read for a digest."""
    with open_file(path) as file:
        check_kind(file, path)
        if file.peek(4)[:4] != MAGIC and not is_compressed(file):
            read_word2vec(file, path, 1)


def read_vectors(path, max_words=None):
    r"""Read a file of word vectors.

    Parameters
    ----------
    path : str or path
        The file.
    max_words : int, default=None
        Maximum number of words, from the first; most files are sorted by descending frequency.
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
    >>> import tempfile
    >>> with tempfile.NamedTemporaryFile(suffix=".txt") as file:
    ...     _ = file.write(b"cat 1 2 3\ndog 4 5 6\n")
    ...     file.flush()
    ...     table = read_vectors(file.name)
    >>> table.words, table.vectors.shape
    (['cat', 'dog'], (2, 3))
    """
    path = os.fspath(path)
    try:
        with open_file(path) as file:
            check_kind(file, path)
            if file.peek(4)[:4] == MAGIC:
                table = read_fasttext(remaining_content(file)[0], path, max_words)
            else:
                table = read_word2vec(file, path, max_words)
    except reading_errors() as error:  # also those of mmap
        raise VectorFileError(f"{path} cannot be read: {error}") from error
    check_finite(table.words, table.vectors, path, VectorFileError)
    table.vectors.flags.writeable = False
    return table


def check_finite(words, vectors, source, error):
    """Raise `error` if there are no words, or a vector contains NaN or infinity.

    Parameters
    ----------
    words : list of n_words str
        The words.
    vectors : ndarray of shape (n_words, n_dims)
        Their vectors. They are checked in batches, without a copy of all.
    source : str
        Where they come from, for messages.
    error : type
        Class of the exception.
    """
    if not len(words):
        raise error(f"{source}: there are no words.")
    for batch in batches(len(words), _CHECKED_ROWS):
        finite = np.isfinite(vectors[batch]).all(axis=1)
        if not finite.all():
            word = words[batch.start + int(finite.argmin())]
            raise error(f"{source}: the vector of {word!r} contains NaN or infinity.")
