"""Keep a cache folder within its limit: what was used longest ago goes first.

Room is made before rows are written, down to a low-water mark, so that the folder never grows
beyond its limit and most writes drop nothing. Pages that dropped rows leave are filled again by
later rows; files are truncated only where they are larger than the limit.
"""

import time

from skembed.cache._sqlite import row_bytes, stat_of

_LOW_WATER = 0.9  # of the limit
_IN_USE_SECONDS = 60  # networks used since then are in use together: no one's rows go first


def make_room(file, siblings, values, max_bytes):
    """Drop what was used longest ago, so that rows can be written within a folder's limit.

    Networks that nobody has used for a minute go first, one after the other, each beginning with
    its rows used longest ago. Those in use together each give the same share of their rows.

    Parameters
    ----------
    file : VectorFile
        The file to be written.
    siblings : dict of path to VectorFile
        The other files of the folder.
    values : list of bytes
        To be written.
    max_bytes : int
        The folder's limit.

    Returns
    -------
    n_kept : int
        How many values, counted from the last, fit.
    """
    stats = {path: stat for path in siblings if (stat := stat_of(path))}
    needed = sum(row_bytes(len(value)) for value in values)
    used, size = file.n_bytes()
    others = sum(stat.st_size for stat in stats.values())
    if others + max(size, used + needed) <= max_bytes:
        return len(values)
    excess = others + used + needed - _LOW_WATER * max_bytes
    if others + used + needed <= max_bytes:
        excess = 0  # the file itself is only to be truncated
    idle = [p for p, stat in stats.items() if stat.st_mtime < time.time() - _IN_USE_SECONDS]
    for path in sorted(idle, key=lambda path: stats[path].st_mtime):
        if excess > 0:
            excess -= siblings[path].shrink(excess)
    if excess > 0:
        together = [path for path in stats if path not in idle]
        total = used + sum(stats[path].st_size for path in together)
        for path in together:
            siblings[path].shrink(excess * stats[path].st_size / max(total, 1))
        file.drop_rows(excess * used / max(total, 1))
    room = max_bytes - sum(stat.st_size for stat in map(stat_of, siblings) if stat)
    file.truncate(room)
    return _n_that_fit(values, room - file.n_bytes()[0])


def _n_that_fit(values, room):
    """Return how many values, counted from the last, take no more than `room` bytes."""
    for n, value in enumerate(reversed(values)):
        room -= row_bytes(len(value))
        if room < 0:
            return n
    return len(values)
