"""NeuralEmbedder: unique rows -> cache -> missing rows -> prepared inputs -> batches -> network.

Names no modality.
"""

from __future__ import annotations

import os
from contextlib import closing
from dataclasses import fields
from functools import partial
from numbers import Integral
from typing import TYPE_CHECKING

import numpy as np
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import check_is_fitted

from skembed.base._digest import plain
from skembed.base._failures import naming
from skembed.base._on_access import taken
from skembed.base._progress import speaking
from skembed.base._rows import unique_keys
from skembed.base._seeds import seed_of
from skembed.base._threads import n_threads_for, same_shape_batches
from skembed.embedder._base import Block
from skembed.embedder._cache_parameter import CACHE_CONSTRAINTS, store_of
from skembed.embedder._computed_once import computed_once
from skembed.embedder._kept import KeptPieces, Windows
from skembed.embedder._learner import Learner
from skembed.models._modality import Modality
from skembed.network._export_folder import write_folder
from skembed.network._external import described_precision
from skembed.network._load import runner_of, with_export
from skembed.network._moved import found_again, relocated
from skembed.network._request import Request
from skembed.network._resolve import preprocessor_of, resolve
from skembed.runtime._backends import BACKENDS
from skembed.runtime._precisions import PRECISIONS

if TYPE_CHECKING:
    from pathlib import Path
    from typing import Any, Literal

    from typing_extensions import Self

    from skembed.base._typing import FilePath, Rows


# On a GPU, chunks and batches are larger by this factor, which keeps it busy.
_GPU_SCALE = 16


def _gpu_scale(network):
    return _GPU_SCALE if network.device.startswith("cuda") else 1


