"""Compute each row once: cache and claims, apart from running a network.

Imports only `base`.
"""

from collections import deque
from typing import NamedTuple

import numpy as np

from skembed.base._threads import Ahead


class _Chunk(NamedTuple):
    """Rows that this process claimed, and their preparation, which may be under way."""

    claims: list  # (fingerprint, keys) to release
    rows: np.ndarray  # positions of the rows that were granted
    missing: np.ndarray  # (n_pieces, n_rows) bool, of these rows
    prepared: object  # a function that returns what the preparation returned


def computed_once(kept, keys, size, *, preparation, compute):
    """Yield the windows of all rows: from the store, computed here, or computed by others.

    A chunk is prepared on a thread of its own while the chunk before it is computed. Rows that
    another process or thread has claimed come last: they are read when they are written, or
    computed here when their claim ends without a result.

    Parameters
    ----------
    kept : KeptPieces
        The store.
    keys : list of bytes
        Of all rows.
    size : int
        Rows in a chunk.
    preparation : callable
        Takes positions of rows, returns a function without arguments that prepares them. It is
        called on the caller's thread; the function, on another one.
    compute : callable
        Takes positions and what the preparation returned; returns which of them are good, as
        indices, and the `Windows` of those.

    Yields
    ------
    rows : ndarray of int
        Positions.
    windows : Windows
        Of these rows.
    n_done : int
        Rows that were finished, bad ones included.
    """
    waiting = deque(np.split(np.arange(len(keys)), range(size, len(keys), size)))
    claimed, held_elsewhere = deque(), []
    with Ahead() as ahead:
        try:
            while waiting or claimed:
                if waiting and len(claimed) < 2:
                    rows = waiting.popleft()
                    hits, windows, missing, damaged = kept.read([keys[i] for i in rows])
                    yield rows[hits], windows, int(hits.sum())
                    rows, missing, damaged = rows[~hits], missing[:, ~hits], damaged[~hits]
                    claims, mine, held = kept.claim([keys[i] for i in rows], missing, damaged)
                    held_elsewhere += [(fingerprint, rows[part]) for fingerprint, part in held]
                    alone = not waiting and not claimed
                    prepared = ahead.call(preparation(rows[mine]), now=alone)
                    claimed.append(_Chunk(claims, rows[mine], missing[:, mine], prepared))
                    continue
                chunk = claimed[0]
                good, windows = compute(chunk.rows, chunk.prepared())
                done = [keys[i] for i in chunk.rows[good]]
                kept.write(done, windows, chunk.missing[:, good])
                kept.release(_unwritten(claimed.popleft().claims, done))
                yield chunk.rows[good], windows, len(chunk.rows)
                if not waiting and not claimed and held_elsewhere:
                    fingerprint, rows = held_elsewhere[0]
                    kept.wait(fingerprint, [keys[i] for i in rows])
                    waiting.extend(rows for _, rows in held_elsewhere)
                    held_elsewhere = []
        finally:
            for chunk in claimed:
                kept.release(chunk.claims)


def _unwritten(claims, keys):
    """Return claims without those that ended when `keys` were written."""
    written = set(keys)
    rest = [(fingerprint, [k for k in part if k not in written]) for fingerprint, part in claims]
    return [(fingerprint, part) for fingerprint, part in rest if part]
