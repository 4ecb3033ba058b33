"""Values of a cache: the vectors of a row's windows, for one piece of a head.

A value under (fingerprint of the piece, key of the row) is, for a row of one window, its vector in
float32 and one byte that says whether the row was cut. For a row of several windows it is all their
vectors, their weights in float64, and that byte. Joining the windows, joining pieces, truncating
and normalizing come after, so they cost no run of the network.

Imports nothing of skembed.
"""

from typing import NamedTuple

import numpy as np


class Windows(NamedTuple):
    """The vectors of the windows of some rows."""

    vectors: list  # of ndarray (n_windows, n_dims of the piece) float32, one for each piece
    counts: np.ndarray  # (n_rows,) windows of each row
    weights: np.ndarray  # (n_windows,) float64; unused for rows of one window
    cut: np.ndarray  # (n_rows,) bool: whether the row was truncated


def n_windows_of(n_bytes, width):
    """Return the number of windows of a value, from its length; None if it is damaged.

    Examples
    --------
    >>> n_windows_of(4 * 384 + 1, 384), n_windows_of(2 * (4 * 384 + 8) + 1, 384)
    (1, 2)
    >>> n_windows_of(1000, 384) is None
    True
    """
    if n_bytes == 4 * width + 1:
        return 1
    n_windows, rest = divmod(n_bytes - 1, 4 * width + 8)
    return n_windows if n_bytes and not rest and n_windows != 1 else None


def packed(vectors, counts, weights, cut):
    """Return the values of rows; `vectors` are those of one piece."""
    if (counts == 1).all():
        record = np.dtype([("vector", "<f4", vectors.shape[1:]), ("cut", "?")])
        records = np.empty(len(counts), dtype=record)
        records["vector"], records["cut"] = vectors, cut
        return [item.tobytes() for item in records]
    values, start = [], 0
    for n_windows, was_cut in zip(counts, cut, strict=True):
        stop = start + n_windows
        content = vectors[start:stop].astype("<f4", copy=False).tobytes()
        if n_windows != 1:
            content += weights[start:stop].astype("<f8", copy=False).tobytes()
        values.append(content + bytes([bool(was_cut)]))
        start = stop
    return values


def unpacked(values, widths):
    """Return the `Windows` of rows.

    Parameters
    ----------
    values : list of list of bytes
        For each piece the values of the rows, none of them damaged.
    widths : list of int
        Lengths of the pieces' vectors.
    """
    counts = np.array([n_windows_of(len(value), widths[0]) for value in values[0]], dtype=np.intp)
    if (counts == 1).all():
        found = []
        for contents, width in zip(values, widths, strict=True):
            record = np.dtype([("vector", "<f4", (width,)), ("cut", "?")])
            found.append(np.frombuffer(b"".join(contents), record))
        vectors = [np.ascontiguousarray(records["vector"]) for records in found]
        return Windows(vectors, counts, np.ones(len(counts)), found[0]["cut"])
    vectors = [
        np.frombuffer(
            b"".join(v[: 4 * width * n] for v, n in zip(contents, counts, strict=True)), "<f4"
        ).reshape(-1, width)
        for contents, width in zip(values, widths, strict=True)
    ]
    weights = [
        np.ones(1) if n == 1 else np.frombuffer(v[4 * widths[0] * n : -1], "<f8")
        for v, n in zip(values[0], counts, strict=True)
    ]
    cut = np.array([value[-1] != 0 for value in values[0]], dtype=bool)
    return Windows(vectors, counts, np.concatenate(weights), cut)


