"""Learning in `fit`: from an embedder's rows and labels to what its network learned.

Imports `network`, `training` and `base`.
"""

from dataclasses import replace

import numpy as np

from skembed.base._bad_rows import RowsFailedError
from skembed.base._optional import require_optional
from skembed.base._seeds import seed_of
from skembed.base._threads import n_threads_for
from skembed.network._resolve import resolve
from skembed.network._spec import folder_of
from skembed.training._training import training_of


def learned_from(embedder, rows, labels, request, sample):
    """Train the network of a request on rows and labels.

    Parameters
    ----------
    embedder : NeuralEmbedder
        Its parameters `training`, `random_state`, `n_threads` and `bad_rows` are used.
    rows : sequence
        Rows that have a key.
    labels : ndarray or None
        Of these rows.
    request : Request
        The network that is trained.
    sample : callable
        As `resolve` takes it.

    Returns
    -------
    learned : Learned
        The weights that changed.
    history : dict
        The course of the training.

    Raises
    ------
    RowsFailedError
        If rows cannot be prepared and ``bad_rows="raise"``.
    ValueError
        If labels are missing or do not fit, or the network cannot be trained.
    MissingDependencyError
        If torch is not installed.
    """
    training = training_of(embedder.training)
    n_last = training.checked()
    name = type(embedder).__name__
    if labels is None:
        raise ValueError(
            f"{name} learns from labels with training={embedder.training!r}: call fit(X, y)."
        )
    for module in ("torch", "transformers", "safetensors"):
        require_optional(module, extra="torch", purpose="Training a network")
    from skembed.training._loop import train

    folder = folder_of(embedder._modality, request.model, request.revision, request.seed)
    if folder.onnx is not None:
        raise ValueError(
            f"{folder.onnx} is an ONNX graph, which cannot be trained. Give the folder of the "
            "model that it was made from."
        )
    # The network that is trained needs no export.
    base = replace(request, backend="torch", precision="float32", device="cpu", precompute=None)
    spec = resolve(base, embedder._modality, sample)
    n_threads = n_threads_for(embedder.n_threads)
    inputs, positions = _inputs_of(embedder, spec.preprocessor, rows, n_threads)
    return train(
        spec,
        inputs,
        labels[positions],
        training,
        n_last=n_last,
        seed=seed_of(embedder.random_state),
        n_threads=n_threads,
        progress=lambda total: embedder._progress(total, unit="step"),
    )


def _inputs_of(embedder, preprocessor, rows, n_threads):
    """Return the network inputs of all windows of rows, and the positions of their rows."""
    keys, _ = embedder._check_rows(rows)
    inputs, positions, failed = [], [], {}
    size = embedder._modality.chunk
    for start in range(0, len(rows), size):
        part = range(start, min(start + size, len(rows)))
        prepared, wrong = preprocessor.prepare(
            [rows[i] for i in part], [keys[i] for i in part], n_threads
        )
        failed |= {part[i]: reason for i, reason in wrong.items()}
        for i, row in zip(part, prepared, strict=True):
            windows = [window for window in row.inputs if window.size]
            inputs += windows
            positions += [i] * len(windows)
    if failed and embedder.bad_rows == "raise":
        raise RowsFailedError(failed)
    return inputs, np.array(positions, dtype=np.intp)
