"""Checks of parameters that several layers share. Imports nothing of skembed."""


def check_truncate_dim(estimator, truncate_dim, n_dims, *, projected=False):
    """Raise a ValueError if `truncate_dim` exceeds the length of the vectors that it truncates.

    Parameters
    ----------
    estimator : str
        Name of the estimator, for the message.
    truncate_dim : int or None
        The parameter. None: vectors are not truncated.
    n_dims : int or None
        Length of these vectors. None: not known yet, and nothing is checked.
    projected : bool, default=False
        Whether they are the vectors of a learned projection, for the message.

    Examples
    --------
    >>> check_truncate_dim("BertEmbedder", 500, 384)
    Traceback (most recent call last):
    ...
    ValueError: The 'truncate_dim' parameter of BertEmbedder must be at most 384, the length of the
    model's vectors. Got 500 instead.
    """
    if truncate_dim is not None and n_dims and truncate_dim > n_dims:
        whose = "the learned projection" if projected else "the model's vectors"
        raise ValueError(
            f"The 'truncate_dim' parameter of {estimator} must be at most {n_dims}, the length of "
            f"{whose}. Got {truncate_dim} instead."
        )
