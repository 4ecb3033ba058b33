"""Warnings point at the first line that is not of skembed or of a library between."""

import warnings

import pytest

from skembed.base._warnings import callers_level

# A chain of functions, each in a module of the name that it is given.
FUNCTION = """
def function(*chain):
    if chain:
        return chain[0](*chain[1:])
    return callers_level()
"""


def function_of(module):
    scope = {"__name__": module, "callers_level": callers_level}
    exec(FUNCTION, scope)
    return scope["function"]


@pytest.mark.parametrize(
    ("modules", "level"),
    [
        (["skembed.embedder._base"], 2),
        (["sklearn.pipeline", "skembed.embedder._base"], 3),
        (["joblib.parallel", "sklearn.utils.parallel", "skembed._a", "skembed._b"], 5),
        (["skrub", "skembed"], 3),
        (["skembed_extension", "skembed"], 2),  # another package, whose name begins the same
        (["skembed", "mine", "skembed"], 2),  # the nearest line of user code
        (["contextlib", "skembed"], 3),
        (["mine"], 1),
    ],
)
def test_the_level_is_that_of_the_nearest_user_code(modules, level):
    first, *others = map(function_of, modules)
    assert first(*others) == level


def test_code_of_nobody_else_ends_at_the_outermost_frame(monkeypatch):
    """A program that is skembed's own has no user code."""
    outermost = compile("level = callers_level()", "program", "exec")
    scope = {"__name__": "skembed.program", "callers_level": callers_level}
    exec(outermost, scope)
    assert scope["level"] == 2


def test_a_warning_points_at_this_file():
    scope = {"__name__": "skembed.part", "warnings": warnings, "callers_level": callers_level}
    exec("def warn():\n    warnings.warn('w', stacklevel=callers_level())", scope)
    with pytest.warns(UserWarning, match="w") as found:
        scope["warn"]()
    assert found[0].filename == __file__
