"""Integer seeds from scikit-learn's `random_state`. Imports nothing of skembed."""

from numbers import Integral

from sklearn.utils import check_random_state


def seed_of(random_state):
    """Return the seed that a `random_state` stands for.

    Libraries such as torch and gensim take an integer, not a generator.

    Parameters
    ----------
    random_state : int, RandomState instance or None
        An int is the seed itself. A generator is advanced by one draw. None draws from NumPy's
        global generator.

    Returns
    -------
    seed : int
        A drawn seed lies in [0, 2**31 - 1).

    Examples
    --------
    >>> seed_of(3)
    3
    >>> import numpy as np
    >>> seed_of(np.random.RandomState(0))
    209652396
    """
    if isinstance(random_state, Integral):
        return int(random_state)
    return int(check_random_state(random_state).randint(2**31 - 1))
