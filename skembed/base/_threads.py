"""Batches of rows, and threads that compute them.

All rows of a batch have the same shape: texts with the same number of tokens, images of the same
size. There is no padding. So the result of a row does not depend on the other rows, and no time is
spent on padding. Imports `_config` and `_fork`.
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
    """Return the number of threads that compute vectors.

    It is the parameter, else the setting of the configuration, else the number of cores. The cores
    are those that joblib reports. In its worker processes joblib sets OMP_NUM_THREADS, which limits
    the number.
    """
    chosen = n_threads or get_config()["n_threads"]
    if chosen:
        return int(chosen)
    share = os.environ.get("OMP_NUM_THREADS", "")
    cores = joblib.cpu_count()
    return min(cores, int(share)) if share.isdigit() and int(share) else cores


def same_shape_batches(inputs, batch_size="auto", n_elements=512):
    """Group inputs of one shape into batches, the largest inputs first.

    Parameters
    ----------
    inputs : list of ndarray
        Network inputs, one for each row.
    batch_size : int or "auto", default="auto"
        Rows per batch. "auto": as many as have `n_elements` elements together.
    n_elements : int, default=512
        Elements (tokens, pixels) per batch.

    Returns
    -------
    batches : list of list of int
        Positions in `inputs`.

    Examples
    --------
    >>> same_shape_batches([np.zeros(3), np.zeros(5), np.zeros(3)])
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


# One slot per core for the whole process. If several threads compute at once, as in a search with
# n_jobs, they share the cores instead of oversubscribing them.
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
    """Run calls on a background thread; a context manager.

    The thread is started by the first call that is not made at once.
    """

    def __init__(self):
        self._pool = None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)

    def call(self, function, *arguments, now):
        """Start a call; return a function that waits for its result.

        Parameters
        ----------
        function : callable
            The function.
        *arguments
            Its arguments.
        now : bool
            True: nothing else is to be done meanwhile. If no thread was started yet, the returned
            function then makes the call itself.

        Returns
        -------
        result : callable
            Returns the result of the call, or raises its error.
        """
        if now and self._pool is None:
            return partial(function, *arguments)
        self._pool = self._pool or ThreadPoolExecutor(1, "skembed-ahead")
        return self._pool.submit(function, *arguments).result
