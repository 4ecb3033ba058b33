"""The parameter `cache` of the embedders: its values, and the store that each stands for.

Imports `_config` and `cache`.
"""

import os

from sklearn.utils._param_validation import HasMethods, InvalidParameterError

from skembed._config import cache_folder_was_set
from skembed.cache import EmbeddingCache, NoCache, memory_cache
from skembed.cache._store import METHODS, missing_methods


class _IsStore(HasMethods):
    """Constraint: an object with all methods of `Store`.

    scikit-learn's message for a value that violates all constraints does not depend on the value.
    For an object with some of the methods, this constraint raises a message that lists the others.
    """

    def __init__(self):
        super().__init__(list(METHODS))

    def is_satisfied_by(self, val):
        if isinstance(val, type):  # a class instead of an instance of it
            return False
        missing = missing_methods(val)
        if 0 < len(missing) < len(METHODS):
            names = ", ".join(f"{name}()" for name in missing)
            raise InvalidParameterError(
                f"The 'cache' parameter must be a store. {type(val).__name__} lacks {names}. "
                "Inherit from skembed.cache.Store, which has defaults for all methods but read() "
                "and write()."
            )
        return not missing

    def __str__(self):
        return "a store (see skembed.cache.Store)"


CACHE_CONSTRAINTS = [str, os.PathLike, _IsStore(), None]


def store_of(cache):
    """Return the store that a value of the parameter `cache` stands for.

    Parameters
    ----------
    cache : "memory", str, path, Store or None
        The parameter.

    Returns
    -------
    store : Store
        An `EmbeddingCache` for a folder, and for ``"memory"`` if a cache folder was set with
        `set_config`. A `NoCache` for None.
    """
    if cache is None:
        return NoCache()
    if not isinstance(cache, (str, os.PathLike)):
        return cache
    if os.fspath(cache) != "memory":
        return EmbeddingCache(cache)
    return EmbeddingCache() if cache_folder_was_set() else memory_cache()
