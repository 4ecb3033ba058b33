"""A function called in a process of its own, which takes its memory and its noise with it.

Exporting a network needs torch, takes hundreds of megabytes that the allocator does not give back
(joblib restarts workers that grow), and warns and prints from many libraries. `warnings` and the
logging levels belong to a whole process, so they cannot be silenced for one thread.
"""

import contextlib
import os
import pickle
import subprocess
import sys

_START = "import pickle, sys; sys.path[:] = pickle.load(sys.stdin.buffer)"
_RUN = "from skembed.runtime._child import _answer; _answer()"


def call_in_child(function, *arguments):
    """Call a function of a module in another Python process; return or raise what it does.

    Parameters
    ----------
    function : callable
        Found by name in its module.
    *arguments
        Can be pickled; the pickle is passed through a pipe to the child alone.

    Returns
    -------
    object
        The answer, which can be pickled too.

    Raises
    ------
    RuntimeError
        If the process dies without an answer; otherwise whatever the function raises.
    """
    if not sys.executable:  # Python inside another program
        return function(*arguments)
    # -I: without it the working folder comes before the standard library, and a pickle.py in it
    # would be imported.
    job = pickle.dumps(sys.path) + pickle.dumps((function, arguments))
    command = [sys.executable, "-I", "-W", "ignore", "-c", f"{_START}; {_RUN}"]
    done = subprocess.run(command, input=job, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    try:
        answer, error = pickle.loads(done.stdout)
    except (EOFError, pickle.UnpicklingError):
        raise RuntimeError(
            f"The process that ran {function.__name__} ended with status {done.returncode} and "
            "without an answer; it may have run out of memory."
        ) from None
    if error is not None:
        raise error
    return answer


def _answer():
    """Run the job on stdin; write what comes of it to what stdout was, and nothing else there."""
    job = sys.stdin.buffer
    with os.fdopen(os.dup(1), "wb") as pipe:
        os.dup2(2, 1)
        function, arguments = pickle.load(job)
        try:
            found = function(*arguments), None
        except Exception as error:
            found = None, _picklable(error)
        pipe.write(pickle.dumps(found))


def _picklable(error):
    with contextlib.suppress(Exception):
        pickle.loads(pickle.dumps(error))
        return error
    return RuntimeError(f"{type(error).__name__}: {error}")
