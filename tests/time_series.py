"""A fourth modality: series of numbers, embedded by a small convolutional network.

It shows what a modality supplies, and that nothing else has to change: all common checks run on it.
"""

from dataclasses import asdict, dataclass
from functools import partial
from numbers import Integral

import numpy as np
from sklearn.utils._param_validation import Interval
from torch import nn

from skembed.base._bad_rows import Problem
from skembed.base._rows import describe, row_key
from skembed.embedder._inputs import Prepared, Preprocessor
from skembed.embedder._neural import NeuralEmbedder
from skembed.models._backbone import Backbone
from skembed.models._modality import Architecture, Family, Modality


class SeriesNetwork(Backbone):
    """Two convolutions over time; their states, then the mean of the last one."""

    def __init__(self, n_hidden):
        super().__init__()
        self.first = nn.Conv1d(1, n_hidden, 5, padding=2)
        self.second = nn.Conv1d(n_hidden, n_hidden, 5, padding=2)

    def forward(self, inputs):
        """(n_rows, n_steps) -> three tensors of (n_rows, n_steps, n_hidden)."""
        first = self.first(inputs[:, None]).relu()
        second = self.second(first).relu()
        states = first.transpose(1, 2), second.transpose(1, 2)
        return (*states, states[-1].mean(dim=1, keepdim=True))


SERIES = Modality(
    reference="time_series:SERIES",
    kind="series",
    input_name="series",
    poolings={"mean": ("mean",), "max": ("max",), "mean_max": ("mean", "max")},
    families={"series-cnn": Family(n_layers=lambda config: 1)},
    networks={"series-cnn": "time_series:SeriesNetwork"},
    architectures={"series-cnn": Architecture({"model_type": "series-cnn", "n_hidden": 8}, {})},
    chunk=64,
    batch_elements=4096,
    manifest_types={"max_steps": int},
)


@dataclass(frozen=True)
class SeriesPreprocessor(Preprocessor):
    """Series are standardized and cut."""

    max_steps: int

    def _prepared(self, row, key):
        values = np.asarray(row, dtype=np.float64)[: self.max_steps]
        values = (values - values.mean()) / (values.std() + 1e-6)
        return Prepared([values.astype(np.float32)], [1], cut=len(row) > self.max_steps)

    def settings(self):
        return asdict(self)

    def probes(self):
        random = np.random.default_rng(0)
        return [random.normal(size=shape).astype(np.float32) for shape in ((2, 40), (1, 30))]

    def save(self, folder):
        return asdict(self)


def series_preprocessor(folder, max_steps):
    return SeriesPreprocessor(max_steps)


class SeriesEmbedder(NeuralEmbedder):
    """Embed series of numbers.

    Parameters
    ----------
    model : str, default="series-cnn"
        Architecture or folder.
    revision, pretrained : object
        As for the other embedders.
    max_steps : int, default=1000
        Values beyond this limit are ignored.
    pooling, layers, normalize, truncate_dim, precompute, training : object
        As for the other embedders.
    backend, precision, batch_size, device, n_threads, cache, bad_rows : object
        As well.
    random_state, verbose : object
        As well.

    References
    ----------
    .. [1] None: the network is random.

    Examples
    --------
    >>> SeriesEmbedder(random_state=0).fit_transform([np.arange(9.0), (1.0, 2.0)]).shape
    (2, 8)
    """

    _parameter_constraints = {
        **NeuralEmbedder._parameter_constraints,
        "pretrained": ["boolean"],
        "max_steps": [Interval(Integral, 1, None, closed="left")],
    }
    _problem = Problem("not a series", "not series")
    _modality = SERIES

    # fmt: off
    def __init__(
        self, model="series-cnn", *, revision=None, pretrained=False, max_steps=1000,
        pooling="auto", layers=-1, normalize="auto", truncate_dim=None, precompute=None,
        training=None, backend="auto", precision="float32", batch_size="auto", device="auto",
        n_threads=None,
        cache="memory", bad_rows="raise", random_state=None, verbose=0,
    ):
        self.model, self.revision, self.pretrained = model, revision, pretrained
        self.max_steps, self.pooling, self.layers = max_steps, pooling, layers
        self.normalize, self.truncate_dim, self.precompute = normalize, truncate_dim, precompute
        self.training = training
        self.backend, self.precision, self.batch_size = backend, precision, batch_size
        self.device, self.n_threads, self.cache = device, n_threads, cache
        self.bad_rows, self.random_state, self.verbose = bad_rows, random_state, verbose
    # fmt: on

    def _check_rows(self, rows):
        keys, bad = [None] * len(rows), {}
        for position, row in enumerate(rows):
            values = np.asarray(row if isinstance(row, (list, tuple, np.ndarray)) else [])
            if values.ndim == 1 and values.size and values.dtype.kind in "fiu":
                keys[position] = row_key(b"series", values.astype(np.float64).tobytes())
            else:
                bad[position] = describe(row)
        return keys, bad

    def _cut_message(self, n_cut, n_rows):
        return f"{n_cut} of {n_rows} series were cut at max_steps={self.max_steps}."

    def _preprocessor(self):
        return partial(series_preprocessor, max_steps=self.max_steps)
