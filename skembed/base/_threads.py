"""Which rows run together, and on how many threads.

Rows of a batch have one shape: texts of the same number of tokens, images of the same size. There
is no padding, so nothing of a neighbor reaches a row, and no work is done on padding.
"""

import os
import threading
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import joblib
import numpy as np

from skembed._config import get_config
from skembed.base._fork import after_fork_in_child


def n_threads_for(n_threads=None):
    """Return how many threads to compute on: the parameter, else the config, else the cores.

    The cores are those that joblib reports, and in its workers the share it leaves to each
    (which it tells, as to all numerical libraries, in OMP_NUM_THREADS).
    """
    chosen = n_threads or get_config()["n_threads"]
    if chosen:
        return int(chosen)
    share = os.environ.get("OMP_NUM_THREADS", "")
    cores = joblib.cpu_count()
    return min(cores, int(share)) if share.isdigit() and int(share) else cores


def batches(inputs, batch_size="auto", n_elements=512):
    """Group inputs of one shape into batches, the largest inputs first.

    Parameters
    ----------
    inputs : list of ndarray
        Network inputs, one a row.
    batch_size : int or "auto", default="auto"
        Rows a batch; "auto": as many as make `n_elements`.
    n_elements : int, default=512
        Elements (tokens, pixels) a batch.

    Returns
    -------
    batches : list of list of int
        Positions in `inputs`.

    Examples
    --------
    >>> batches([np.zeros(3), np.zeros(5), np.zeros(3)])
    [[1], [0, 2]]
    """
    same_shape = defaultdict(list)
    for position, item in enumerate(inputs):
        same_shape[item.shape].append(position)
    grouped = []
    for shape, positions in sorted(same_shape.items(), key=lambda item: -np.prod(item[0])):
        size = batch_size
        if batch_size == "auto":
            size = max(1, n_elements // max(1, int(np.prod(shape))))
        grouped += [positions[i : i + size] for i in range(0, len(positions), size)]
    return grouped


# One slot a core for the whole process: two threads of a search that each compute on all cores
# share the cores instead of fighting for them.
_slots = threading.BoundedSemaphore(joblib.cpu_count())


@after_fork_in_child
def _renew_slots():
    global _slots
    _slots = threading.BoundedSemaphore(joblib.cpu_count())


def in_threads(function, items, n_threads):
    """Yield ``function(item)`` for each item, in order, on up to `n_threads` threads."""

    def in_slot(item):
        with _slots:
            return function(item)

    if n_threads == 1 or len(items) <= 1:
        yield from map(in_slot, items)
        return
    with ThreadPoolExecutor(min(n_threads, len(items)), "skembed") as pool:
        try:
            yield from pool.map(in_slot, items)
        except BaseException:
            pool.shutdown(wait=True, cancel_futures=True)
            raise


class Ahead:
    """Calls that a thread of their own makes while the caller goes on; a context manager.

    The thread is started by the first call that may wait.
    """

    def __init__(self):
        self._pool = None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)

    def call(self, function, *arguments, now):
        """Begin a call, and return a function that waits for its answer.

        With ``now=True`` nothing would be done meanwhile: the caller makes the call itself.
        """
        if now and self._pool is None:
            return partial(function, *arguments)
        self._pool = self._pool or ThreadPoolExecutor(1, "skembed-ahead")
        return self._pool.submit(function, *arguments).result