class NeuralEmbedder(Learner):
    """Base of the embedders that run a network.

    A subclass supplies its ``_modality``, ``_check_rows``, ``_cut_message`` and
    ``_preprocessor``.
    """

    _parameter_constraints: dict = {
        **Learner._parameter_constraints,
        "model": [str, os.PathLike],
        "revision": [str, None],
        "pooling": [str, list, tuple],
        "layers": [Integral, str, list, tuple],
        "normalize": ["boolean", StrOptions({"auto"})],
        "truncate_dim": [Interval(Integral, 1, None, closed="left"), None],
        "precompute": [dict, None],
        "backend": [StrOptions({"auto", *BACKENDS})],
        "precision": [StrOptions({*PRECISIONS})],
        "batch_size": [Interval(Integral, 1, None, closed="left"), StrOptions({"auto"})],
        "device": [str],
        "n_threads": [Interval(Integral, 1, None, closed="left"), None],
        "cache": CACHE_CONSTRAINTS,
        "random_state": ["random_state"],
    }
    fingerprint_: str
    _modality: Modality
    pretrained = True  # a parameter of embedders whose networks may have random weights

    def __init_subclass__(cls, **settings):
        super().__init_subclass__(**settings)
        if "_modality" in vars(cls):
            cls._kind = cls._modality.kind

    def _preprocessor(self):
        """Return a function that takes the model's folder and returns a `Preprocessor`.

        It holds the parameters that matter, and not the estimator.
        """
        raise NotImplementedError

    def _seed(self):
        """Return the seed of random weights; None if `model` is pretrained."""
        if self.pretrained:
            return None
        return seed_of(self.random_state)

    def _request(self):
        """Return the parameters as plain data, in Python's own types."""
        given = {name: plain(value) for name, value in self.get_params(deep=False).items()}
        plain_self = type(self)(**given)
        names = {field.name for field in fields(Request)} & set(given)
        return Request(
            **{name: given[name] for name in names},
            estimator=type(self).__name__,
            seed=plain_self._seed(),
            make_preprocessor=plain_self._preprocessor(),
        )

    def _fit_network(self, rows, learn=None):
        """Find the network; `learn` takes a request and a sample, returns `Learned` and history."""

        def sample(preprocessor, n_rows):
            some = rows[:: max(1, len(rows) // n_rows)][:n_rows]
            keys, _ = self._check_rows(some)
            prepared, _ = preprocessor.prepare(some, keys, n_threads_for(self.n_threads))
            return [window for row in prepared for window in row.inputs[:1]]

        vars(self).pop("training_history_", None)
        with speaking(self._speaker()):
            with naming(self.model):
                request, learned = self._request(), None
            if learn is not None:
                learned, self.training_history_ = learn(request, sample)
            with naming(self.model):
                self._set_network(resolve(request, self._modality, sample, learned))

    def _set_network(self, network):
        self._network = network
        self._n_dims = network.preprocessor.n_row_dims(network.n_dims)
        self.fingerprint_ = network.fingerprint

    def _decode_errors(self, rows, keys, *, fitted):
        if fitted:
            preprocessor = self._found().preprocessor
        else:
            preprocessor = preprocessor_of(self._request(), self._modality)
        faults, size = {}, self._modality.chunk
        for start in range(0, len(rows), size):
            part = slice(start, start + size)
            _, wrong = preprocessor.prepare(rows[part], keys[part], n_threads_for(self.n_threads))
            faults.update((start + i, reason) for i, reason in wrong.items())
        return faults

    # -- the path from unique rows to vectors -----------------------------------------------------

    def _found(self):
        """Return the fitted network with the current paths of its files."""
        with speaking(self._speaker()):
            return found_again(self._network, self.model)

    def _ready(self, network):
        """Return the network with its export, which is made if it is not on this machine."""
        with speaking(self._speaker()):
            return with_export(network)

    def _store(self):
        return store_of(self.cache)

    def _embed(self, rows, keys, bad, *, progress=False):
        """Yield blocks of vectors: from the cache, computed, or computed by other processes."""
        network = self._ready(self._found())
        for positions, windows in self._windows(network, rows, keys, bad, progress=progress):
            yield self._block(network, positions, windows)

    def _windows(self, network, rows, keys, bad, *, progress=False):
        """Yield positions of rows and their `Windows`, in chunks."""
        n_threads = n_threads_for(self.n_threads)

        def preparation(positions):
            # Rows are taken here, on the caller's thread: their container may belong to it.
            some_rows, some_keys = [rows[i] for i in positions], [keys[i] for i in positions]
            return partial(network.preprocessor.prepare, some_rows, some_keys, n_threads)

        def compute(positions, prepared):
            return self._compute(network, positions, prepared, bad)

        chunks = computed_once(
            KeptPieces(self._store(), network),
            keys,
            self._modality.chunk * _gpu_scale(network),
            preparation=preparation,
            compute=compute,
        )
        with self._progress(len(rows), unit="row", shown=progress) as bar, closing(chunks):
            for positions, windows, n_done in chunks:
                yield positions, windows
                bar.update(n_done)

    def _compute(self, network, positions, prepared, bad):
        """Compute the rows at `positions`; add those that fail to `bad`.

        Returns which of them are good, as indices, and their `Windows`.
        """
        prepared, wrong = prepared
        bad.update((int(positions[i]), reason) for i, reason in wrong.items())
        good = [i for i in range(len(positions)) if i not in wrong]
        if bad and self.bad_rows == "raise":
            good = []  # the error is certain: look for the rest of the bad rows only
        return np.array(good, dtype=np.intp), self._run(network, [prepared[i] for i in good])

    def _run(self, network, prepared):
        """Turn prepared rows into `Windows`."""
        inputs = [window for row in prepared for window in row.inputs]
        # A window with nothing to pool is not run. Its vector is zeros for every pooling.
        filled = [i for i, window in enumerate(inputs) if window.size > network.head.skip]
        vectors = [np.zeros((len(inputs), n_dims), dtype=np.float32) for n_dims in network.widths]
        for positions, outputs in self._outputs(network, [inputs[i] for i in filled]):
            positions = [filled[i] for i in positions]
            for part, output in zip(vectors, outputs, strict=True):
                part[positions] = output
        return Windows(
            vectors,
            np.array([len(row.inputs) for row in prepared], dtype=np.intp),
            np.array([weight for row in prepared for weight in row.weights], dtype=np.float64),
            np.array([row.cut for row in prepared], dtype=bool),
        )

    def _block(self, network, rows, windows):
        """Finish the vectors of rows: join pieces, truncate, normalize, join a row's windows."""
        finished = network.finished(windows.vectors)
        n_dims = network.preprocessor.n_row_dims(network.n_dims)
        same_length = n_dims == network.n_dims
        if same_length and (windows.counts == 1).all():
            return Block(rows, finished, windows.cut)
        vectors = np.zeros((len(rows), n_dims), dtype=np.float32)
        start = 0
        for i, n_windows in enumerate(windows.counts):
            part = slice(start, start + n_windows)
            start += n_windows
            if same_length and n_windows == 1:
                vectors[i] = finished[part][0]
            elif n_windows:
                joined = network.preprocessor.joined(finished[part], windows.weights[part])
                length = np.linalg.norm(joined) if network.head.unit_length else 1.0
                vectors[i] = joined / max(length, 1e-12)
        return Block(rows, vectors, windows.cut)

    def _outputs(self, network, inputs):
        """Yield the positions of a batch's inputs, and the vectors of each piece for them."""
        if inputs:
            n_elements = self._modality.batch_elements * _gpu_scale(network)
            grouped = same_shape_batches(inputs, self.batch_size, n_elements)
            stacked = [np.stack([inputs[i] for i in group]) for group in grouped]
            outputs = self._run_batches(network, stacked)
            yield from zip(grouped, outputs, strict=True)

    def _run_batches(self, network, stacked):
        """Yield the network's outputs for batches; errors of its library name the model."""
        with naming(network.path):
            with speaking(self._speaker()):
                runner = runner_of(network)
            yield from runner.run(stacked, n_threads_for(self.n_threads))

    # -- beyond scikit-learn ----------------------------------------------------------------------

    def warm(self, X: Rows, y: Any = None) -> Self:
        """Fit, then compute and store the vectors of X that are missing.

        A later search only reads them. A progress bar is shown.

        Parameters
        ----------
        X : sequence, array, column or frame of rows
            The rows.
        y : array-like of shape (n_rows,) or (n_rows, n_outputs), default=None
            As for :meth:`fit`.

        Returns
        -------
        object
            The embedder, fitted.

        Raises
        ------
        BadRowsError
            If rows cannot be embedded and ``bad_rows="raise"``.
        ValueError
            If ``cache=None``.
        """
        if self.cache is None:
            raise ValueError(f"{type(self).__name__}.warm() fills a cache, but cache=None.")
        columns = self.fit(X, y)._columns(X, reset=False)
        keys, _ = self._checked(columns)
        first, _ = unique_keys(keys)
        rows, bad = taken(columns.rows, first), dict[int, str]()
        for _ in self._embed(rows, [keys[i] for i in first], bad, progress=True):
            pass
        if bad and self.bad_rows == "raise":
            bad = {int(first[i]): what for i, what in bad.items()}
            raise self._bad_rows_error(columns, {}, bad)
        return self

    def show_runtime(self) -> dict[str, Any]:
        """Describe the backend, device and precision of the fitted network.

        Returns
        -------
        runtime : dict
            ``model``, ``path``, ``backend``, ``device``, ``precision``, ``library``,
            ``n_threads``, ``n_dims`` and ``fingerprint``. Also
            ``max_difference`` and ``min_cosine``: of a network that was exported from torch, the
            difference from torch; of a built graph in int8, the difference from float32. Of an
            ONNX graph made elsewhere, the precision is "as in the graph".

        Raises
        ------
        NotFittedError
            If the embedder is not fitted.
        """
        check_is_fitted(self)
        network = self._ready(self._found())
        names = ("model", "path", "backend", "device", "precision", "n_dims", "fingerprint")
        runtime = {name: getattr(network, name) for name in names}
        runtime["n_threads"] = n_threads_for(self.n_threads)
        runtime["precision"] = described_precision(network)
        report = network.report or {}
        runtime |= {
            name: report[name] for name in ("max_difference", "min_cosine") if name in report
        }
        return runtime | runner_of(network).describe()

    def relocate(self, folder: FilePath) -> Self:
        """Point a fitted embedder to the place where its model's folder is now.

        A fitted embedder records the path of its model and reads the files again in every process.
        After the folder was moved or renamed, call this method; no row has to be embedded again.

        Parameters
        ----------
        folder : str or path
            The folder or ``.onnx`` file, or a hub id. It must hold the same network: the files are
            compared with the digests that `fit` recorded. It becomes the parameter `model`.

        Returns
        -------
        object
            The embedder.

        Raises
        ------
        TypeError
            If `folder` is neither a str nor a path.
        ModelNotFoundError, ModelFormatError
            If there is no model in that place.
        NetworkChangedError
            If it is another one.
        NotFittedError
            If the embedder is not fitted.
        """
        check_is_fitted(self)
        if not isinstance(folder, (str, os.PathLike)):
            raise TypeError(f"folder must be a str or a path. Got {folder!r} instead.")
        with naming(folder):
            self._network = relocated(self._network, folder)
        self.model = folder
        return self

    def export(self, folder: FilePath, *, format: Literal["onnx", "transformers"] = "onnx") -> Path:
        """Write the fitted network, with what it learned, to a folder.

        To load it, pass the folder as ``model``.

        Parameters
        ----------
        folder : str or path
            A folder that does not exist or is empty.
        format : {"onnx", "transformers"}, default="onnx"
            "onnx": ``model.onnx``, the files of the preprocessor and ``manifest.json``, which run
            without torch and transformers. "transformers": the weights in float32 as
            ``model.safetensors``, ``config.json`` and the files of the preprocessor, for
            transformers' ``from_pretrained``, for Sentence Transformers, and for training further.
            For texts, pooling and normalization are stored as Sentence Transformers' modules. For
            images and sounds, give parameters such as `pooling` again. skembed's own networks, such
            as "cnn-small", are loaded by skembed only.

        Returns
        -------
        folder : pathlib.Path
            The folder.

        Raises
        ------
        FileExistsError
            If the folder has files in it.
        ExportError
            If the network is not run by ONNX Runtime, or files of transformers cannot state a
            parameter; the message names it.
        NotFittedError
            If the embedder is not fitted.
        """
        check_is_fitted(self)
        with speaking(self._speaker()):
            return write_folder(self._found(), folder, type(self).__name__, format)
