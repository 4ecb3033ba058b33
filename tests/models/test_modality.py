"""A modality as data: pickled by reference, families by name."""

import pickle
from dataclasses import FrozenInstanceError, replace

import pytest
import time_series
from time_series import SERIES

from skembed.audio._audio import SOUNDS
from skembed.exceptions import ModelFormatError
from skembed.image._cnn import IMAGES
from skembed.models._modality import Architecture, Family, imported
from skembed.text._bert import TEXTS

MODALITIES = [TEXTS, IMAGES, SOUNDS, SERIES]


@pytest.mark.parametrize("modality", MODALITIES, ids=lambda modality: modality.kind)
def test_a_pickle_holds_the_reference_only(modality):
    content = pickle.dumps(modality)
    assert pickle.loads(content) is modality
    assert len(content) < 120


def test_a_pickle_follows_the_variable(monkeypatch):
    """A pickle of another version of skembed gets this version's modality."""
    content = pickle.dumps(SERIES)
    changed = replace(SERIES, chunk=3)
    monkeypatch.setattr(time_series, "SERIES", changed)
    assert pickle.loads(content) is changed


def test_modalities_are_compared_by_identity():
    """They are part of dataclasses that are compared; tables of functions need no hash."""
    assert replace(SERIES) != SERIES
    assert hash(SERIES) == hash(SERIES)


@pytest.mark.parametrize("modality", MODALITIES, ids=lambda modality: modality.kind)
def test_all_references_lead_somewhere(modality):
    assert imported(modality.reference) is modality
    for reference in filter(None, (modality.wrapper, *modality.networks.values())):
        assert isinstance(imported(reference), type)
    for architecture in modality.architectures.values():
        assert isinstance(architecture, Architecture)
        assert architecture.prepare is None or callable(imported(architecture.prepare))


@pytest.mark.parametrize("modality", MODALITIES, ids=lambda modality: modality.kind)
def test_architectures_are_of_known_families(modality):
    for architecture in modality.architectures.values():
        assert modality.family(architecture.config["model_type"], "folder") is not None


@pytest.mark.parametrize("reference", ["no.such.module:name", "math:no_such_name", "math"])
def test_a_reference_to_nothing(reference):
    with pytest.raises((ImportError, AttributeError)):
        imported(reference)


def test_all_poolings_are_named_once():
    assert SERIES.all_poolings == ("mean", "max")
    modality = replace(SERIES, poolings={"both": ("max", "gem"), "mean": ("mean",), "m": ("max",)})
    assert modality.all_poolings == ("max", "gem", "mean")


def test_families():
    family = SERIES.families["series-cnn"]
    assert SERIES.family("series-cnn", "folder") is family
    assert replace(SERIES, any_family=True).family("series-cnn", "folder") is family
    assert replace(SERIES, any_family=True).family("other", "folder") == Family()


@pytest.mark.parametrize("model_type", ["other", None])
def test_other_families_are_refused(model_type):
    modality = replace(SERIES, families={"b": Family(), "a": Family()})
    with pytest.raises(ModelFormatError) as raised:
        modality.family(model_type, "/a/folder")
    assert str(raised.value) == (
        f"/a/folder holds a network of the family {model_type!r}. Families for series that skembed "
        "supports: a, b."
    )


class Folder:
    path, n_layers, n_hidden = "folder", 5, 16
    config = {"model_type": "tiny", "stages": 3}


@pytest.mark.parametrize(
    ("family", "n_layers"),
    [(Family(), 5), (Family(n_layers=lambda config: config["stages"]), 3)],
)
def test_layers_are_counted_by_the_family_or_by_the_usual_names(family, n_layers):
    assert replace(SERIES, families={"tiny": family}).n_layers(Folder) == n_layers


@pytest.mark.parametrize(("width_in_config", "n_hidden"), [(True, 16), (False, None)])
def test_the_width_is_read_where_the_config_has_it(width_in_config, n_hidden):
    assert replace(SERIES, width_in_config=width_in_config).n_hidden(Folder) == n_hidden


def test_it_cannot_be_changed():
    with pytest.raises(FrozenInstanceError):
        SERIES.chunk = 3
