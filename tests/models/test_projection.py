"""A learned projection: its arithmetic, its identity, its pickle, and what is refused."""

import pickle
from dataclasses import replace

import numpy as np
import pytest

from skembed.exceptions import ModelFormatError
from skembed.models._projection import Projection

random = np.random.default_rng(0)


def normal(*shape):
    return random.standard_normal(shape, dtype=np.float32)


def test_vectors_are_multiplied_by_the_matrix():
    matrix, vectors = normal(33, 7), normal(20, 33)
    projected = Projection.of(matrix).of_rows(vectors)
    assert projected.dtype == np.float32
    expected = vectors.astype(np.float64) @ matrix.astype(np.float64)
    np.testing.assert_array_equal(projected, expected.astype(np.float32))
    assert Projection.of(matrix).of_rows(vectors[:0]).shape == (0, 7)


@pytest.mark.parametrize(("n_in", "n_out"), [(384, 128), (333, 7), (16, 1), (1, 16), (768, 256)])
def test_a_row_does_not_depend_on_other_rows(n_in, n_out):
    """To the bit, whatever their number, their values and how they lie in memory."""
    projection, vectors = Projection.of(normal(n_in, n_out)), normal(301, n_in)
    together = projection.of_rows(vectors)
    for start, stop in [(0, 1), (7, 8), (3, 5), (100, 117), (44, 300), (300, 301)]:
        some = projection.of_rows(vectors[start:stop])
        np.testing.assert_array_equal(some, together[start:stop])
    np.testing.assert_array_equal(projection.of_rows(np.asfortranarray(vectors)), together)
    np.testing.assert_array_equal(projection.of_rows(vectors[::-3]), together[::-3])
    others = np.where(np.arange(301)[:, None] == 9, vectors, np.float32(np.nan))
    np.testing.assert_array_equal(projection.of_rows(others)[9], together[9])


def test_any_array_of_numbers_is_a_matrix():
    matrix = normal(4, 3)
    expected = Projection.of(matrix)
    for other in (np.asfortranarray(matrix), matrix.astype(">f4"), matrix.tolist()):
        assert Projection.of(other) == expected
    assert (expected.n_in, expected.n_out) == (4, 3)
    np.testing.assert_array_equal(expected.matrix, matrix)
    with pytest.raises(ValueError, match="read-only"):
        expected.matrix[0] = 0


def test_the_digest_is_that_of_values_and_shape():
    matrix = normal(4, 3)
    digest = Projection.of(matrix).digest
    assert Projection.of(matrix.copy()).digest == digest
    assert Projection.of(matrix.reshape(3, 4)).digest != digest
    assert Projection.of(np.nextafter(matrix, 2)).digest != digest


def test_a_pickle_holds_the_matrix_once():
    projection = Projection.of(normal(100, 50))
    before = pickle.dumps(projection)
    projection.of_rows(normal(2, 100))
    assert projection.digest
    assert pickle.dumps(projection) == before
    assert len(before) < 4 * 100 * 50 + 300
    assert pickle.loads(before) == projection
    assert len(repr(projection)) < 100


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"content": b"1234567"}, "buffer size must be a multiple"),
        ({"content": b"12345678"}, "cannot reshape array of size 2"),
        ({"n_in": 0, "content": b""}, "it is empty"),
        ({"content": np.full(12, np.nan, "<f4").tobytes()}, "values that are not finite"),
    ],
)
def test_a_damaged_matrix_is_refused(change, message):
    damaged = replace(Projection.of(normal(4, 3)), **change)
    with pytest.raises(
        ModelFormatError, match=f"The learned projection cannot be used: .*{message}"
    ):
        damaged.of_rows(normal(2, 4))


def test_a_matrix_that_is_not_finite_makes_no_projection():
    with pytest.raises(ModelFormatError, match="not finite"):
        Projection.of([[1.0, np.inf]])
