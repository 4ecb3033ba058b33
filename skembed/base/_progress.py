"""Progress bars. Imports nothing of skembed."""

from contextlib import nullcontext


class _NoBar:
    update = staticmethod(lambda n: None)
    set_postfix_str = staticmethod(lambda text, refresh=True: None)


def no_bar():
    """Return a context whose value has the methods of a bar, which do nothing."""
    return nullcontext(_NoBar)


def progress_bar(total, title, unit):
    """Return a context whose value is a progress bar of tqdm."""
    from tqdm.auto import tqdm

    return tqdm(total=total, desc=title, unit=unit)
