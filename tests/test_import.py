"""What `import skembed` costs and brings."""

import subprocess
import sys

import pytest

import skembed
import skembed.text

HEAVY = ("torch", "transformers", "gensim", "numba", "onnxruntime", "onnx", "sklearn")


def test_import_loads_nothing_heavy():
    code = f"import sys, skembed; print(*(set({HEAVY}) & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


@pytest.mark.parametrize("name", ["Word2VecVectorizer", "FastTextVectorizer", "GloVeVectorizer"])
def test_word_vectors_load_no_runtime_of_networks(name):
    heavy = set(HEAVY) - {"sklearn"}
    code = f"import sys, skembed; skembed.{name}(); print(*({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


@pytest.mark.parametrize("module", [skembed, skembed.text], ids=lambda module: module.__name__)
def test_public_names_are_there_and_listed(module):
    assert set(module.__all__) <= set(dir(module))
    for name in module.__all__:
        assert getattr(module, name) is not None


@pytest.mark.parametrize("module", [skembed, skembed.text], ids=lambda module: module.__name__)
def test_an_unknown_name_raises(module):
    message = f"module '{module.__name__}' has no attribute 'Word3Vec'"
    with pytest.raises(AttributeError, match=message):
        _ = module.Word3Vec


@pytest.mark.parametrize("name", ["audio", "cache", "evaluation", "exceptions", "image", "text"])
def test_public_submodules_are_there_and_listed(name):
    code = (
        f"import sys, skembed; assert '{name}' in dir(skembed); print(skembed.{name}.__name__, "
        f"*({{'torch', 'transformers', 'gensim'}} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == [f"skembed.{name}"]
