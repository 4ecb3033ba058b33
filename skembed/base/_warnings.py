"""Where a warning points. Imports nothing of skembed."""

import sys

# Libraries between a user's code and ours, which a warning does not point at.
_BETWEEN = {"skembed", "sklearn", "skrub", "joblib", "contextlib"}


def callers_level():
    """Return the `stacklevel` of a warning by the calling function that points at user code."""
    frame, level = sys._getframe(1), 1
    while frame.f_globals.get("__name__", "").partition(".")[0] in _BETWEEN and frame.f_back:
        frame, level = frame.f_back, level + 1
    return level
