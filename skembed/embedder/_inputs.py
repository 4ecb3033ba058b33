"""How rows become network inputs: `Prepared` rows and the `Preprocessor` that makes them.

Imports only `base`.
"""

from typing import NamedTuple

import numpy as np

from skembed.base._read_rows import read_rows


class Prepared(NamedTuple):
    """A row made ready for the network: one input, or several (windows) to be averaged."""

    inputs: list  # of ndarray
    weights: list  # one a window
    cut: bool = False  # longer than can be embedded


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
        """Its files, as pairs of path and SHA-256."""
        return ()

    def prepare(self, rows, keys, n_threads):
        """Return a list of `Prepared`, and the reasons of bad rows, by their positions.

        Rows are read on threads, one by one.
        """
        items = list(zip(rows, keys, strict=True))
        prepared, reasons = read_rows(lambda item: self._prepared(*item), items, n_threads)
        return [Prepared([], []) if item is None else item for item in prepared], reasons

    def _prepared(self, row, key):
        """Return the `Prepared` of a row."""
        raise NotImplementedError

    def settings(self):
        """Return what can change a vector."""
        raise NotImplementedError

    def input_settings(self):
        """Return what can change the vector of a window, before a row's windows are joined."""
        return self.settings()

    def probes(self):
        """Return inputs to check an export with, of different sizes where they may differ."""
        raise NotImplementedError

    def save(self, folder):
        """Write its files into an exported folder; return the settings beside them."""
        raise NotImplementedError

    def moved(self, new_path):
        """Return the same, with its files at ``new_path(path)``."""
        return self

    def n_row_dims(self, n_dims):
        """Return the length of a row's vector, whose windows' are `n_dims` long."""
        return n_dims

    def joined(self, vectors, weights):
        """Combine the vectors of a row's windows, (n_windows, n_dims), into one."""
        return np.average(vectors, axis=0, weights=weights)
