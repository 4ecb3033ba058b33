"""Containers of images: stacks, tensors, lazy columns; one image is not a collection."""

from collections.abc import Sequence
from io import BytesIO

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from tiny_images import encode, noise, small_embedder

from skembed.base._on_access import OnAccess
from skembed.base._rows import columns_of
from skembed.image._containers import rows_of

RGB, GRAY = noise(31, 47), noise(31, 47, channels=1)


PNG = encode(RGB, "PNG")


LIMITS = {"max_pixels": 10_000, "max_value": None}


class Lazy(Sequence):
    """A column whose images are decoded when they are asked for."""

    def __init__(self, contents):
        self.contents, self.n_made = contents, 0

    def __len__(self):
        return len(self.contents)

    def __getitem__(self, index):
        self.n_made += 1
        image = Image.open(BytesIO(self.contents[index]))
        image.load()
        return image


def test_containers_of_every_kind():
    arrays = [noise(20, 20, seed) for seed in range(3)]
    contents = [encode(array, "PNG") for array in arrays]
    expected = small_embedder().fit_transform(arrays)
    dicts = [{"bytes": content, "path": None} for content in contents]
    separate = np.empty(3, dtype=object)
    separate[:] = contents
    tensors = torch.from_numpy(np.stack(arrays))
    for X in (
        separate,
        np.array(arrays, dtype=object),
        dicts,
        pd.Series(dicts),
        [BytesIO(content) for content in contents],
        Lazy(contents),
        tensors,
        tensors.permute(0, 3, 1, 2),
        list(tensors),
    ):
        np.testing.assert_allclose(small_embedder().fit_transform(X), expected, atol=1e-6)


def test_lazy_columns_are_not_held_in_memory():
    contents = [encode(noise(9, 9, seed), "PNG") for seed in range(4)]
    lazy = Lazy([*contents, contents[0], contents[1][:-30]])
    rows = rows_of(lazy, "CNNImageEmbedder")
    assert isinstance(rows, OnAccess)
    assert lazy.n_made == 0
    assert columns_of(rows, estimator="CNNImageEmbedder", kind="images").rows is rows
    vectors = small_embedder(bad_rows="nan").fit_transform(lazy)
    assert np.isnan(vectors).any(axis=1).tolist() == [False] * 5 + [True]
    np.testing.assert_array_equal(vectors[0], vectors[4])


def test_one_image_or_channels_first_is_no_collection():
    for X in (BytesIO(PNG), {"bytes": PNG, "path": None}, torch.zeros(3, 9, 9), RGB):
        with pytest.raises(TypeError, match=r"Wrap it in a list: \[x\]"):
            rows_of(X, "CNNImageEmbedder")
    with pytest.raises(ValueError, match=r"X.transpose\(0, 2, 3, 1\)"):
        rows_of(np.zeros((5, 3, 20, 20), np.uint8), "CNNImageEmbedder")
    assert len(rows_of(np.zeros((5, 20, 3, 3), np.uint8), "CNNImageEmbedder")) == 5
