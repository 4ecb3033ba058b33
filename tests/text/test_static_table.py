"""`StaticTable`: its files may move, and must not change."""

import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
from tiny import save_tiny_static

import skembed
from skembed import StaticEmbedder
from skembed.exceptions import ModelNotFoundError, NetworkChangedError
from skembed.text import _static_table
from skembed.text._static_names import DEFAULT_MODEL
from skembed.text._static_table import folder_of

TEXTS = ["the cat sat", "a dog"]


@pytest.fixture(autouse=True)
def _no_loaded_tables():
    _static_table._tables.clear()


def test_the_shipped_table_is_found_by_name():
    folder = folder_of(DEFAULT_MODEL)
    assert folder.path.name == "static_minilm"
    assert folder.is_model2vec
    assert folder.max_length is None


def test_the_shipped_folder_is_below_ten_megabytes():
    files = folder_of(DEFAULT_MODEL).path.iterdir()
    assert sum(path.stat().st_size for path in files) < 10_000_000


def test_the_wheel_contains_the_shipped_folder_and_the_notice():
    tomllib = pytest.importorskip("tomllib", reason="tomllib is new in Python 3.11")
    package = Path(skembed.__file__).parent
    pyproject = tomllib.loads((package.parent / "pyproject.toml").read_text())
    patterns = pyproject["tool"]["setuptools"]["package-data"]["skembed"]
    declared = {path for pattern in patterns for path in package.glob(pattern)}
    files = set(folder_of(DEFAULT_MODEL).path.iterdir())
    assert {path.name for path in files} >= {"model.safetensors", "tokenizer.json"}
    assert files <= declared
    assert "NOTICE" in pyproject["project"]["license-files"]
    assert "Apache License, Version 2.0" in (package.parent / "NOTICE").read_text()


def test_a_moved_folder_is_found_by_the_parameter(tmp_path):
    (tmp_path / "a").mkdir()
    folder = save_tiny_static(tmp_path / "a")
    embedder = StaticEmbedder(folder).fit(TEXTS)
    expected = embedder.transform(TEXTS)
    content = pickle.dumps(embedder)
    shutil.move(tmp_path / "a", tmp_path / "b")
    _static_table._tables.clear()
    again = pickle.loads(content)
    with pytest.raises(ModelNotFoundError, match=r"call set_params\(model=folder\)"):
        again.transform(TEXTS)
    again.set_params(model=tmp_path / "b")
    np.testing.assert_array_equal(again.transform(TEXTS), expected)


@pytest.mark.parametrize("name", ["model.safetensors", "tokenizer.json"])
def test_changed_files_are_noticed(tmp_path, name):
    folder = save_tiny_static(tmp_path)
    embedder = StaticEmbedder(folder).fit(TEXTS)
    with open(folder / name, "ab") as file:
        file.write(b" ")
    _static_table._tables.clear()
    with pytest.raises(NetworkChangedError, match=f"{name} holds"):
        embedder.transform(TEXTS)


def test_hub_ids_are_found_in_the_local_cache(tmp_path, monkeypatch):
    """As a download of either layout leaves them."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    for owner, name, sentence in [
        ("minishlab", "potion-base-8M", False),
        ("sentence-transformers", "static-retrieval-mrl-en-v1", True),
    ]:
        repository = tmp_path / f"models--{owner}--{name}"
        snapshot = repository / "snapshots" / ("0" * 40)
        snapshot.mkdir(parents=True)
        (repository / "refs").mkdir()
        (repository / "refs" / "main").write_text("0" * 40)
        save_tiny_static(snapshot, sentence=sentence)
        embedder = StaticEmbedder(f"{owner}/{name}").fit(TEXTS)
        assert embedder.transform(TEXTS).shape == (2, 8)
    assert StaticEmbedder("potion-base-8M").fit(TEXTS).n_features_out_ == 8


def test_tables_are_read_once(tiny_static, monkeypatch):
    calls = []
    original = _static_table.read_table
    monkeypatch.setattr(
        _static_table, "read_table", lambda *given: calls.append(given) or original(*given)
    )
    for normalize in (True, False):
        StaticEmbedder(tiny_static, normalize=normalize).fit(TEXTS).transform(TEXTS)
    assert len(calls) == 1
