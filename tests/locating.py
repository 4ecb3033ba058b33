"""Models in the hub's local cache, and errors of models that are not found."""

import hashlib
import json
import os

import pytest
from tiny import save_tiny_bert

from skembed.exceptions import ModelNotFoundError
from skembed.models._locate import locate

COMMIT, OLDER = "a" * 40, "b" * 40
MINILM = "sentence-transformers/all-MiniLM-L6-v2"


def save_in_hub_cache(hub_cache, name, commit=COMMIT, revision="main", listed=()):
    """Lay a model into the hub's cache as its client does; return the snapshot's folder."""
    storage = hub_cache / f"models--{name.replace('/', '--')}"
    snapshot = save_tiny_bert(storage / "snapshots" / commit)
    blobs = storage / "blobs"
    blobs.mkdir(exist_ok=True)
    for file in snapshot.iterdir():
        blob = blobs / hashlib.sha256(f"{commit}/{file.name}".encode()).hexdigest()
        file.rename(blob)
        file.symlink_to(os.path.relpath(blob, snapshot))
    (storage / "refs").mkdir(exist_ok=True)
    (storage / "refs" / revision).write_text(commit)
    if listed:  # what the hub's client since 2.0 knows of files that it may not have fetched
        files = {file: {"size": 1, "blob_id": "0" * 40} for file in listed}
        (storage / "trees").mkdir(exist_ok=True)
        text = json.dumps({"format_version": 1, "files": files})
        (storage / "trees" / f"{commit}.json").write_text(text)
    return snapshot


def message_of(*arguments):
    with pytest.raises(ModelNotFoundError) as raised:
        locate(*arguments)
    return str(raised.value)
