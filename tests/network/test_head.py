"""Which head the parameters ask for."""

import numpy as np
import pytest

from skembed import BertEmbedder


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
