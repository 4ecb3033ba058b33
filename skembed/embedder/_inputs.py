"""How rows become network inputs: `Prepared` rows and the `Preprocessor` that makes them.

Imports only `base` and `exceptions`.
"""

from typing import NamedTuple

import numpy as np

from skembed.base._read_rows import read_rows
from skembed.exceptions import ExportError


class Prepared(NamedTuple):
    """The network inputs of a row: one, or several (windows) whose vectors are averaged."""

    inputs: list  # of ndarray
    weights: list  # one per window
    cut: bool = False  # whether the row was truncated


class Preprocessor:
    """How rows become network inputs: base of frozen dataclasses that fit into a pickle."""

    # Distributions whose versions can change an input.
    libraries: tuple = ()
    # The part that is computed in the graph, before the backbone: a dataclass with `module()`.
    stem = None
    # Shape of an input that an export is made for. None: any.
    fixed_shape = None
    n_prompt_tokens = 0

    @property
    def files(self):
        """The files that it reads, as pairs of path and SHA-256."""
        return ()

    def prepare(self, rows, keys, n_threads):
        """Return a list of `Prepared`, and {position: reason} of bad rows.

        Rows are read on threads, one by one.
        """
        items = list(zip(rows, keys, strict=True))
        prepared, reasons = read_rows(lambda item: self._prepared(*item), items, n_threads)
        return [Prepared([], []) if item is None else item for item in prepared], reasons

    def _prepared(self, row, key):
        """Return the `Prepared` of a row."""
        raise NotImplementedError

    def settings(self):
        """Return the settings that can change a vector."""
        raise NotImplementedError

    def input_settings(self):
        """Return the settings that can change the vector of a window."""
        return self.settings()

    def probes(self):
        """Return inputs to check an export with. They differ in the sizes that may vary."""
        raise NotImplementedError

    def save(self, folder):
        """Write files to an exported folder; return the settings for its manifest."""
        raise NotImplementedError

    def save_files(self, folder, source):
        """Write the files that define it, in the layout of transformers, to a model's folder.

        Parameters
        ----------
        folder : pathlib.Path
            A folder that has the network's files already.
        source : ModelFolder
            Of the model that it was made for.

        Raises
        ------
        ExportError
            If files of that layout cannot define it; the message names the parameter.
        """
        raise NotImplementedError

    def moved(self, new_path):
        """Return the same, with its files at ``new_path(path)``."""
        return self

    def n_row_dims(self, n_dims):
        """Return the length of a row's vector, for vectors of windows of length `n_dims`."""
        return n_dims

    def joined(self, vectors, weights):
        """Combine the vectors of a row's windows, (n_windows, n_dims), into one."""
        return np.average(vectors, axis=0, weights=weights)


def check_same_settings(preprocessor, again, source):
    """Raise an ExportError if the preprocessor of a written folder has other settings.

    Parameters
    ----------
    preprocessor, again : Preprocessor
        The one that was written, and the one that was read again.
    source : ModelFolder
        Of the model, for the message.
    """
    found = again.settings()
    for name, value in preprocessor.settings().items():
        if found[name] != value:
            raise ExportError(
                f"{source.path}: files of transformers do not store {name}={value!r}; they give "
                f"{found[name]!r}. Use format='onnx'."
            )
