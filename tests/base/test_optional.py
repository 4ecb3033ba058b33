"""Optional dependencies and the error that names the remedy."""

import json
import sys
from importlib import metadata

import pytest

from skembed.base import _optional
from skembed.base._optional import import_optional
from skembed.exceptions import MissingDependencyError


def test_an_installed_module_is_returned():
    """The very module, dotted names too."""
    assert import_optional("json.decoder", extra="torch", purpose="A test") is json.decoder


def test_a_missing_module_is_named_with_its_remedy():
    """Who needs it, what is missing, and what to install."""
    with pytest.raises(MissingDependencyError) as raised:
        import_optional("not_there.at_all", extra="torch", purpose="backend='torch'")
    assert str(raised.value) == (
        "backend='torch' needs not_there, which cannot be imported (No module named 'not_there'). "
        "Install it with: pip install 'skembed[torch]'"
    )
    assert isinstance(raised.value, ImportError)
    assert isinstance(raised.value.__cause__, ModuleNotFoundError)


def test_a_broken_module_shows_its_own_reason(tmp_path, monkeypatch):
    """An installed package that cannot be imported says why."""
    (tmp_path / "broken_package.py").write_text("raise ImportError('libfoo.so is missing')")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(MissingDependencyError, match=r"cannot be imported \(libfoo.so is missing"):
        import_optional("broken_package", extra="torch", purpose="A test")
    assert "broken_package" not in sys.modules


def test_versions_of_what_is_not_installed_are_empty(monkeypatch):
    """A machine without torch looks its exports up by the same function."""
    assert _optional.exporter_versions()["torch"] == metadata.version("torch")
    version = metadata.version

    def not_torch(name):
        if name == "torch":
            raise metadata.PackageNotFoundError(name)
        return version(name)

    monkeypatch.setattr(metadata, "version", not_torch)
    exporter_versions = _optional.exporter_versions.__wrapped__  # without what it remembers
    assert exporter_versions()["torch"] == ""
    assert exporter_versions()["onnxscript"] == version("onnxscript")
