"""Code in a process of its own."""

import os
import subprocess
import sys
import textwrap


def run_python(code, **environment):
    """Run code in a new process; return what it printed."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(code)],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