class KeptPieces:
    """Read, claim and write the pieces of a network in a store.

    Processes that compute the same pieces compute each row once. A row is claimed under its first
    piece that is missing, in the network's order of pieces, and that piece is written last: whoever
    finds it finds the others.

    Parameters
    ----------
    store : MemoryCache, EmbeddingCache or NoCache
        Where they are kept.
    network : NetworkSpec
        Whose pieces they are.
    """

    def __init__(self, store, network):
        self._store = store
        self._fingerprints, self._widths = network.fingerprints, network.widths
        names = [piece.name for piece in network.pieces]
        self._needed = sorted({names.index(part.name) for part in network.head_pieces})
        self._n_pieces = len(names)
        for fingerprint in self._fingerprints:
            store.describe(fingerprint, network.model)

    def read(self, keys):
        """Look rows up.

        Returns
        -------
        hits : ndarray of shape (n_rows,), bool
            Rows all of whose needed pieces are there.
        windows : Windows
            Of these rows; its vectors are None for pieces that the head does not need.
        missing : ndarray of shape (n_pieces, n_rows), bool
            Pieces that are known to be missing.
        damaged : ndarray of shape (n_rows,), bool
            Rows with a value that cannot be used.
        """
        missing = np.zeros((self._n_pieces, len(keys)), dtype=bool)
        counts = np.full((self._n_pieces, len(keys)), -1)
        values = {}
        for i in self._needed:
            values[i] = self._store.read(self._fingerprints[i], keys)
            found = [value is not None for value in values[i]]
            missing[i] = ~np.array(found, dtype=bool)
            for row, value in enumerate(values[i]):
                if value is not None:
                    n_windows = n_windows_of(len(value), self._widths[i])
                    counts[i, row] = -1 if n_windows is None else n_windows
        needed = counts[self._needed]
        hits = (needed >= 0).all(axis=0) & (needed == needed[0]).all(axis=0)
        damaged = ~hits & ~missing.any(axis=0)
        damaged |= ((needed < 0) & ~missing[self._needed]).any(axis=0)
        rows = np.flatnonzero(hits)
        widths = [self._widths[i] for i in self._needed]
        windows = unpacked([[values[i][row] for row in rows] for i in self._needed], widths)
        vectors = [None] * self._n_pieces
        for i, found in zip(self._needed, windows.vectors, strict=True):
            vectors[i] = found
        return hits, windows._replace(vectors=vectors), missing, damaged

    def claim(self, keys, missing, damaged):
        """Claim rows for this thread.

        Parameters
        ----------
        keys : list of bytes
            Of rows that `read` did not find.
        missing, damaged : ndarray
            As `read` returned them, for these rows; `missing` is completed.

        Returns
        -------
        claims : list of (str, list of bytes)
            What must be written or released: fingerprints and keys.
        mine : ndarray of shape (n_rows,), bool
            Rows that were granted.
        held : list of (str, ndarray)
            The others: the fingerprints under which somebody else holds them, and positions.
        """
        if keys:
            for i in set(range(self._n_pieces)) - set(self._needed):
                values = self._store.read(self._fingerprints[i], keys)
                missing[i] = [value is None for value in values]
        missing[:, damaged] = True  # all pieces are written again
        first = np.where(damaged, -1, missing.argmax(axis=0))
        mine, claims, held = damaged.copy(), [], []
        for i in sorted({*first.tolist()} - {-1}):
            rows = np.flatnonzero(first == i)
            asked = [keys[row] for row in rows]
            granted = np.array(self._store.claim(self._fingerprints[i], asked), dtype=bool)
            mine[rows] = granted
            claims.append((self._fingerprints[i], [keys[row] for row in rows[granted]]))
            if not granted.all():
                held.append((self._fingerprints[i], rows[~granted]))
        return claims, mine, held

    def write(self, keys, windows, missing):
        """Write the missing pieces of computed rows."""
        firsts = np.concatenate([[0], np.cumsum(windows.counts)])
        for i in reversed(range(self._n_pieces)):
            rows = np.flatnonzero(missing[i])
            vectors, weights = windows.vectors[i], windows.weights
            if len(rows) < len(keys):
                chosen = [np.arange(firsts[row], firsts[row + 1]) for row in rows]
                chosen = np.concatenate([np.empty(0, dtype=np.intp), *chosen])
                vectors, weights = vectors[chosen], weights[chosen]
            values = packed(vectors, windows.counts[rows], weights, windows.cut[rows])
            self._store.write(self._fingerprints[i], [keys[row] for row in rows], values)

    def release(self, claims):
        """End claims on rows that were not computed."""
        for fingerprint, keys in claims:
            self._store.release(fingerprint, keys)

    def wait(self, fingerprint, keys):
        """Block until at least one row is written or released."""
        self._store.wait(fingerprint, keys)
