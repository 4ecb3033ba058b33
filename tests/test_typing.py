"""Public signatures have types; mypy checks that they are right (``.ci/run``)."""

import ast
import importlib
import inspect
from pathlib import Path

import pytest

import skembed

PACKAGE = Path(skembed.__file__).parent
PUBLIC = ["skembed", *(f"skembed.{name}" for name in skembed._SUBMODULES)]
# Names that are loaded on first use: type checkers need them as imports.
LAZY = ["__init__.py", "text/__init__.py", "words/__init__.py"]


def public_callables():
    """Return all public functions and methods, and `__init__` of classes, by name."""
    found = {}
    for module in map(importlib.import_module, PUBLIC):
        for name in module.__all__:
            item = getattr(module, name)
            if inspect.isfunction(item):
                found[f"{item.__module__}.{name}"] = item
            elif inspect.isclass(item):
                found |= {f"{item.__module__}.{name}.{m}": f for m, f in methods_of(item)}
    return found


def methods_of(cls):
    for name, member in inspect.getmembers(cls):
        if isinstance(member, property):
            member = member.fget
        named = not name.startswith("_") or name == "__init__"
        if named and getattr(member, "__module__", "").startswith("skembed."):
            yield name, inspect.unwrap(member)


CALLABLES = public_callables()


@pytest.mark.parametrize("name", CALLABLES)
def test_public_signatures_have_types(name):
    signature = inspect.signature(CALLABLES[name])
    parameters = [p for p in signature.parameters.values() if p.name not in ("self", "cls")]
    untyped = [p.name for p in parameters if p.annotation is p.empty]
    assert not untyped
    assert signature.return_annotation is not signature.empty


@pytest.mark.parametrize("path", LAZY)
def test_type_checkers_see_each_lazy_name(path):
    module = importlib.import_module(".".join(["skembed", *Path(path).parts[:-1]]))
    tree = ast.parse((PACKAGE / path).read_text())
    (block,) = (node for node in tree.body if isinstance(node, ast.If) and is_for_types(node.test))
    seen = {alias.name for node in block.body for alias in node.names}
    assert seen == {*module._LAZY, *getattr(module, "_SUBMODULES", ())}


def is_for_types(test):
    return isinstance(test, ast.Name) and test.id == "TYPE_CHECKING"
