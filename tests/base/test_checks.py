"""Checks of parameters."""

import pytest

from skembed.base._checks import check_truncate_dim


@pytest.mark.parametrize(("truncate_dim", "n_dims"), [(None, 4), (4, 4), (1, 4), (5, None)])
def test_truncate_dim_that_fits_or_is_not_known_to_be_too_long(truncate_dim, n_dims):
    check_truncate_dim("BertEmbedder", truncate_dim, n_dims)


def test_truncate_dim_that_is_too_long():
    with pytest.raises(ValueError, match=r"of BertEmbedder must be at most 4, .*Got 5 instead"):
        check_truncate_dim("BertEmbedder", 5, 4)
    with pytest.raises(
        ValueError, match=r"at most 4, the length of the learned projection\. Got 5"
    ):
        check_truncate_dim("BertEmbedder", 5, 4, projected=True)
