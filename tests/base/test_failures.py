"""Errors of libraries, turned into errors that name the model."""

import json
import os
import shutil

import pytest

from skembed import BertEmbedder
from skembed.base._failures import naming, reason_of
from skembed.exceptions import ExportError, ModelFormatError


class PanicException(BaseException):
    """As libraries in Rust raise it."""


def test_the_first_cause_is_told():
    """Not the boilerplate of what failed after it; in one line."""
    boilerplate = RuntimeError("Step 1 of 3 failed.\nPlease report this.")
    boilerplate.__cause__ = KeyError("weights")
    assert reason_of(boilerplate) == "KeyError: 'weights'"
    assert reason_of(IndexError()) == "IndexError"
    assert reason_of(ValueError("a\nb")) == "ValueError: a"


@pytest.mark.parametrize("error", [AttributeError("x"), RuntimeError("x"), PanicException("x")])
def test_errors_without_a_name_get_one(error):
    """A panic is a BaseException, which no caller catches."""
    with pytest.raises(ModelFormatError, match=r"^folder cannot be used as a model: .*x") as raised:
        with naming("folder"):
            raise error
    assert raised.value.__cause__ is error


@pytest.mark.parametrize(
    "error", [ValueError("x"), OSError("x"), ExportError("x"), KeyboardInterrupt(), MemoryError()]
)
def test_other_errors_are_passed_on(error):
    """Those of parameters, of the disk, of skembed, of the user."""
    with pytest.raises(type(error)) as raised, naming("folder"):
        raise error
    assert raised.value is error


@pytest.fixture
def folder(tiny_bert, tmp_path):
    """A copy of the tiny model that may be changed."""
    return shutil.copytree(tiny_bert, tmp_path / "model")


def test_ids_behind_the_table_name_the_model(folder):
    """torch raises an IndexError of its own."""
    path = folder / "tokenizer.json"
    content = json.loads(path.read_text())
    content["model"]["vocab"]["cat"] = 10**6
    path.write_text(json.dumps(content))
    with pytest.raises(ModelFormatError, match=f"^{folder} cannot be used as a model"):
        BertEmbedder(folder, backend="torch", cache=None).fit_transform(["the cat"])


@pytest.mark.parametrize("kind", ["pipe", "link"])
def test_a_tokenizer_is_a_regular_file_in_the_folder(folder, kind):
    """A pipe would be waited for, for ever."""
    path = folder / "tokenizer.json"
    if kind == "pipe":
        path.unlink()
        os.mkfifo(path)
    else:
        path.rename(folder.parent / "tokenizer.json")
        path.symlink_to(folder.parent / "tokenizer.json")
    with pytest.raises(ModelFormatError, match=r"tokenizer\.json is "):
        BertEmbedder(folder, backend="torch", cache=None).fit(["a"])
