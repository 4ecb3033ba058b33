"""Which head the parameters ask for."""

from dataclasses import replace

import numpy as np
import pytest
from time_series import SERIES

from skembed import BertEmbedder
from skembed.embedder._inputs import Preprocessor
from skembed.models._graph_summary import GraphSummary
from skembed.models._head import Dense, Head
from skembed.models._modality import Family
from skembed.models._sentence import Modules
from skembed.network._head import head_of, precomputed_of
from skembed.network._request import Request


@pytest.mark.parametrize(
    "value",
    [{}, {"pool": ["mean"]}, {"pooling": "mean"}, {"pooling": []}, {"layers": -1}],
    ids=str,
)
def test_what_precompute_must_be(tiny_bert, value):
    with pytest.raises(ValueError, match="'precompute' parameter of BertEmbedder must be None or"):
        BertEmbedder(tiny_bert, precompute=value).fit(["a"])


def test_heads_that_precompute_names_are_checked(tiny_bert):
    with pytest.raises(ValueError, match=r"'pooling' parameter .* Got 'median' instead"):
        BertEmbedder(tiny_bert, precompute={"pooling": ["median"]}).fit(["a"])
    with pytest.raises(ValueError, match=r"'layers' parameter .* Got 7 instead"):
        BertEmbedder(tiny_bert, precompute={"layers": [7]}).fit(["a"])


@pytest.mark.parametrize("values", [range(-2, 0), np.array([-2, -1]), (np.int64(-2), -1)])
def test_precompute_takes_any_sequence(tiny_bert, values):
    """`range` and arrays are what a grid is written with."""
    embedder = BertEmbedder(tiny_bert, precompute={"layers": values}).fit(["a"])
    listed = BertEmbedder(tiny_bert, precompute={"layers": [-2, -1]}).fit(["a"])
    assert embedder._network.pieces == listed._network.pieces


@pytest.mark.parametrize("pooling", [None, 3, [["mean"]], [None]])
def test_precompute_names_the_value_that_is_wrong(tiny_bert, pooling):
    """Values that are not names are refused as unknown names are."""
    with pytest.raises(ValueError, match=r"^precompute=.* parameter of BertEmbedder must be"):
        BertEmbedder(tiny_bert, precompute={"pooling": [pooling]}).fit(["a"])


# -- of a folder that says how it is pooled -------------------------------------------------------


class Folder:
    """What `head_of` reads of a `ModelFolder`."""

    def __init__(self, *, n_layers=4, onnx=None, manifest=None, **modules):
        self.path, self.onnx, self.manifest = "folder", onnx, manifest
        self.n_hidden, self.config = 8, {"model_type": "tiny"}
        self.n_layers, self.modules = n_layers, Modules(**modules)
        self.graph = GraphSummary({"an output": 2}, frozenset())


TOKENS = replace(
    SERIES,
    poolings={"mean": ("mean",), "cls": ("cls",), "mean_max": ("mean", "max")},
    families={"tiny": Family()},
    auto_pooling=("cls",),
    has_pooled_state=False,
    width_in_config=True,
)
POOLED = replace(TOKENS, has_pooled_state=True)
DENSE = Dense("dense.safetensors", "0" * 64, "Tanh", False, 6)


def request_of(**given):
    defaults = {
        **{"estimator": "Estimator", "model": "folder", "revision": None, "seed": None},
        **{"pooling": "auto", "layers": -1, "normalize": "auto", "truncate_dim": None},
        **{"precompute": None, "backend": "auto", "precision": "float32", "device": "auto"},
        "make_preprocessor": None,
    }
    return Request(**{**defaults, **given})


def head(folder=None, modality=TOKENS, n_prompt_tokens=0, **given):
    preprocessor = Preprocessor()
    preprocessor.n_prompt_tokens = n_prompt_tokens
    return head_of(request_of(**given), modality, folder or Folder(), preprocessor)


@pytest.mark.parametrize(
    ("folder", "given", "expected"),
    [
        ({}, {}, Head(pooling=("cls",))),  # the modality's own
        ({"pooling": ("max",)}, {}, Head(pooling=("max",))),  # the folder's
        ({"pooling": ("max",)}, {"pooling": "mean"}, Head()),
        ({}, {"pooling": ["cls", "mean_max"]}, Head(pooling=("cls", "mean", "max"))),
        ({"normalize": True}, {}, Head(pooling=("cls",), normalize=True)),
        ({"normalize": True}, {"normalize": False}, Head(pooling=("cls",))),
        ({}, {"normalize": True}, Head(pooling=("cls",), normalize=True)),
        ({}, {"layers": [0, -2]}, Head(layers=(0, -2), pooling=("cls",))),
        ({}, {"layers": np.int64(3)}, Head(layers=(3,), pooling=("cls",))),
        ({}, {"truncate_dim": 3}, Head(pooling=("cls",), truncate_dim=3)),
        ({"dense": (DENSE,)}, {}, Head(pooling=("cls",), dense=(DENSE,))),
        # Dense layers were learned on the model's own pooling.
        ({"dense": (DENSE,)}, {"pooling": "cls"}, Head(pooling=("cls",))),
        ({"dense": (DENSE,)}, {"truncate_dim": 6}, Head((-1,), ("cls",), 0, (DENSE,), 6)),
        # A folder truncates last, unless a unit length is asked for.
        (
            {"normalize": True, "truncate_dim": 4},
            {},
            Head(pooling=("cls",), normalize=True, truncate_dim=4, truncate_last=True),
        ),
        (
            {"truncate_dim": 4},
            {"normalize": True},
            Head(pooling=("cls",), normalize=True, truncate_dim=4),
        ),
        (
            {"normalize": True, "truncate_dim": 4},
            {"truncate_dim": 2},
            Head(pooling=("cls",), normalize=True, truncate_dim=2),
        ),
    ],
)
def test_the_head_of_parameters_and_modules(folder, given, expected):
    assert head(Folder(**folder), **given) == expected


