"""A model's folder that may be changed; a hub without network: cache, client, packaged copy."""

import hashlib
import shutil

import huggingface_hub
import pytest
from huggingface_hub import constants
from huggingface_hub.errors import LocalEntryNotFoundError
from huggingface_hub.utils import are_progress_bars_disabled
from tiny import save_tiny_bert

import skembed
from skembed.models import _locate


@pytest.fixture
def folder(tiny_bert, tmp_path):
    """A copy of the tiny model that may be changed."""
    return shutil.copytree(tiny_bert, tmp_path / "model")


@pytest.fixture
def hub_cache(tmp_path, monkeypatch):
    """The hub's local cache: an empty folder."""
    folder = tmp_path / "hub"
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(folder))
    monkeypatch.chdir(tmp_path)
    return folder


@pytest.fixture
def hub(monkeypatch):
    """The hub's client, which finds nothing on this machine and answers with ``hub.answer``."""

    class Hub:
        calls = []
        bars = []  # whether the client showed them
        answer = OSError("no route to the hub\nand more about it")

    def snapshot_download(name, *, local_files_only=False, **arguments):
        Hub.calls.append({"name": name, "local_files_only": local_files_only, **arguments})
        if local_files_only:
            raise LocalEntryNotFoundError("not there")
        Hub.bars.append(not are_progress_bars_disabled())
        if isinstance(Hub.answer, Exception):
            raise Hub.answer
        return str(Hub.answer)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot_download)
    return Hub


@pytest.fixture
def asked_of_the_hub(monkeypatch):
    """Calls that the hub's client was not told to answer from this machine alone."""
    calls = []
    snapshot_download = huggingface_hub.snapshot_download

    def watched(name, *, local_files_only=False, **arguments):
        if not local_files_only:
            calls.append(name)
        return snapshot_download(name, local_files_only=local_files_only, **arguments)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", watched)
    with skembed.config_context(offline=False):
        yield calls


@pytest.fixture
def packaged(tmp_path, monkeypatch):
    """An installed package that carries acme/packaged, and the right digest of its weights."""
    site = tmp_path / "site"
    folder = save_tiny_bert(site / "acme_weights" / "model")
    (site / "acme_weights" / "__init__.py").write_text("raise RuntimeError('must not run')")
    (site / "acme_weights-1.2.dist-info").mkdir()
    metadata = "Metadata-Version: 2.1\nName: acme-weights\nVersion: 1.2\n"
    (site / "acme_weights-1.2.dist-info" / "METADATA").write_text(metadata)
    monkeypatch.syspath_prepend(site)
    digest = hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()
    entry = _locate._Packaged("acme_weights", "model", digest, "acme")
    monkeypatch.setitem(_locate._PACKAGED, "acme/packaged", entry)
    return folder
