"""Files and functions stay short enough to read at once, and lower layers name no modality."""

import ast
import re

import pytest
from test_layers import PACKAGE, modules

MOST_LINES = 400  # of a file
MOST_CODE = 45  # lines of a function, without its signature and docstring


def functions(path):
    tree = ast.parse(path.read_text())
    return [n for n in ast.walk(tree) if isinstance(n, (ast.FunctionDef, ast.AsyncFunctionDef))]


def code_lines(function):
    """Count the lines of a function's body behind its docstring."""
    body = function.body
    if ast.get_docstring(function) is not None:
        body = body[1:]
    return function.end_lineno - body[0].lineno + 1 if body else 0


def name_of(path):
    return path.relative_to(PACKAGE).as_posix()


@pytest.mark.parametrize("path", modules(), ids=name_of)
def test_files_and_functions_are_short(path):
    assert len(path.read_text().splitlines()) <= MOST_LINES
    for function in functions(path):
        assert code_lines(function) <= MOST_CODE, f"{function.name}: {code_lines(function)} lines"


LOWER = ("base", "cache", "models", "runtime", "network", "training", "embedder")
# Names of modalities, of their inputs and of their estimators.
MODAL = re.compile(
    r"BertEmbedder|CNNImageEmbedder|AudioEmbedder|input_ids|pixel_values|waveforms"
    r"|\bIMAGES\b|\bSOUNDS\b|\bTEXTS\b"
)


def code_without_strings_for_readers(path):
    """Return a module's names and strings, without docstrings and doctests."""
    tree = ast.parse(path.read_text())
    found = []
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        documented = isinstance(
            node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
        )
        if documented and body and ast.get_docstring(node) is not None:
            node.body = body[1:]
    for node in ast.walk(tree):
        if isinstance(node, ast.Name):
            found.append(node.id)
        elif isinstance(node, ast.Attribute):
            found.append(node.attr)
        elif isinstance(node, ast.arg):
            found.append(node.arg)
        elif isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            found.append(node.name)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            found.append(node.value)
    return "\n".join(found)


@pytest.mark.parametrize(
    "path", [p for p in modules() if name_of(p).split("/")[0] in LOWER], ids=name_of
)
def test_lower_layers_name_no_modality(path):
    """They receive what they need as a `Modality`, a `Request` and a `Preprocessor`."""
    assert MODAL.findall(code_without_strings_for_readers(path)) == []
