"""Exported folders of another estimator, another format, or damaged by hand."""

import json
import shutil

import numpy as np
import pytest
from tiny_images import noise, save_tiny_cnn

from skembed import BertEmbedder, CNNImageEmbedder
from skembed.exceptions import ModelFormatError

ROWS = [noise(40, 40)]


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """A folder that CNNImageEmbedder wrote."""
    place = tmp_path_factory.mktemp("manifest")
    embedder = CNNImageEmbedder(save_tiny_cnn(place / "cnn"), cache=None).fit(ROWS)
    return embedder.export(place / "exported")


@pytest.fixture
def folder(exported, tmp_path):
    """A copy that may be changed."""
    return shutil.copytree(exported, tmp_path / "exported")


def change(folder, keys, value):
    path = folder / "manifest.json"
    manifest = json.loads(path.read_text())
    place = manifest
    for key in keys[:-1]:
        place = place[key]
    place[keys[-1]] = value
    path.write_text(json.dumps(manifest))


def test_a_subclass_reads_what_its_base_wrote(folder):
    """And the other way round."""

    class Own(CNNImageEmbedder):
        pass

    vectors = Own(folder, cache=None).fit_transform(ROWS)
    change(folder, ["estimator"], "Own")
    again = CNNImageEmbedder(folder, cache=None).fit_transform(ROWS)
    np.testing.assert_array_equal(vectors, again)


def test_another_estimator_is_named(folder):
    """An image network has no tokenizer; the message says what it is for."""
    with pytest.raises(ModelFormatError, match="exported by CNNImageEmbedder; BertEmbedder cannot"):
        BertEmbedder(folder).fit(["a"])


@pytest.mark.parametrize(
    ("keys", "value", "message"),
    [
        (["format"], 99, "has the format 99"),
        (["format"], "1", "format must be of type int"),
        (["front"], [], "front must be of type dict"),
        (["head"], None, "head must be of type dict"),
        (["precision"], "int2", "the precision 'int2' is unknown"),
        (["front", "processor"], 3, "processor must be of type dict"),
        (["front", "processor", "size"], [10**9, 10**9], "sides must be integers from 1 to 8192"),
        (["front", "processor", "size"], "40", "has invalid settings"),
        (["front", "processor", "resample"], 77, "must be a filter of Pillow"),
        (["front", "processor", "std"], [0, 0, 0], "must be finite"),
        (["front", "processor", "more"], 1, "has invalid settings"),
    ],
)
def test_a_changed_manifest_is_named(folder, keys, value, message):
    """File and key; nothing is computed."""
    change(folder, keys, value)
    with pytest.raises(ModelFormatError, match=rf"manifest\.json.*{message}"):
        CNNImageEmbedder(folder, cache=None).fit(ROWS)
