"""Functions that run in a forked child process. Imports nothing of skembed.

`_config`, which lies below this layer, registers its own function.
"""

import os


def after_fork_in_child(function):
    """Run a function in every child that is forked from this process; a decorator.

    A child has only the thread that called `os.fork`. Locks that other threads held stay locked
    there for ever, and thread pools have no threads. Modules that keep such objects replace them in
    a decorated function. Functions run in the order in which they were decorated. On systems
    without ``fork`` the decorator does nothing.

    Parameters
    ----------
    function : callable
        Called without arguments.

    Returns
    -------
    function : callable
        The same function.
    """
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=function)
    return function
