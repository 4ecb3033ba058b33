"""Make a static model from a transformer: vectors of single tokens, PCA, weights, a fit to texts.

Imports `_bert`, `_static_tokens`, `base`, `models` and `network`.
"""

from pathlib import Path

import numpy as np
from scipy import sparse
from sklearn.base import clone
from tokenizers import Tokenizer

from skembed.base._bags import bag_of
from skembed.base._checks import check_truncate_dim
from skembed.base._folders import check_empty, written_aside
from skembed.models._static import write_static_folder
from skembed.network._load import with_export
from skembed.text._bert import BertEmbedder
from skembed.text._static_tokens import StaticTokens

_SIF = 5e-4  # Arora et al. recommend 1e-3 to 1e-4
_RIDGE = 0.5  # penalty of relative changes of the table; texts have unit length
_N_STEPS = 15  # of conjugate gradients


def distill(teacher, folder, texts, *, n_components, max_fit_rows, int8):
    """Write a static model; the parameters are those of `StaticEmbedder.distill`.

    Parameters
    ----------
    texts : list of str
        The rows of X.

    Returns
    -------
    folder : pathlib.Path
    """
    folder = Path(folder).expanduser().absolute()
    check_empty(folder)  # before the work of a minute
    if not isinstance(teacher, BertEmbedder):
        teacher = BertEmbedder(teacher)
    if not teacher.__sklearn_is_fitted__():  # a fitted one may have learned
        teacher = clone(teacher).fit(texts[:1])
    network = with_export(teacher._found())
    check_truncate_dim("StaticEmbedder.distill", n_components, network.n_dims)
    tokenizer = Tokenizer.from_str(network.preprocessor.tokenizer_object().to_str())
    ids, starts, _ = StaticTokens(tokenizer).ids(texts)
    tokens = token_vectors(teacher, network)
    center, directions = principal_directions(tokens, n_components)
    counts = np.bincount(ids, minlength=len(tokens))
    weights = _SIF / (_SIF + counts / max(counts.sum(), 1))
    table = ((tokens - center) @ directions * weights[:, None]).astype(np.float32)
    if max_fit_rows:
        chosen = spread_rows(len(texts), max_fit_rows)
        targets = teacher.transform([texts[i] for i in chosen]) @ directions
        counts = bag_of(ids, starts, table).counts[chosen]
        table = fitted(table, counts, targets)
    scales = None
    if int8:
        table, scales = rounded(table)
    with written_aside(folder) as aside:
        write_static_folder(aside, tokenizer, table, weights=scales)
    return folder


def token_vectors(teacher, network):
    """Return the teacher's vectors of texts of one token, (n_tokens, n_dims) float32."""
    before, after, n_tokens = network.preprocessor.frame()
    inputs = [np.concatenate([before, [i], after]).astype(np.int64) for i in range(n_tokens)]
    vectors = np.empty((n_tokens, network.n_dims), dtype=np.float32)
    with teacher._progress(n_tokens, unit="token") as bar:
        for positions, outputs in teacher._outputs(network, inputs):
            vectors[positions] = network.finished(outputs)
            bar.update(len(positions))
    return vectors


def principal_directions(vectors, n_components):
    """Return the mean of vectors, and the directions of largest variance as columns.

    Examples
    --------
    >>> center, directions = principal_directions(np.array([[0.0, 1], [0, 3], [0, 5]]), 1)
    >>> center.tolist(), np.abs(directions).tolist()
    ([0.0, 3.0], [[0.0], [1.0]])
    """
    center = vectors.mean(axis=0, dtype=np.float64)
    products = np.zeros((len(center), len(center)))
    for start in range(0, len(vectors), 4096):  # in float64, which the whole would double
        part = vectors[start : start + 4096] - center
        products += part.T @ part
    return center, np.linalg.eigh(products)[1][:, ::-1][:, :n_components]


def spread_rows(n_rows, n_most):
    """Return at most `n_most` positions, evenly spread.

    Examples
    --------
    >>> spread_rows(5, 2).tolist(), spread_rows(2, 5).tolist()
    ([0, 2], [0, 1])
    """
    return np.unique(np.arange(min(n_rows, n_most)) * n_rows // max(min(n_rows, n_most), 1))


def fitted(table, counts, targets):
    """Change a table so that means of tokens point to the teacher's vectors of the same texts.

    It is a ridge regression of the change of the table. Each text has unit length on both sides, so
    that only directions are compared. The penalty is that of a token's change relative to its
    length: otherwise frequent tokens, which the weights made short, would change most.

    Parameters
    ----------
    table : ndarray of shape (n_tokens, n_dims), float32
        Vectors of tokens.
    counts : scipy.sparse.csr_matrix of shape (n_rows, n_tokens)
        Tokens of each text.
    targets : ndarray of shape (n_rows, n_dims)
        The teacher's vectors.

    Returns
    -------
    table : ndarray of shape (n_tokens, n_dims), float32
    """
    sums = counts @ table
    lengths = np.linalg.norm(sums, axis=1)
    used = lengths > 0
    sizes = np.linalg.norm(table, axis=1)
    counts = sparse.diags(1 / lengths[used]) @ counts[used] @ sparse.diags(sizes)
    targets = targets[used]
    targets = targets / np.maximum(np.linalg.norm(targets, axis=1, keepdims=True), 1e-12)
    errors = (targets - sums[used] / lengths[used, None]).astype(np.float32)
    counts = counts.tocsr().astype(np.float32)
    return table + sizes[:, None] * (counts.T @ _ridge_weights(counts, errors))


def _ridge_weights(counts, errors):
    """Solve ``(counts @ counts.T + _RIDGE * I) @ weights = errors`` by conjugate gradients."""
    transposed = counts.T.tocsr()
    weights, rest, step = np.zeros_like(errors), errors.copy(), errors.copy()
    squares = np.einsum("ij,ij->j", rest, rest)
    for _ in range(_N_STEPS):
        product = counts @ (transposed @ step) + _RIDGE * step
        size = squares / np.maximum(np.einsum("ij,ij->j", step, product), 1e-20)
        weights += size * step
        rest -= size * product
        before, squares = squares, np.einsum("ij,ij->j", rest, rest)
        step = rest + squares / np.maximum(before, 1e-20) * step
    return weights


def rounded(table):
    """Return a table in int8, and the scale of each row.

    Examples
    --------
    >>> rounded(np.array([[1.27, -0.5], [0.0, 0.0]], dtype=np.float32))
    (array([[127, -50],
           [  0,   0]], dtype=int8), array([0.01, 0.  ], dtype=float32))
    """
    scales = (np.abs(table).max(axis=1) / 127).astype(np.float32)
    divisors = np.where(scales > 0, scales, 1)[:, None]
    return np.round(table / divisors).astype(np.int8), scales
