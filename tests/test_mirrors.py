"""Every module has a file of tests that mirrors its place: where to look, and where to add."""

from pathlib import Path

import pytest
from test_layers import PACKAGE, modules

TESTS = Path(__file__).parent

# Modules without a file of their own, with the reason.
ELSEWHERE = {
    "__main__": "tested through tests/audio/test_convert.py, which runs python -m skembed",
    "_version": "tested through tests/cli/test_main.py",
    "exceptions": "the classes are tested where they are raised",
    "audio/_families": "tested through tests/audio/test_audio_backbone.py",
    "image/_families": "tested through tests/image/test_image_backbone.py",
    "image/_preprocessor": "tested through tests/image/test_cnn.py",
    "image/_quiet": "tested through tests/image/test_formats.py",
    "text/_families": "tested through tests/text/test_bert_families.py",
    "text/_token_embeddings": "tested through tests/text/test_embed_tokens.py",
    "text/_static_names": "tested through tests/text/test_static_table.py",
    "text/_tokenizer_families": "tested through tests/text/test_tokenizer.py",
    "base/_graph_names": "tested through tests/models/test_backbone.py",
    "words/_typing": "types only: tested through tests/test_typing.py",
    "base/_typing": "types only: tested through tests/test_typing.py",
}


def name_of(path):
    """Return a module's name without its ending, ``room/_module``."""
    return path.relative_to(PACKAGE).with_suffix("").as_posix()


def mirrors(name):
    """Return the files that may hold the tests of a module, ``room/_module``."""
    room, _, module = name.rpartition("/")
    module = module.strip("_")
    return [TESTS / room / f"test_{kind}.py" for kind in (module, f"{room}_{module}")]


def is_mirrored(name):
    return any(path.exists() for path in mirrors(name))


# Folders' own files only import names: tests/test_import.py.
MODULES = [name_of(path) for path in modules() if path.name != "__init__.py"]


@pytest.mark.parametrize("name", MODULES)
def test_every_module_has_a_file_of_tests(name):
    expected = mirrors(name)[0].relative_to(TESTS)
    assert is_mirrored(name) or name in ELSEWHERE, f"there is no tests/{expected}"


@pytest.mark.parametrize("name", ELSEWHERE)
def test_reasons_are_of_modules_without_one(name):
    """A reason that holds no longer is taken out."""
    assert name in MODULES
    assert not is_mirrored(name)
    assert ELSEWHERE[name]


@pytest.mark.parametrize("name", ELSEWHERE)
def test_files_that_reasons_name_are_there(name):
    for word in ELSEWHERE[name].replace(",", " ").split():
        if word.startswith("tests/"):
            assert (TESTS.parent / word).exists(), word


def test_a_module_without_tests_is_noticed():
    assert not is_mirrored("base/_no_such_module")
    assert is_mirrored("base/_rows")
    assert is_mirrored("_config")
