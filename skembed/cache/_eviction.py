"""Keep a cache folder within its limit by dropping the least recently used rows.

Rows are dropped before others are written, down to a low-water mark. So the folder never exceeds
its limit, and most writes drop nothing. Later rows reuse the pages of dropped rows; files are
truncated only if they exceed the limit. Imports `_sqlite`.
"""

import time

from skembed.cache._sqlite import row_bytes, stat_of

_LOW_WATER = 0.9  # of the limit
# Networks used within this time are in use together: each of them gives up rows.
_IN_USE_SECONDS = 60


def make_room(file, siblings, values, max_bytes):
    """Drop the least recently used rows, so that others can be written within the limit.

    Files of networks that were not used for a minute are shrunk first, one after the other. If that
    is not enough, the files in use each give up the same share of their rows.

    Parameters
    ----------
    file : CacheFile
        The file to be written.
    siblings : dict of path to CacheFile
        The other files of the folder.
    values : list of bytes
        The values to be written.
    max_bytes : int
        The limit of the folder.

    Returns
    -------
    n_kept : int
        How many values fit, counted from the last.
    """
    stats = {path: stat for path in siblings if (stat := stat_of(path))}
    needed = sum(row_bytes(len(value)) for value in values)
    used, size = file.n_bytes()
    others = sum(stat.st_size for stat in stats.values())
    if others + max(size, used + needed) <= max_bytes:
        return len(values)
    excess = others + used + needed - _LOW_WATER * max_bytes
    if others + used + needed <= max_bytes:
        excess = 0  # it is enough to truncate the file itself
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
    """Return how many values, counted from the last, take at most `room` bytes."""
    for n, value in enumerate(reversed(values)):
        room -= row_bytes(len(value))
        if room < 0:
            return n
    return len(values)
