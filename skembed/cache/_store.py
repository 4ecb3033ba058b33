"""Store: what the parameter `cache` of the embedders must be able to do.

Imports only `_info`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

from skembed.cache._info import CacheInfo

if TYPE_CHECKING:
    from collections.abc import Sequence


class Store(ABC):
    """Base class of stores, which keep vectors that have been computed.

    A store maps a fingerprint (a network) and a key (a row) to a value. All three are opaque to it.
    To write one, inherit from this class and supply `read` and `write`. Such a store is complete:
    the other methods have defaults, which are correct for a store that grants every claim.
    Inheritance is optional: the parameter `cache` accepts any object that has all seven methods.

    See Also
    --------
    skembed.MemoryCache : The store of one process, in memory.
    skembed.EmbeddingCache : The store on disk, shared by processes and later runs.

    Notes
    -----
    **Arguments.** `fingerprint` is a str of 64 hexadecimal digits. It stands for everything that
    can change a vector: weights, preprocessing, the piece of the head. `keys` is a list of bytes,
    32 bytes each, the digests of rows; no key occurs twice in one call. A value is bytes, about
    4 bytes for each dimension and 1 more. Lists may be empty.

    **Correctness.** A store may drop a row at any time. It must never return a value that was
    written under another fingerprint or key, nor a part of one. Embedders check the length of a
    value and compute the row again if it is wrong, but they cannot detect other damage. An
    exception of a store is passed on to the caller of `transform`.

    **Order of calls.** An embedder calls `describe` once for each fingerprint. Then, for chunks of
    some hundred rows: `read`; `claim` for the missing rows; `write` for those that were computed;
    `release` for claimed rows that were not, also if an error occurs. When only rows claimed by
    others are left, it calls `wait` for some of them and starts again with `read`.

    **Threads and processes.** Threads that share a store call its methods at the same time, so it
    must lock what it changes. One thread makes the calls of one `transform`. If the process may
    be forked, locks must be replaced in the child (`os.register_at_fork`), and claims of the
    parent must not block the child.

    **Clones and pickles.** scikit-learn's ``clone`` copies parameters with `copy.deepcopy`. All
    clones must share one store, so `copy.copy` and `copy.deepcopy` of a subclass return the object
    itself. An object that does not inherit from this class must define ``__deepcopy__`` in the same
    way if it cannot be copied or its copies do not share their rows. An estimator is pickled with
    its store. Locks and connections cannot be pickled: a store that holds any defines
    ``__reduce__``, and returns what is needed to open it in another process.

    Examples
    --------
    >>> from skembed import BertEmbedder
    >>> from skembed.cache import Store
    >>> class DictStore(Store):
    ...     def __init__(self):
    ...         self.values = {}  # single operations of a dict are thread-safe
    ...
    ...     def read(self, fingerprint, keys):
    ...         return [self.values.get((fingerprint, key)) for key in keys]
    ...
    ...     def write(self, fingerprint, keys, values):
    ...         for key, value in zip(keys, values):
    ...             self.values[fingerprint, key] = value
    >>> store = DictStore()
    >>> vectors = BertEmbedder(cache=store).fit_transform(["a text", "another", "a text"])
    >>> len(store.values)
    2
    """

    def __copy__(self):
        return self

    def __deepcopy__(self, memo):
        return self

    def describe(self, fingerprint: str, model: str) -> None:
        """Record which model a fingerprint stands for; used by `info` alone.

        By default nothing is recorded.

        Parameters
        ----------
        fingerprint : str
            The network.
        model : str
            The parameter `model`: a name of the hub, an architecture or a path.
        """
        return None

    @abstractmethod
    def read(self, fingerprint: str, keys: Sequence[bytes]) -> list[bytes | None]:
        """Look up the values of rows.

        Parameters
        ----------
        fingerprint : str
            The network.
        keys : list of bytes, (n_rows,)
            The rows.

        Returns
        -------
        list of (bytes or None), (n_rows,)
            The value of each row, as it was written. None: the row is not kept.
        """

    def claim(self, fingerprint: str, keys: Sequence[bytes]) -> list[bool]:
        """Claim rows that the caller is about to compute.

        Claims let threads and processes divide rows among themselves. They save time and are not
        needed for correctness: a row that is granted twice is computed twice, with equal results.
        By default every row is granted.

        Parameters
        ----------
        fingerprint : str
            The network.
        keys : list of bytes, (n_rows,)
            The rows.

        Returns
        -------
        list of bool, (n_rows,)
            True: the caller computes this row. It will call `write` or `release` for it. False: the
            value can be read now, or another thread or process holds the claim. A row must not be
            refused for ever: if the holder ends without `write` or `release`, its claim must lapse.
            A thread never claims a row that it holds already, except after an interrupt. Then the
            row must be granted again.
        """
        return [True] * len(keys)

    @abstractmethod
    def write(self, fingerprint: str, keys: Sequence[bytes], values: Sequence[bytes]) -> None:
        """Keep the values of computed rows, and end the claims on them.

        Parameters
        ----------
        fingerprint : str
            The network.
        keys : list of bytes, (n_rows,)
            The rows. They need not have been claimed. An earlier value is replaced.
        values : list of bytes, (n_rows,)
            Their values.
        """

    def release(self, fingerprint: str, keys: Sequence[bytes]) -> None:
        """End claims of the calling thread on rows that it did not compute.

        Rows that it has not claimed, or has written, are ignored. By default nothing is done.

        Parameters
        ----------
        fingerprint : str
            The network.
        keys : list of bytes, (n_rows,)
            The rows.
        """
        return None

    def wait(self, fingerprint: str, keys: Sequence[bytes]) -> None:
        """Block until at least one of the rows is no longer claimed by anybody else.

        It was written, or released, or its claim lapsed. Return at once if that is so already. By
        default this method returns at once, because no claim is ever refused.

        Parameters
        ----------
        fingerprint : str
            The network.
        keys : list of bytes, (n_rows,)
            Rows that `claim` did not grant to the calling thread.
        """
        return None

    def info(self) -> CacheInfo:
        """Describe the content, one dict per network.

        By default the list is empty.

        Returns
        -------
        CacheInfo
            A list of dicts with the keys ``fingerprint``, ``model`` (str), ``rows``, ``bytes``,
            ``hits`` and ``misses`` (int). ``info["rows"]`` is the sum over all networks.
        """
        return CacheInfo()


METHODS = ("describe", "read", "claim", "write", "release", "wait", "info")


def missing_methods(store):
    """Return the names of the methods of `Store` that an object lacks.

    Examples
    --------
    >>> missing_methods({})
    ['describe', 'read', 'claim', 'write', 'release', 'wait', 'info']
    """
    return [name for name in METHODS if not callable(getattr(store, name, None))]
