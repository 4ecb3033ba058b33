"""Sounds in stacks, file objects and dicts without a rate; what may be one sound or several."""

import io
import re

import numpy as np
import pytest
import torch
from tiny import without_array
from tiny_sounds import encoded

from skembed import AudioEmbedder
from skembed.audio._containers import rows_of
from skembed.exceptions import BadRowsError

SETTINGS = {"pretrained": False, "random_state": 0, "backend": "torch", "cache": None}
SOUNDS = np.random.default_rng(0).uniform(-0.5, 0.5, (3, 8_000)).astype(np.float32)


def embedder(**settings):
    return AudioEmbedder("cnn-small", **SETTINGS | {"sampling_rate": 8_000} | settings)


@pytest.fixture(scope="module")
def expected():
    return embedder().fit_transform(list(SOUNDS))


@pytest.mark.parametrize(
    "X",
    [
        torch.from_numpy(SOUNDS),
        torch.from_numpy(SOUNDS).requires_grad_(),
        torch.from_numpy(SOUNDS)[:, :, None],
        torch.from_numpy(SOUNDS)[:, None].repeat(1, 2, 1),  # channels first, as in torchaudio
        SOUNDS.astype(object),
        SOUNDS[:, :, None].astype(object),
        np.ma.masked_array(SOUNDS),
        list(SOUNDS.astype(object)),
        [{"array": sound, "sampling_rate": None} for sound in SOUNDS],
        [(sound, None) for sound in SOUNDS],
    ],
)
def test_stacks_and_rows_without_a_rate(X, expected):
    np.testing.assert_allclose(embedder().fit_transform(X), expected, atol=1e-6)


@pytest.mark.parametrize(
    "X", [torch.from_numpy(SOUNDS[0]), SOUNDS[0].astype(object), np.ma.masked_array(SOUNDS[0])]
)
def test_one_waveform_is_no_collection(X):
    for settings in ({}, {"sampling_rate": None}):
        with pytest.raises(ValueError, match=r"X is numeric .*one waveform, wrap it in a list"):
            embedder(**settings).fit(X)


@pytest.mark.parametrize("X", [torch.from_numpy(SOUNDS), SOUNDS.astype(object)])
def test_a_stack_needs_a_rate(X):
    with pytest.raises(ValueError, match=r"X is numeric .*rows are waveforms, set sampling_rate"):
        embedder(sampling_rate=None).fit(X)
    with pytest.raises(BadRowsError, match="row 1: an array without sampling_rate; set the param"):
        embedder(sampling_rate=None).fit([(SOUNDS[0], 8_000), {"array": X[0]}])


@pytest.mark.parametrize(
    "X",
    [
        io.BytesIO(b"RIFF"),
        {"array": SOUNDS[0], "sampling_rate": 8_000},
        {"bytes": b"RIFF", "path": None},
        {"path": "a.wav"},
        (SOUNDS[0], 8_000),
    ],
)
def test_one_sound_says_so(X):
    with pytest.raises(TypeError, match=r"a collection of sounds, got one .*list: \[x\]"):
        embedder().fit(X)


def test_rows_that_are_missing_are_no_samples():
    X = np.full(2, np.nan, dtype=object)
    assert rows_of(X, "AudioEmbedder", 8_000) is X
    frame = np.full((2, 1), np.nan, dtype=object)
    assert rows_of(frame, "AudioEmbedder", 8_000) is frame


def test_tensors_without_an_array_name_the_remedy():
    sparse, _, quantized = without_array(torch.from_numpy(SOUNDS))
    for X, remedy in ((sparse, "to_dense"), (quantized, "dequantize")):
        with pytest.raises(ValueError, match=rf"expects sounds, got a .*tensor\.{remedy}\(\)"):
            embedder().fit(X)
        with pytest.raises(BadRowsError, match=rf"row 1: a .*tensor\.{remedy}\(\)"):
            embedder().fit([SOUNDS[0], X[0]])


def test_masked_samples_are_refused():
    masked = np.ma.masked_array(SOUNDS, mask=SOUNDS == SOUNDS[1, 7])
    message = "1 of 3 rows is not a sound (row 1: an array with 1 masked value; fill it"
    rows = [{"array": row, "sampling_rate": 8_000} for row in masked]
    for X in (masked, list(masked), rows, [(row, 8_000) for row in masked], masked[:, :, None]):
        with pytest.raises(BadRowsError, match=re.escape(message)):
            embedder().fit_transform(X)


def test_open_files(tmp_path):
    path = tmp_path / "a.wav"
    path.write_bytes(encoded(SOUNDS[0], 8_000))
    vectors = embedder().fit_transform([path])
    with open(path, "rb") as file, open(path) as text:
        file.seek(5)
        np.testing.assert_array_equal(embedder().fit_transform([file, file])[1:], vectors)
        assert file.tell() == 5
        with pytest.raises(BadRowsError, match=r'row 0: a file opened as text; .*mode "rb"'):
            embedder().fit([text])
        with pytest.raises(TypeError, match=r"got one BufferedReader\. Wrap it in a list"):
            embedder().fit(file)
    with pytest.raises(BadRowsError, match="row 0: a closed file; open it again"):
        embedder().fit([file])
