"""A request holds an embedder's parameters as plain data."""

from dataclasses import FrozenInstanceError, fields

import numpy as np
import pytest
from time_series import SeriesEmbedder, SeriesPreprocessor

from skembed.network._request import Request

PARAMETERS = {f.name for f in fields(Request)} - {"estimator", "seed", "make_preprocessor"}


def test_a_request_has_the_parameters_of_the_embedder():
    embedder = SeriesEmbedder(pooling="max", layers=0, truncate_dim=3, precompute={"layers": [0]})
    request = embedder._request()
    assert PARAMETERS <= set(embedder.get_params())
    for name in PARAMETERS:
        assert getattr(request, name) == getattr(embedder, name)
    assert request.estimator == "SeriesEmbedder"


def test_its_values_are_of_pythons_own_types():
    """So that equal parameters make equal fingerprints."""
    embedder = SeriesEmbedder(
        model=np.str_("series-cnn"),
        layers=np.array([-1, 0]),
        truncate_dim=np.int64(3),
        normalize=np.True_,
        random_state=np.int32(7),
        precompute={"layers": np.arange(2)},
    )
    request = embedder._request()
    assert (request.layers, request.truncate_dim, request.normalize) == ([-1, 0], 3, True)
    assert request.precompute == {"layers": [0, 1]}
    values = (request.model, request.truncate_dim, request.normalize, request.seed)
    assert [type(value) for value in values] == [str, int, bool, int]
    assert all(type(layer) is int for layer in request.layers)


def test_pretrained_weights_have_no_seed():
    assert SeriesEmbedder(pretrained=True, random_state=3)._request().seed is None
    seeds = [SeriesEmbedder(random_state=state)._request().seed for state in (3, 3, 4)]
    assert seeds[0] == seeds[1] != seeds[2]


def test_it_makes_the_preprocessor_of_its_moment():
    """Parameters that are set later do not reach it."""
    embedder = SeriesEmbedder(max_steps=np.int64(9))
    request = embedder._request()
    embedder.set_params(max_steps=5)
    assert request.make_preprocessor(None) == SeriesPreprocessor(9)


def test_it_cannot_be_changed():
    with pytest.raises(FrozenInstanceError):
        SeriesEmbedder()._request().layers = 0