@pytest.mark.parametrize(("include_prompt", "skip"), [(True, 0), (False, 3)])
def test_a_prompt_is_left_out_where_the_folder_says_so(include_prompt, skip):
    assert head(Folder(include_prompt=include_prompt), n_prompt_tokens=3).skip == skip


@pytest.mark.parametrize(
    ("pooling", "layers", "expected"),
    [
        ("auto", -1, (-1,)),  # the pooled state
        ("auto", 4, (-1,)),
        ("auto", -2, (-3,)),
        ("auto", [-1, 0], (-2, 0)),
        ("mean", -1, (-2,)),  # the last state before it
        ("mean", [0, 4, -5], (0, 4, -6)),
    ],
)
def test_layers_of_a_network_whose_last_state_is_its_pooled_vector(pooling, layers, expected):
    assert head(modality=POOLED, pooling=pooling, layers=layers).layers == expected


def test_layers_are_not_bounded_where_their_number_is_not_known():
    assert head(Folder(n_layers=None), layers=[99, -99]).layers == (99, -99)


@pytest.mark.parametrize("layers", [5, -6, [0, 5], [], 1.0, True, "last", None])
def test_layers_that_are_not_there(layers):
    with pytest.raises(ValueError, match=r"'layers' parameter of Estimator .* from -5 to 4"):
        head(layers=layers)


@pytest.mark.parametrize("pooling", ["max", [], ["mean", "max"], None, 3, [["mean"]]])
def test_poolings_that_are_not_there(pooling):
    with pytest.raises(ValueError, match="'pooling' parameter of Estimator must be 'auto', one of"):
        head(pooling=pooling)


def test_dense_layers_take_one_layer():
    with pytest.raises(ValueError, match=r"take one layer's states. Got layers=\[0, -1\]"):
        head(Folder(dense=(DENSE,)), layers=[0, -1])


@pytest.mark.parametrize(
    ("given", "n_dims"),
    [({}, 8), ({"layers": [0, 1], "pooling": "mean_max"}, 32)],
)
def test_truncate_dim_is_at_most_the_length(given, n_dims):
    assert head(**given, truncate_dim=n_dims).truncate_dim == n_dims
    with pytest.raises(ValueError, match=f"'truncate_dim' .* must be at most {n_dims}"):
        head(**given, truncate_dim=n_dims + 1)


def test_truncate_dim_is_not_checked_where_only_the_network_tells():
    modality = replace(TOKENS, width_in_config=False)
    assert head(modality=modality, truncate_dim=10**6).truncate_dim == 10**6


# -- of a graph -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("manifest", "normalize"),
    [(None, False), ({}, False), ({"head": {"normalize": True}}, True)],
)
def test_a_graph_holds_its_head(manifest, normalize):
    folder = Folder(onnx="model.onnx", manifest=manifest)
    assert head(folder) == head(folder, layers="an output") == Head(normalize=normalize)


@pytest.mark.parametrize(
    "given",
    [
        {"pooling": "mean"},
        {"normalize": False},
        {"truncate_dim": 3},
        {"precompute": {"layers": [0]}},
    ],
    ids=lambda given: next(iter(given)),
)
def test_a_graph_cannot_be_given_another_head(given):
    name = next(iter(given))
    with pytest.raises(ValueError, match=f"model.onnx is run unchanged, so {name} cannot"):
        head(Folder(onnx="model.onnx"), **given)


# -- of several heads -----------------------------------------------------------------------------


def test_pieces_of_all_heads_are_named_once():
    given = {"pooling": ["mean", "mean_max"], "layers": [0, [0, -1]]}
    pieces = precomputed_of(request_of(precompute=given), TOKENS, Folder(), Preprocessor())
    assert set(pieces) == {
        Head(layers=(layer,), pooling=(name,)) for layer in (0, -1) for name in ("mean", "max")
    }
    assert len(pieces) == 4


def test_what_precompute_leaves_out_is_the_parameters_own():
    request = request_of(precompute={"layers": [0, 1]}, pooling="mean")
    pieces = precomputed_of(request, TOKENS, Folder(), Preprocessor())
    assert pieces == (Head(layers=(0,)), Head(layers=(1,)))
    assert precomputed_of(request_of(), TOKENS, Folder(), Preprocessor()) == ()
