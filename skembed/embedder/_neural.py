"""NeuralEmbedder: unique rows -> cache -> missing rows -> prepared inputs -> batches -> network.

Imports the layers below (`_network`, `runtime`, `cache`, `_embedder`); knows no modality.
"""

import copy
import json
import os
import shutil
from collections import deque
from numbers import Integral
from pathlib import Path
from typing import NamedTuple

import numpy as np
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import check_is_fitted

from skembed._version import __version__
from skembed.base._digest import plain
from skembed.base._failures import naming
from skembed.base._files import UnreadableRowError
from skembed.base._on_access import taken
from skembed.base._rows import unique_keys
from skembed.base._threads import Ahead, batches, in_threads, n_threads_for
from skembed.embedder._base import Block, Embedder
from skembed.embedder._cache_parameter import CACHE_CONSTRAINTS, store_of
from skembed.embedder._kept import KeptPieces, Windows
from skembed.exceptions import ExportError
from skembed.network._resolve import (
    FORMAT,
    find_network,
    found_again,
    front_of,
    graph_of,
    relocated,
    runner_of,
    with_export,
)
from skembed.runtime._export import write_standalone

# A GPU is kept busy by that many times the rows of a processor's chunk and batch.
_GPU_SHARE = 16


class Prepared(NamedTuple):
    """A row made ready for the network: one input, or several (windows) to be averaged."""

    inputs: list  # of ndarray
    weights: list  # one a window
    cut: bool = False  # longer than can be embedded


def or_reason(function, *arguments):
    """Call a function that reads a row; return its answer, or why the row cannot be read."""
    try:
        return function(*arguments)
    except UnreadableRowError as error:
        return str(error)


class Front:
    """How rows become network inputs: base of frozen dataclasses that fit into a pickle."""

    libraries: tuple = ()  # that compute it, by the names of their distributions
    stem = (
        None  # what of it is put into the graph, before the backbone: a dataclass with `module()`
    )
    fixed_shape = None  # sizes that an export is made for; None: inputs may have any
    n_prompt_tokens = 0

    @property
    def files(self):
        """Its files, as pairs of path and SHA-256."""
        return ()

    def prepare(self, rows, keys, n_threads):
        """Return a list of `Prepared`, and what is wrong with bad rows, by their positions.

        Rows are read on threads, one by one; a front that does not read them has its own way.
        """
        items = list(zip(rows, keys, strict=True))
        answers = list(in_threads(lambda item: or_reason(self._prepared, *item), items, n_threads))
        wrong = {i: answer for i, answer in enumerate(answers) if isinstance(answer, str)}
        return [Prepared([], []) if i in wrong else a for i, a in enumerate(answers)], wrong

    def _prepared(self, row, key):
        """Return the `Prepared` of a row."""
        raise NotImplementedError

    def settings(self):
        """Return what can change a vector."""
        raise NotImplementedError

    def input_settings(self):
        """Return what can change the vector of a window, before a row's windows are joined."""
        return self.settings()

    def probes(self):
        """Return inputs to check an export with, of different sizes where they may differ."""
        raise NotImplementedError

    def save(self, folder):
        """Write its files into an exported folder; return the settings beside them."""
        raise NotImplementedError

    def moved(self, here):
        """Return the same, with its files where ``here(path)`` says."""
        return self

    def n_row_dims(self, n_dims):
        """Return the length of a row's vector, whose windows' are `n_dims` long."""
        return n_dims

    def joined(self, vectors, weights):
        """Make one vector of those of a row's windows, (n_windows, n_dims)."""
        return np.average(vectors, axis=0, weights=weights)


class _Claimed(NamedTuple):
    """A chunk of rows that this process claimed, and what is being made of them."""

    claims: list  # (fingerprint, keys), to be let go
    rows: np.ndarray  # positions of those that were granted
    missing: np.ndarray  # (n_pieces, n_rows) bool, of these rows
    prepared: object  # a function that returns what the network's front made of them


def _unwritten(claims, keys):
    """Return claims without those that ended when `keys` were written."""
    written = set(keys)
    rest = [(fingerprint, [k for k in part if k not in written]) for fingerprint, part in claims]
    return [(fingerprint, part) for fingerprint, part in rest if part]


