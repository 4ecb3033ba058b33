"""Which rows are in a step of training: batches of an epoch, by a NumPy generator."""

import numpy as np


def epoch_batches(lengths, classes, batch_size, random):
    """Return the batches of an epoch.

    Without classes, rows of similar length come together, so that a batch has few shapes: rows are
    shuffled, sorted by length within groups of 16 batches, and the batches are shuffled. With
    classes, each batch holds at least two rows of each of its classes, drawn without replacement
    until a class has been used up, and as many classes as fit.

    Parameters
    ----------
    lengths : ndarray of shape (n_rows,)
        Sizes of the rows' inputs.
    classes : ndarray of shape (n_rows,), int, or None
        Class of each row, for losses that compare rows. None: any rows may come together.
    batch_size : int
        Rows in a batch. The last batch may be smaller, and a row that would be alone in it joins
        the batch before: losses that compare rows, and batch normalization, need two.
    random : numpy.random.Generator
        Draws the batches.

    Returns
    -------
    batches : list of ndarray of int
        Positions of rows. Each row is in one batch; with classes, in about one.

    Examples
    --------
    >>> random = np.random.default_rng(0)
    >>> batches = epoch_batches(np.arange(10), None, 4, random)
    >>> sorted(len(batch) for batch in batches)
    [2, 4, 4]
    """
    if classes is not None:
        return _balanced(classes, batch_size, random)
    order = random.permutation(len(lengths))
    batches = []
    for part in np.split(order, _cuts(len(order), 16 * batch_size)):
        part = part[np.argsort(lengths[part], kind="stable")]
        batches += np.split(part, _cuts(len(part), batch_size))
    return [batches[i] for i in random.permutation(len(batches))]


def _cuts(n_rows, size):
    """Return where to cut rows into parts of `size`, so that no row is alone."""
    cuts = np.arange(size, n_rows, size)
    return cuts[:-1] if len(cuts) and n_rows - cuts[-1] == 1 else cuts


def _balanced(classes, batch_size, random):
    n_classes = int(classes.max()) + 1
    members = [np.flatnonzero(classes == c) for c in range(n_classes)]
    n_each = max(2, batch_size // n_classes)
    n_chosen = max(2, min(n_classes, batch_size // n_each))
    queues = [np.empty(0, dtype=np.intp)] * n_classes
    batches = []
    for _ in range(-(-len(classes) // (n_each * n_chosen))):
        batch = []
        for c in random.permutation(n_classes)[:n_chosen]:
            if len(queues[c]) < n_each:
                queues[c] = np.concatenate([queues[c], random.permutation(members[c])])
            batch.append(np.unique(queues[c][:n_each]))
            queues[c] = queues[c][n_each:]
        batches.append(np.concatenate(batch))
    return batches


def parts_of(shapes, n_elements, *, pads):
    """Return the parts in which some rows are computed.

    Without padding, a part holds the rows of one shape. With padding, rows are sorted by their
    length, and a part is full when it has `n_elements` elements, so that little is padded.

    Parameters
    ----------
    shapes : list of tuple
        Of the rows' inputs.
    n_elements : int
        Elements in a part.
    pads : bool
        Whether rows of different lengths can be computed together.

    Returns
    -------
    parts : list of list of int
        Positions of rows.

    Examples
    --------
    >>> parts_of([(7,), (2,), (3,)], 6, pads=True)
    [[1, 2], [0]]
    >>> parts_of([(7,), (2,), (7,)], 6, pads=False)
    [[0, 2], [1]]
    """
    if not pads:
        parts = {}
        for position, shape in enumerate(shapes):
            parts.setdefault(shape, []).append(position)
        return list(parts.values())
    parts, part = [], []
    for position in sorted(range(len(shapes)), key=lambda i: shapes[i]):
        part.append(position)
        if len(part) * shapes[position][0] >= n_elements:
            parts.append(part)
            part = []
    return [*parts, part] if part else parts
