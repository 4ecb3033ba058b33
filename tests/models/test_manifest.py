"""Exported folders of another estimator, another format, or damaged by hand."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
from time_series import SERIES
from tiny_images import noise, save_tiny_cnn

from skembed import BertEmbedder, CNNImageEmbedder
from skembed.exceptions import ModelFormatError
from skembed.models._folder import ModelFolder
from skembed.models._manifest import check_manifest
from skembed.network._spec import FORMAT
from skembed.runtime._backends import precisions_of_graphs

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


def test_a_network_of_another_input_is_named(folder):
    """Where a modality has no settings in the manifest, the name of the input tells."""
    modality = replace(SERIES, manifest_types={})
    with pytest.raises(ModelFormatError, match="by CNNImageEmbedder; SeriesEmbedder cannot use it"):
        check_manifest(ModelFolder(folder), "SeriesEmbedder", modality, FORMAT, ["float32"])


def test_a_manifest_of_earlier_revisions_does_not_name_the_input(folder):
    path = folder / "manifest.json"
    manifest = json.loads(path.read_text())
    assert manifest.pop("input_name") == "pixel_values"
    path.write_text(json.dumps(manifest))
    assert CNNImageEmbedder(folder, cache=None).fit_transform(ROWS).shape[0] == 1


def test_precisions_of_exported_graphs_are_those_of_the_table():
    assert precisions_of_graphs() == ["float32", "int8"]


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
