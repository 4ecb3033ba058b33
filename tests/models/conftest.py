"""A model's folder that may be changed."""

import shutil

import pytest


@pytest.fixture
def folder(tiny_bert, tmp_path):
    """A copy of the tiny model that may be changed."""
    return shutil.copytree(tiny_bert, tmp_path / "model")
