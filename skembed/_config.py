"""Settings of the process: cache folder, offline, threads, progress.

Pickled estimators contain the settings (see `embedder._base`). A worker process that unpickles one
applies them, a main process does not. Imports nothing of skembed.
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


# Libraries that are imported later send usage data unless these variables are set.
_NO_TELEMETRY = ("ORT_DISABLE_TELEMETRY", "HF_HUB_DISABLE_TELEMETRY")


def _switch_telemetry_off():
    """Disable usage data of ONNX Runtime and huggingface-hub, unless the user has set it."""
    if "onnxruntime" in sys.modules and "ORT_DISABLE_TELEMETRY" not in os.environ:
        # It was imported before skembed, so setting the variable has no effect any more.
        sys.modules["onnxruntime"].disable_telemetry_events()
    for name in _NO_TELEMETRY:
        os.environ.setdefault(name, "1")


_switch_telemetry_off()

_DEFAULTS = {"cache_folder": None, "offline": None, "n_threads": None, "progress": False}
_shared = dict(_DEFAULTS)
# Main modules and programs of workers of Spark, Ray and Dask without a nanny. The workers of
# nannies are started by multiprocessing.
_WORKER_MODULES = {"pyspark.daemon", "pyspark.worker"}
_WORKER_MODULES |= {"distributed.cli.dask_worker", "distributed.cli.dask_spec"}
_WORKER_PROGRAMS = {"dask-worker", "default_worker.py"}
_set_here = set()  # names of the settings that this process set itself
_local = threading.local()


def _active():
    return getattr(_local, "config", _shared)


def _checked(settings):
    """Check settings; return them converted to their types."""
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
    """Return the current settings.

    Returns
    -------
    config : dict
        A copy, with the keys of :func:`set_config`. Settings that were not set come from the
        environment: ``cache_folder`` from ``SKEMBED_CACHE`` (else it is ``skembed`` in
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
    """Change settings of this process; other settings stay as they are.

    Pickled estimators contain the settings. Worker processes of multiprocessing, joblib, Dask, Ray
    and Spark that unpickle one apply the settings that they have not set themselves.

    Parameters
    ----------
    cache_folder : str, path or None
        Folder for exported networks, and for the vectors of embedders with ``cache="memory"``.
        None: the folder of the environment, for exported networks only.
    offline : bool or None
        True: never access the hub. None: use the variable ``HF_HUB_OFFLINE``.
    n_threads : int or None
        Number of threads of estimators with ``n_threads=None``. None: the number of cores.
    progress : bool
        True: show progress bars and the duration of exports, as with ``verbose=1``.

    Raises
    ------
    ValueError
        If a value is invalid.

    See Also
    --------
    config_context : The same for a block of code.

    Examples
    --------
    >>> import skembed
    >>> skembed.set_config(progress=False)
    >>> skembed.get_config()["progress"]
    False
    """
    given = locals()
    settings = _checked({k: given[k] for k in _DEFAULTS if given[k] is not _UNSET})
    _active().update(settings)
    if _active() is _shared:
        _set_here.update(settings)


@contextlib.contextmanager
def config_context(**settings: Unpack[Settings]) -> Iterator[None]:
    """Change settings inside a ``with`` block, in this thread only.

    They have no effect in other threads and processes, such as those of a search with ``n_jobs``.
    Use :func:`set_config` for these.

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
        If a value is invalid.

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
    """Tell whether a cache folder was set with `set_config` or `config_context`."""
    return _active()["cache_folder"] is not None


def own_settings():
    """Return the settings of this process, to be pickled with estimators."""
    return dict(_shared)


def apply_settings(settings):
    """Apply the settings of the process that pickled an estimator, if this process is a worker.

    Parameters
    ----------
    settings : dict
        As returned by `own_settings`, possibly of another version of skembed.
    """
    if _is_worker():
        applied = {k: v for k, v in settings.items() if k in _DEFAULTS and k not in _set_here}
        _shared.update(_checked(applied))


def _is_worker():
    """Tell whether this process is a worker of another one."""
    # `parent_process()` would be None in workers of joblib, and while a spawned process unpickles
    # its arguments.
    if multiprocessing.current_process().name != "MainProcess":
        return True
    main = sys.modules.get("__main__")
    module = getattr(getattr(main, "__spec__", None), "name", None)
    program = os.path.basename(getattr(main, "__file__", None) or "")
    by_subcommand = program == "dask" and sys.argv[1:2] == ["worker"]
    return module in _WORKER_MODULES or program in _WORKER_PROGRAMS or by_subcommand


def _forget_who_set_settings():
    _set_here.clear()  # the parent set them


# `base._fork` belongs to a layer above this one.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_who_set_settings)
