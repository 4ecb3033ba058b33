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
    ["cache", "models", "runtime"],
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
    "models/_backbone_folder.py",
    "image/_backbone.py",
    "image/_efficientnet_lite.py",
    "models/_modules.py",
    "runtime/_torch.py",
    "training/_augment.py",
    "training/_checkpoint.py",
    "training/_kept.py",
    "training/_loop.py",
    "training/_trainee.py",
    "training/_upper.py",
    "audio/_log_mel_module.py",
    "words/_glove_kernels.py",
}

# Packages whose modules have another name.
MODULE_OF = {"pillow": "PIL", "scikit-learn": "sklearn", "huggingface-hub": "huggingface_hub"}


def modules():
    return sorted(path for path in PACKAGE.rglob("*.py") if path != PACKAGE / "__init__.py")


def name_of(path):
    return path.relative_to(PACKAGE).as_posix()


def modules_at_start():
    """Return the modules that are not themselves imported on first use."""
    return [path for path in modules() if name_of(path) not in LAZY_MODULES]


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
            folder = PACKAGE.parent / node.module.replace(".", "/")
            for alias in node.names:  # of a package: its modules
                is_module = (folder / f"{alias.name}.py").exists()
                names.append(f"{node.module}.{alias.name}" if is_module else node.module)
    return names


def layer_of(dotted):
    parts = dotted.split(".")
    return parts[1] if parts[0] == "skembed" and len(parts) > 1 else None


@pytest.mark.parametrize("path", modules(), ids=name_of)
def test_arrows_run_one_way(path):
    own = path.relative_to(PACKAGE).with_suffix("").parts[0]
    assert own in RANK, f"{own} is in no layer"
    for dotted in imports_of(path):
        assert dotted != "skembed", "import from the module that has the name"
        layer = layer_of(dotted)
        if layer is not None and layer != own:
            assert RANK[layer] < RANK[own], f"{own} imports {layer}"


def test_lazy_modules_exist():
    assert set(map(name_of, modules())) >= LAZY_MODULES


@pytest.mark.parametrize("path", modules_at_start(), ids=name_of)
def test_heavy_libraries_are_imported_where_they_are_used(path):
    top = {name.partition(".")[0] for name in imports_of(path, top_level_only=True)}
    assert not top & LAZY_ONLY


def said_imports(path):
    """Return the names in "Imports `x` and `y`." of a docstring; None if it has no such sentence.

    "Imports nothing." gives no names.
    """
    docstring = " ".join((ast.get_docstring(ast.parse(path.read_text())) or "").split())
    sentence = re.search(r"\bImports (?:only )?((?:nothing|`)[^.;]*)", docstring)
    return None if sentence is None else set(re.findall("`(.*?)`", sentence[1]))


def short_name(dotted, folder):
    """Return how a docstring names a module: by its layer, or by its own name in its folder.

    >>> short_name("skembed.base._rows", "cache"), short_name("skembed.base._rows", "base")
    ('base', '_rows')
    """
    parts = dotted.split(".")[1:]
    return parts[1] if parts[0] == folder and len(parts) > 1 else parts[0]


SAYING = [path for path in modules() if said_imports(path) is not None]


@pytest.mark.parametrize("path", SAYING, ids=name_of)
def test_docstrings_name_what_a_module_imports(path):
    """The docstring of a folder's `__init__` is about all its modules."""
    folder = path.parent.name
    paths = path.parent.rglob("*.py") if path.name == "__init__.py" else [path]
    ours = {name for each in paths for name in imports_of(each) if name.startswith("skembed.")}
    if path.name == "__init__.py":
        ours = {name for name in ours if name.split(".")[1] != folder}
    assert said_imports(path) == {short_name(name, folder) for name in ours}


def test_design_lists_every_module():
    """The page's layout, and the modules of the package: the same paths."""
    layout = (PACKAGE.parent / "docs" / "design.md").read_text().split("```")[3]
    listed, folder = set(), ""
    for line in layout.splitlines():
        name = line.split()[0] if line.strip() else ""
        if name.endswith("/"):
            folder = "" if name == "skembed/" else name
        elif line.startswith("  ") and name:
            listed.add(f"{folder}{name}")
    found = {name_of(path.with_suffix("")) for path in PACKAGE.rglob("*.py")}
    assert listed == {name for name in found if name == "__init__" or "__init__" not in name}


def declared_dependencies():
    """Return the modules of the packages that an installation without extras brings."""
    tomllib = pytest.importorskip("tomllib", reason="tomllib is new in Python 3.11")
    pyproject = tomllib.loads((PACKAGE.parent / "pyproject.toml").read_text())
    names = {re.split("[<>=]", line)[0] for line in pyproject["project"]["dependencies"]}
    return {MODULE_OF.get(name, name) for name in names}


def test_declared_dependencies_are_those_that_the_core_imports():
    """Modules that torch's users alone import belong to the extra `torch`."""
    at_the_top, anywhere = set(), set()
    for path in modules_at_start():
        anywhere.update(name for name in imports_of(path) if name != "safetensors.torch")
        at_the_top.update(imports_of(path, top_level_only=True))
    anywhere = {name.partition(".")[0] for name in anywhere}
    at_the_top = {name.partition(".")[0] for name in at_the_top}
    declared = declared_dependencies()
    assert at_the_top - set(sys.stdlib_module_names) - {"skembed"} <= declared
    assert declared <= anywhere