def _share(network):
    return _GPU_SHARE if network.device.startswith("cuda") else 1


class NeuralEmbedder(Embedder):
    """Base of the embedders that run a network.

    A subclass supplies what is special to its modality: ``_check_rows``, ``_cut_message``,
    ``_input_name``, ``_poolings`` and ``_front``; where they matter ``_unpacked``,
    ``_n_layers``, ``_n_hidden``, ``_chunk`` and ``_batch_elements``.
    """

    _parameter_constraints: dict = {
        **Embedder._parameter_constraints,
        "model": [str, os.PathLike],
        "revision": [str, None],
        "pooling": [str, list, tuple],
        "layers": [Integral, str, list, tuple],
        "normalize": ["boolean", StrOptions({"auto"})],
        "truncate_dim": [Interval(Integral, 1, None, closed="left"), None],
        "precompute": [dict, None],
        "backend": [StrOptions({"auto", "onnx", "torch"})],
        "precision": [StrOptions({"float32", "bfloat16", "float16", "int8"})],
        "batch_size": [Interval(Integral, 1, None, closed="left"), StrOptions({"auto"})],
        "device": [str],
        "n_threads": [Interval(Integral, 1, None, closed="left"), None],
        "cache": CACHE_CONSTRAINTS,
        "random_state": ["random_state"],
    }
    _input_name = ""
    # Values of the parameter `pooling` -> names in `models._modules.POOLINGS`, to concatenate.
    _poolings: dict = {}
    _may_convolve = True  # and then be calibrated for int8
    _auto_pooling: tuple = ("mean",)  # of a model that does not say
    # Whether the last of the backbone's states is not a layer's but the model's own pooled vector.
    _pools_itself = True
    pretrained = True  # a parameter where networks can be built with random weights
    # What to do without pretrained weights, for the message about a model that was not found.
    _untrained_remedy = ""
    # Rows looked up, prepared and claimed at a time: memory stays flat however many rows there
    # are, processes that embed the same rows share them out in parts of this size, and the next
    # part is prepared while one is computed.
    _chunk = 256
    # Elements (tokens, pixels) a batch: enough rows of one shape to keep a matrix product busy,
    # few enough that the activations stay in the processor's cache.
    _batch_elements = 512

    def _front(self, folder):
        """Return the `Front` that the parameters and the model's folder ask for."""
        raise NotImplementedError

    def _seed(self):
        """Return what the weights are drawn by; None: `model` is pretrained."""
        if self.pretrained:
            return None
        if isinstance(self.random_state, Integral):
            return int(self.random_state)
        return int(check_random_state(self.random_state).randint(2**31 - 1))

    def _n_layers(self, folder):
        """Return how many layers come after the embedding layer; None: not known."""
        return folder.n_layers

    def _n_hidden(self, folder):
        """Return the length of a pooled state; None: only the network itself tells."""
        return None

    def _fit_rows(self, rows, y):
        with naming(self.model):
            self._network = find_network(self._plain(), rows)
        n_dims = self._network.n_dims
        if self.truncate_dim is not None and self.truncate_dim > n_dims:
            raise ValueError(
                f"The 'truncate_dim' parameter of {type(self).__name__} must be at most {n_dims}, "
                f"the length of the model's vectors. Got {self.truncate_dim} instead."
            )
        self._n_dims = self._network.front.n_row_dims(n_dims)
        self.fingerprint_ = self._network.fingerprint

    def _plain(self):
        """Return a copy whose parameters have Python's own types in place of NumPy's."""
        embedder = copy.copy(self)
        for name, value in self.get_params(deep=False).items():
            setattr(embedder, name, plain(value))
        return embedder

    def _late_faults(self, rows, keys, *, fitted):
        front, faults = self._found().front if fitted else front_of(self._plain()), {}
        for start in range(0, len(rows), self._chunk):
            part = slice(start, start + self._chunk)
            _, wrong = front.prepare(rows[part], keys[part], n_threads_for(self.n_threads))
            faults.update((start + i, reason) for i, reason in wrong.items())
        return faults

    # -- the path from unique rows to vectors -----------------------------------------------------

    def _found(self):
        """Return the fitted network with its files where they are now."""
        return found_again(self._network, self.model)

    def _store(self):
        return store_of(self.cache)

    def _embed(self, rows, keys, bad, *, progress=False):
        """Yield blocks of vectors: those in the cache, those computed here, those by others.

        A chunk's rows are prepared on a thread of their own while the chunk before it is computed.
        """
        network = with_export(self._found())
        kept = KeptPieces(self._store(), network)
        size = self._chunk * _share(network)
        waiting = deque(np.split(np.arange(len(rows)), range(size, len(rows), size)))
        claimed, held_elsewhere = deque(), []
        with self._progress(len(rows), unit="row", shown=progress) as bar, Ahead() as ahead:
            try:
                while waiting or claimed:
                    if waiting and len(claimed) < 2:
                        chunk = waiting.popleft()
                        hits, windows, missing, damaged = kept.read([keys[i] for i in chunk])
                        yield self._block(network, chunk[hits], windows)
                        bar.update(int(hits.sum()))
                        chunk, missing, damaged = chunk[~hits], missing[:, ~hits], damaged[~hits]
                        claims, mine, held = kept.claim([keys[i] for i in chunk], missing, damaged)
                        held_elsewhere += [(fingerprint, chunk[part]) for fingerprint, part in held]
                        prepared = self._prepared_ahead(
                            *(ahead, network, rows, keys, chunk[mine]),
                            now=not waiting and not claimed,
                        )
                        claimed.append(_Claimed(claims, chunk[mine], missing[:, mine], prepared))
                        continue
                    first = claimed[0]
                    good, windows = self._compute(network, first.rows, first.prepared(), bad)
                    done = [keys[i] for i in first.rows[good]]
                    kept.write(done, windows, first.missing[:, good])
                    kept.release(_unwritten(claimed.popleft().claims, done))
                    yield self._block(network, first.rows[good], windows)
                    bar.update(len(first.rows))
                    if not waiting and not claimed and held_elsewhere:
                        fingerprint, chunk = held_elsewhere[0]
                        kept.wait(fingerprint, [keys[i] for i in chunk])
                        waiting.extend(chunk for _, chunk in held_elsewhere)
                        held_elsewhere = []
            finally:
                for chunk in claimed:
                    kept.release(chunk.claims)

    def _prepared_ahead(self, ahead, network, rows, keys, positions, *, now):
        return ahead.call(
            network.front.prepare,
            [rows[i] for i in positions],
            [keys[i] for i in positions],
            n_threads_for(self.n_threads),
            now=now,
        )

    def _compute(self, network, positions, prepared, bad):
        """Compute the rows at `positions`; those that turn out bad are entered in `bad`.

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
        # A window without anything to pool is not run: its vector is zeros, whatever the pooling.
        filled = [i for i, window in enumerate(inputs) if window.size > network.head.skip]
        vectors = [np.zeros((len(inputs), n_dims), dtype=np.float32) for n_dims in network.widths]
        for positions, answers in self._answers(network, [inputs[i] for i in filled]):
            positions = [filled[i] for i in positions]
            for part, answer in zip(vectors, answers, strict=True):
                part[positions] = answer
        return Windows(
            vectors,
            np.array([len(row.inputs) for row in prepared], dtype=np.intp),
            np.array([weight for row in prepared for weight in row.weights], dtype=np.float64),
            np.array([row.cut for row in prepared], dtype=bool),
        )

    def _block(self, network, rows, windows):
        """Finish the vectors of rows: join pieces, truncate, normalize, join a row's windows."""
        finished = network.finished(windows.vectors)
        n_dims = network.front.n_row_dims(network.n_dims)
        alike = n_dims == network.n_dims
        if alike and (windows.counts == 1).all():
            return Block(rows, finished, windows.cut)
        vectors = np.zeros((len(rows), n_dims), dtype=np.float32)
        start = 0
        for i, n_windows in enumerate(windows.counts):
            part = slice(start, start + n_windows)
            start += n_windows
            if alike and n_windows == 1:
                vectors[i] = finished[part][0]
            elif n_windows:
                joined = network.front.joined(finished[part], windows.weights[part])
                length = np.linalg.norm(joined) if network.head.unit_length else 1.0
                vectors[i] = joined / max(length, 1e-12)
        return Block(rows, vectors, windows.cut)

    def _answers(self, network, inputs):
        """Yield the positions of a batch's inputs, and the vectors of each piece for them."""
        if inputs:
            n_elements = self._batch_elements * _share(network)
            grouped = batches(inputs, self.batch_size, n_elements)
            stacked = [np.stack([inputs[i] for i in group]) for group in grouped]
            answers = self._computed(network, stacked)
            for group, answer in zip(grouped, answers, strict=True):
                yield group, answer if isinstance(answer, tuple) else (answer,)

    def _computed(self, network, stacked):
        """Yield the network's answers to batches; errors of its library name the model."""
        with naming(network.path):
            yield from runner_of(network).run(stacked, n_threads_for(self.n_threads))

    # -- beyond scikit-learn ----------------------------------------------------------------------

    def warm(self, X):
        """Compute and store the vectors that are missing, so that a search only reads.

        The embedder is fitted, so that what is stored is what its parameters say now. A progress
        bar is shown.

        Parameters
        ----------
        X : sequence, array, column or frame of rows
            The rows.

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
        columns = self.fit(X)._columns(X, reset=False)
        keys, _ = self._checked(columns)
        first, _ = unique_keys(keys)
        rows, bad = taken(columns.rows, first), {}
        for _ in self._embed(rows, [keys[i] for i in first], bad, progress=True):
            pass
        if bad and self.bad_rows == "raise":
            bad = {int(first[i]): what for i, what in bad.items()}
            raise self._bad_rows_error(columns, {}, bad)
        return self

    def show_runtime(self):
        """Say what runs the fitted network.

        Returns
        -------
        runtime : dict
            ``model``, ``path``, ``backend``, ``device``, ``precision``, ``library``,
            ``n_threads``, ``n_dims``, ``fingerprint`` and, for an exported network, by how much
            it differs from torch: ``max_difference`` and ``min_cosine``.

        Raises
        ------
        NotFittedError
            If the embedder is not fitted.
        """
        check_is_fitted(self)
        network = with_export(self._found())
        names = ("model", "path", "backend", "device", "precision", "n_dims", "fingerprint")
        runtime = {name: getattr(network, name) for name in names}
        runtime["n_threads"] = n_threads_for(self.n_threads)
        parity = ("max_difference", "min_cosine")
        runtime |= {name: network.report[name] for name in parity if network.report}
        return runtime | runner_of(network).describe()

    def relocate(self, folder):
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

    def export(self, folder):
        """Write the fitted network to a folder that runs without torch and transformers.

        Parameters
        ----------
        folder : str or path
            Must not exist yet, or be empty. It receives ``model.onnx``, the files of the front
            end and ``manifest.json``; give it as ``model`` to load it.

        Returns
        -------
        folder : pathlib.Path
            The folder.

        Raises
        ------
        FileExistsError
            If the folder has files in it.
        ExportError
            If the network is not run by ONNX Runtime.
        NotFittedError
            If the embedder is not fitted.
        """
        check_is_fitted(self)
        network = with_export(self._found())
        if network.backend != "onnx":
            raise ExportError(
                f"export() writes the graph that ONNX Runtime runs, and this {type(self).__name__} "
                "runs on torch. Fit it with backend='onnx'."
            )
        folder = Path(folder).expanduser().absolute()
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise FileExistsError(f"{folder} is not an empty folder.")
        aside = folder.with_name(f".{folder.name}.{os.getpid()}")
        aside.mkdir(parents=True)
        try:
            write_standalone(graph_of(network), aside / "model.onnx")
            manifest = {
                "skembed": __version__,
                "format": FORMAT,
                "estimator": type(self).__name__,
                "model": network.model,
                "front": network.front.save(aside),
                "head": network.head.settings(),
                "precision": network.precision,
                "n_dims": network.n_dims,
                "parity": network.report,
            }
            text = json.dumps(manifest, indent=1) + "\n"
            (aside / "manifest.json").write_text(text, encoding="utf-8")
            if folder.exists():
                folder.rmdir()
            aside.rename(folder)
        finally:
            shutil.rmtree(aside, ignore_errors=True)
        return folder
