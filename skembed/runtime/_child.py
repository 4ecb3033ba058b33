"""Call a function in a child process.

Networks are exported in a child process for two reasons. The export needs hundreds of megabytes,
which the allocator does not return to the system; joblib restarts workers that grow. And the
libraries print and warn. Filters of warnings and logging levels hold for a whole process, so they
cannot be changed for one thread.
"""

import contextlib
import os
import pickle
import subprocess
import sys

_START = "import pickle, sys; sys.path[:] = pickle.load(sys.stdin.buffer)"
_RUN = "from skembed.runtime._child import _run; _run()"


def call_in_child(function, *arguments):
    """Call a function of a module in another Python process; return its result.

    Parameters
    ----------
    function : callable
        The child finds it by its name in its module.
    *arguments
        Its arguments, which can be pickled. They are sent through a pipe.

    Returns
    -------
    object
        The result, which can be pickled.

    Raises
    ------
    RuntimeError
        If the process ends without a result.
    Exception
        Whatever the function raises. An exception that cannot be pickled becomes a RuntimeError.
    """
    if not sys.executable:  # Python inside another program
        return function(*arguments)
    # Without -I the working folder precedes the standard library, and a pickle.py in it would be
    # imported.
    job = pickle.dumps(sys.path) + pickle.dumps((function, arguments))
    command = [sys.executable, "-I", "-W", "ignore", "-c", f"{_START}; {_RUN}"]
    done = subprocess.run(command, input=job, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    try:
        result, error = pickle.loads(done.stdout)
    except (EOFError, pickle.UnpicklingError):
        raise RuntimeError(
            f"The process that ran {function.__name__} ended with status {done.returncode} and "
            "without a result. It may have run out of memory."
        ) from None
    if error is not None:
        raise error
    return result


def _run():
    """Run the job read from stdin, in the child; write (result, error) to stdout.

    What libraries print goes to stderr instead.
    """
    job = sys.stdin.buffer
    with os.fdopen(os.dup(1), "wb") as pipe:
        os.dup2(2, 1)
        function, arguments = pickle.load(job)
        try:
            outcome = function(*arguments), None
        except Exception as error:
            outcome = None, _picklable(error)
        pipe.write(pickle.dumps(outcome))


def _picklable(error):
    """Return an error that the parent can unpickle."""
    with contextlib.suppress(Exception):
        pickle.loads(pickle.dumps(error))
        return error
    return RuntimeError(f"{type(error).__name__}: {error}")
