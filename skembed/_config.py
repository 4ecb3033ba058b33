"""Settings of the process: cache folder, offline, threads, progress.

Imports nothing of skembed. Settings travel with pickled estimators (see `_embedder`). A worker
process applies them, a main process never does.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import sys
import threading
from numbers import Integral
from pathlib import Path

TYPE_CHECKING = False  # true for type checkers; `typing`'s own would cost an import
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any, TypedDict

    from typing_extensions import Unpack

    class Config(TypedDict):
        cache_folder: str
        offline: bool
        n_threads: int | None
        progress: bool

    class Settings(TypedDict, total=False):
        cache_folder: str | os.PathLike[str] | None
        offline: bool | None
        n_threads: int | None
        progress: bool


# Libraries read these when they are imported, and send usage data unless they are set.
_NO_TELEMETRY = ("ORT_DISABLE_TELEMETRY", "HF_HUB_DISABLE_TELEMETRY")


def _switch_telemetry_off():
    """Make no unasked network call. What the user has set is left as it is."""
    if "onnxruntime" in sys.modules and "ORT_DISABLE_TELEMETRY" not in os.environ:
        # It was imported before skembed, so the variable comes too late; this ends its events.
        sys.modules["onnxruntime"].disable_telemetry_events()
    for name in _NO_TELEMETRY:
        os.environ.setdefault(name, "1")


_switch_telemetry_off()

_DEFAULTS = {"cache_folder": None, "offline": None, "n_threads": None, "progress": False}
_shared = dict(_DEFAULTS)
# What is run as a worker of Spark, of Dask without a nanny (nannies use multiprocessing), of Ray.
_WORKER_MODULES = {"pyspark.daemon", "pyspark.worker"}
_WORKER_MODULES |= {"distributed.cli.dask_worker", "distributed.cli.dask_spec"}
_WORKER_PROGRAMS = {"dask-worker", "default_worker.py"}
_set_here = set()  # names of the settings that this process set itself
_local = threading.local()


def _active():
    return getattr(_local, "config", _shared)


def _checked(settings):
    """Return settings that have been checked, each in its final type."""
    checked = {}
    for name, value in settings.items():
        if name == "cache_folder" and value is not None:
            folder = os.fsdecode(value)
            if not folder or "\0" in folder:
                raise ValueError(f"cache_folder must be a path or None, got {value!r}.")
            value = os.path.abspath(os.path.expanduser(folder))
        elif name == "n_threads" and value is not None:
            if isinstance(value, bool) or not isinstance(value, Integral) or value < 1:
                raise ValueError(f"n_threads must be a positive int or None, got {value!r}.")
            value = int(value)
        elif name == "offline" and value is not None and not isinstance(value, bool):
            raise ValueError(f"offline must be a bool or None, got {value!r}.")
        elif name == "progress" and not isinstance(value, bool):
            raise ValueError(f"progress must be a bool, got {value!r}.")
        checked[name] = value
    return checked


def get_config() -> Config:
    """Return the settings in force.

    Returns
    -------
    config : dict
        A copy, with the keys of :func:`set_config`; unset values are filled in from the
        environment: ``cache_folder`` from ``SKEMBED_CACHE`` (else ``skembed`` under
        ``XDG_CACHE_HOME`` or ``~/.cache``), ``offline`` from ``HF_HUB_OFFLINE``.

    Examples
    --------
    >>> import skembed
    >>> skembed.get_config()["progress"]
    False
    """
    config: Any = dict(_active())
    if config["cache_folder"] is None:
        folder = os.environ.get("SKEMBED_CACHE")
        if not folder:
            base = os.environ.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser()
            folder = os.path.join(base, "skembed")
        config["cache_folder"] = os.path.abspath(os.path.expanduser(folder))
    if config["offline"] is None:
        truths = {"1", "ON", "YES", "TRUE"}
        config["offline"] = os.environ.get("HF_HUB_OFFLINE", "").upper() in truths
    return config


_UNSET: Any = object()


def set_config(
    *,
    cache_folder: str | os.PathLike[str] | None = _UNSET,
    offline: bool | None = _UNSET,
    n_threads: int | None = _UNSET,
    progress: bool = _UNSET,
) -> None:
    """Change settings of this process; those not given stay as they are.

    The settings travel with pickled estimators. A worker process that unpickles one applies those
    that it has not set itself. Workers are the processes that multiprocessing and joblib start, and
    the workers of Dask, Ray and Spark. Unpickling changes no setting of any other process.

    Parameters
    ----------
    cache_folder : str, path or None
        Folder for exported networks; once it is set here, embedders with the default
        ``cache="memory"`` keep their vectors in it, too, shared by processes and later runs. None:
        the environment's, for exported networks alone.
    offline : bool or None
        True: the hub is never asked. None: as ``HF_HUB_OFFLINE`` says.
    n_threads : int or None
        Threads that compute vectors, for estimators whose ``n_threads`` is None.
        None: the cores that joblib reports.
    progress : bool
        True: long work shows a progress bar, as if ``verbose=1``.

    Raises
    ------
    ValueError
        If a value is of the wrong kind.

    See Also
    --------
    config_context : The same for a block of code.
    get_config : The settings in force.

    Examples
    --------
    >>> import skembed
    >>> skembed.set_config(n_threads=2)
    >>> skembed.get_config()["n_threads"]
    2
    >>> skembed.set_config(n_threads=None)
    """
    given = locals()
    settings = _checked({k: given[k] for k in _DEFAULTS if given[k] is not _UNSET})
    _active().update(settings)
    if _active() is _shared:
        _set_here.update(settings)


@contextlib.contextmanager
def config_context(**settings: Unpack[Settings]) -> Iterator[None]:
    """Change settings inside a ``with`` block, in this thread alone.

    The threads and processes of a search with ``n_jobs`` do not see them: use :func:`set_config`.

    Parameters
    ----------
    **settings : dict
        As for :func:`set_config`.

    Yields
    ------
    None

    Raises
    ------
    TypeError
        If a setting does not exist.
    ValueError
        If a value is of the wrong kind.

    Examples
    --------
    >>> import skembed
    >>> with skembed.config_context(offline=True):
    ...     skembed.get_config()["offline"]
    True
    """
    unknown = sorted(set(settings) - set(_DEFAULTS))
    if unknown:
        raise TypeError(f"unknown settings {unknown}; the settings are {sorted(_DEFAULTS)}")
    outer = getattr(_local, "config", None)
    _local.config = {**_active(), **_checked(settings)}
    try:
        yield
    finally:
        if outer is None:
            del _local.config
        else:
            _local.config = outer


def cache_folder_was_set():
    """Tell whether somebody chose a cache folder with `set_config` or `config_context`."""
    return _active()["cache_folder"] is not None


def own_settings():
    """Return the settings of this process, for a worker process to apply."""
    return dict(_shared)


def apply_settings(settings):
    """Apply the settings of the process that sent an estimator, if this one is a worker.

    Parameters
    ----------
    settings : dict
        As returned by `own_settings`, perhaps of another version of skembed.
    """
    if _is_worker():
        wanted = {k: v for k, v in settings.items() if k in _DEFAULTS and k not in _set_here}
        _shared.update(_checked(wanted))


def _is_worker():
    """Tell whether this process does the work of another one."""
    # Not `parent_process()`, which is None in joblib's workers, and while a spawned process
    # unpickles its arguments.
    if multiprocessing.current_process().name != "MainProcess":
        return True
    main = sys.modules.get("__main__")
    module = getattr(getattr(main, "__spec__", None), "name", None)
    program = os.path.basename(getattr(main, "__file__", None) or "")
    by_subcommand = program == "dask" and sys.argv[1:2] == ["worker"]
    return module in _WORKER_MODULES or program in _WORKER_PROGRAMS or by_subcommand


def _after_fork_in_child():
    _set_here.clear()  # the parent set them


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
