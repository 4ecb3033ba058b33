"""Progress bars, and lines about steps that take seconds. Imports nothing of skembed."""

import contextlib
import logging
import sys
import time
from contextvars import ContextVar

_log = logging.getLogger("skembed")
# Who prints a line about a step: name of an estimator, None: nobody. It is not a parameter, because
# the functions that export and download are far below the estimators.
_speaker = ContextVar("skembed_speaker", default=None)


class _NoBar:
    update = staticmethod(lambda n: None)
    set_postfix_str = staticmethod(lambda text, refresh=True: None)


def no_bar():
    """Return a context whose value has the methods of a bar, which do nothing."""
    return contextlib.nullcontext(_NoBar)


def progress_bar(total, title, unit):
    """Return a context whose value is a progress bar of tqdm."""
    from tqdm.auto import tqdm

    return tqdm(total=total, desc=title, unit=unit)


@contextlib.contextmanager
def speaking(name):
    """Print the lines of `step` inside a ``with`` block, in this thread; None: print nothing."""
    token = _speaker.set(name)
    try:
        yield
    finally:
        _speaker.reset(token)


@contextlib.contextmanager
def step(title, has_bar=False):
    """Report a step that is done once, such as an export: log it, and print one line if asked to.

    The logger is "skembed", the level INFO. The line on the standard error stream is begun before
    the step and ended with its seconds. A step inside another one is only logged.

    Parameters
    ----------
    title : str
        What is done: ``"exporting X"``.
    has_bar : bool, default=False
        Whether the step shows a progress bar of its own if `is_speaking`. The line is then printed
        after it.

    Examples
    --------
    >>> with step("exporting a network"):
    ...     pass
    """
    speaker, start, end = _speaker.get(), time.perf_counter(), "failed after "
    _log.info("%s ...", title)
    if speaker and not has_bar:
        _say(f"{speaker}: {title} ... ")
    try:
        with speaking(None):
            yield
        end = ""
    finally:
        end += f"{time.perf_counter() - start:.1f} s"
        _log.info("%s: %s", title, end)
        if speaker:
            before = f"{speaker}: {title} ... " if has_bar else ""
            _say(f"{before}{end}\n")


def _say(text):
    sys.stderr.write(text)
    sys.stderr.flush()


def is_speaking():
    """Tell whether `step` prints lines here."""
    return _speaker.get() is not None
