"""Each layer imports only from the layers below it; modalities never import one another."""

import ast
import re
import sys
from pathlib import Path

import pytest

import skembed

PACKAGE = Path(skembed.__file__).parent

# From the bottom up; modules and folders of one line do not import one another.
LAYERS = [
    ["exceptions", "_version"],
    ["_config"],
    ["base"],
    ["cache", "models"],
    ["runtime"],
    ["network"],
    ["training"],
    ["embedder"],
    ["text", "image", "audio", "words"],
    ["evaluation", "plotting", "engines", "serving"],
    ["cli"],
    ["__main__"],
]
RANK = {name: rank for rank, names in enumerate(LAYERS) for name in names}

# What a bare `import skembed`, or a network that is exported already, must not load.
LAZY_ONLY = {"torch", "transformers", "gensim", "numba", "onnx", "onnxscript"}
LAZY_MODULES = {
    "models/_attention.py",
    "audio/_backbone.py",
    "audio/_cnns.py",
    "models/_backbone.py",
    "image/_backbone.py",
    "models/_modules.py",
    "runtime/_torch.py",
    "training/_loop.py",
    "training/_upper.py",
    "audio/_log_mel_module.py",
    "words/_glove_kernels.py",
}

# Packages whose modules have another name.
MODULE_OF = {"pillow": "PIL", "scikit-learn": "sklearn", "huggingface-hub": "huggingface_hub"}


def modules():
    return sorted(path for path in PACKAGE.rglob("*.py") if path != PACKAGE / "__init__.py")


def imports_of(path, *, top_level_only=False):
    """Return the dotted names that a module imports when it runs."""
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):  # these blocks are for type checkers alone
        if isinstance(node, ast.If) and getattr(node.test, "id", "") == "TYPE_CHECKING":
            node.body = []
    nodes = tree.body if top_level_only else ast.walk(tree)
    names = []
    for node in nodes:
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            names.append(node.module)
    return names


def layer_of(dotted):
    parts = dotted.split(".")
    return parts[1] if parts[0] == "skembed" and len(parts) > 1 else None


@pytest.mark.parametrize("path", modules(), ids=lambda p: p.relative_to(PACKAGE).as_posix())
def test_arrows_run_one_way(path):
    own = path.relative_to(PACKAGE).with_suffix("").parts[0]
    assert own in RANK, f"{own} is in no layer"
    for dotted in imports_of(path):
        assert dotted != "skembed", "import from the module that has the name"
        layer = layer_of(dotted)
        if layer is not None and layer != own:
            assert RANK[layer] < RANK[own], f"{own} imports {layer}"


@pytest.mark.parametrize("path", modules(), ids=lambda p: p.relative_to(PACKAGE).as_posix())
def test_heavy_libraries_are_imported_where_they_are_used(path):
    if path.relative_to(PACKAGE).as_posix() in LAZY_MODULES:
        pytest.skip("this module is itself imported on first use")
    top = {name.partition(".")[0] for name in imports_of(path, top_level_only=True)}
    assert not top & LAZY_ONLY


def declared_dependencies():
    """Return the modules of the packages that an installation without extras brings."""
    tomllib = pytest.importorskip("tomllib", reason="tomllib is new in Python 3.11")
    pyproject = tomllib.loads((PACKAGE.parent / "pyproject.toml").read_text())
    names = {re.split("[<>=]", line)[0] for line in pyproject["project"]["dependencies"]}
    return {MODULE_OF.get(name, name) for name in names}


def test_declared_dependencies_are_those_that_the_core_imports():
    """Modules that torch's users alone import belong to the extra `torch`."""
    at_the_top, anywhere = set(), set()
    for path in modules():
        if path.relative_to(PACKAGE).as_posix() not in LAZY_MODULES:
            anywhere.update(name for name in imports_of(path) if name != "safetensors.torch")
            at_the_top.update(imports_of(path, top_level_only=True))
    anywhere = {name.partition(".")[0] for name in anywhere}
    at_the_top = {name.partition(".")[0] for name in at_the_top}
    declared = declared_dependencies()
    assert at_the_top - set(sys.stdlib_module_names) - {"skembed"} <= declared
    assert declared <= anywhere
