"""What `import skembed` costs and brings."""

import subprocess
import sys

import pytest

import skembed

HEAVY = ("torch", "transformers", "gensim", "numba", "onnxruntime", "onnx", "sklearn")


def test_import_loads_nothing_heavy():
    code = f"import sys, skembed; print(*(set({HEAVY}) & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


def test_public_names_are_there_and_listed():
    assert set(skembed.__all__) <= set(dir(skembed))
    for name in skembed.__all__:
        assert getattr(skembed, name) is not None


def test_an_unknown_name_raises():
    with pytest.raises(AttributeError, match="module 'skembed' has no attribute 'Word3Vec'"):
        _ = skembed.Word3Vec
