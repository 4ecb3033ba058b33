"""Progress bars. Imports nothing of skembed."""

from contextlib import nullcontext


class _NoBar:
    update = staticmethod(lambda n: None)


def no_bar():
    """Return a context whose value has ``update(n)``, which does nothing."""
    return nullcontext(_NoBar)


def progress_bar(total, title, unit):
    """Return a context whose value is a progress bar with ``update(n)``."""
    from tqdm.auto import tqdm

    return tqdm(total=total, desc=title, unit=unit)
