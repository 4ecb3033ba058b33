"""Rows become network inputs: on threads, with the reasons of bad rows."""

from dataclasses import dataclass

import numpy as np
import pytest

from skembed.base._files import UnreadableRowError
from skembed.embedder._inputs import Prepared, Preprocessor, check_same_settings
from skembed.exceptions import ExportError
from skembed.models._folder import ModelFolder


@dataclass(frozen=True)
class Numbers(Preprocessor):
    """Rows are numbers; negative ones cannot be read."""

    scale: float = 1.0

    def _prepared(self, row, key):
        if row < 0:
            raise UnreadableRowError(f"{row} is negative")
        return Prepared([np.full(2, row * self.scale), key], [1, 3], cut=row > 5)

    def settings(self):
        return {"scale": self.scale}


def fail(*_):
    raise ZeroDivisionError


@pytest.mark.parametrize("n_threads", [1, 3])
def test_rows_are_prepared_in_their_order(n_threads):
    """A bad row takes its place without any input."""
    rows = [4, -1, 6, -2, 0]
    keys = [bytes([i]) for i in range(5)]
    prepared, reasons = Numbers(2.0).prepare(rows, keys, n_threads)
    assert reasons == {1: "-1 is negative", 3: "-2 is negative"}
    assert [row.cut for row in prepared] == [False, False, True, False, False]
    assert prepared[1] == prepared[3] == Prepared([], [])
    for i in (0, 2, 4):
        assert prepared[i].inputs[0].tolist() == [rows[i] * 2.0] * 2
        assert prepared[i].inputs[1] == keys[i]


def test_no_rows():
    assert Numbers().prepare([], [], 2) == ([], {})


def test_what_a_preprocessor_has_by_default():
    plain = Numbers(3.0)
    assert plain.files == ()
    assert plain.libraries == ()
    assert (plain.stem, plain.fixed_shape, plain.n_prompt_tokens) == (None, None, 0)
    assert plain.input_settings() == plain.settings() == {"scale": 3.0}
    assert plain.moved(fail) is plain
    assert plain.n_row_dims(7) == 7


def test_windows_are_averaged_by_their_weights():
    vectors = np.array([[0.0, 4.0], [4.0, 0.0]])
    np.testing.assert_array_equal(Numbers().joined(vectors, [1, 3]), [3.0, 1.0])


@pytest.mark.parametrize(
    ("method", "arguments"),
    [("_prepared", (0, b"")), ("settings", ()), ("probes", ()), ("save", ("folder",))],
)
def test_what_a_modality_must_supply(method, arguments):
    with pytest.raises(NotImplementedError):
        getattr(Preprocessor(), method)(*arguments)


def test_settings_that_a_folder_does_not_store_are_named(tmp_path):
    check_same_settings(Numbers(2.0), Numbers(2.0), ModelFolder(tmp_path))
    with pytest.raises(ExportError, match=r"do not store scale=2.0; they give 3.0. Use format="):
        check_same_settings(Numbers(2.0), Numbers(3.0), ModelFolder(tmp_path))
