"""Where the states that training keeps are stored: beside the vectors, within a share of the limit.

Imports `_disk` and `_memory`.
"""

from skembed.cache._disk import EmbeddingCache
from skembed.cache._memory import MemoryCache, NoCache, memory_cache


def store_of_states(store):
    """Return the store of the states of an embedder, and how many bytes one training may use of it.

    A state is as large as the vectors of many rows. A folder holds both, and one training fills at
    most a quarter of it. In memory, states have a cache of their own, so that they displace no
    vectors; one training uses 3/4 of it, because reading more rows than are kept, in the same order
    each time, would find none of them.

    Parameters
    ----------
    store : Store
        Of the embedder's vectors. One that is neither in a folder nor in memory gets no states,
        whose size its author did not expect; those of this process are used.

    Returns
    -------
    store : Store
        Of the states; a `NoCache` for a `NoCache`.
    max_bytes : float

    Examples
    --------
    >>> store_of_states(MemoryCache(1000))[1]
    1500.0
    """
    if isinstance(store, NoCache):
        return store, 0
    if isinstance(store, EmbeddingCache):
        return store, float("inf") if store.max_bytes is None else store.max_bytes / 4
    states = (store if isinstance(store, MemoryCache) else memory_cache()).states
    return states, 0.75 * states.max_bytes
