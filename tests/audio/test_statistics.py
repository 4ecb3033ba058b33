"""Statistics of MFCC equal NumPy's; the network needs no weights and no seed."""

import sys

import numpy as np
import pytest
import torch
from scipy.fft import dct

import skembed
from skembed import AudioEmbedder, Training
from skembed.audio._log_mel import PRESETS
from skembed.audio._statistics import MfccStatistics
from skembed.exceptions import MissingDependencyError

RANDOM = np.random.default_rng(0)
SOUNDS = [(RANDOM.normal(scale=0.1, size=n), 32000) for n in (600, 8000, 32000)]


def statistics(log_mel, n_mfcc=30):
    mfcc = dct(log_mel.astype(float), axis=1, norm="ortho")[:, :n_mfcc]
    n = len(mfcc)
    change = np.zeros_like(mfcc)
    for i in range(n):
        for step in range(-2, 3):
            change[i] += step * mfcc[np.clip(i + step, 0, n - 1)] / 10
    parts = mfcc.mean(0), mfcc.std(0), mfcc.min(0), mfcc.max(0), change.std(0)
    return np.concatenate(parts)


@pytest.mark.parametrize("n_frames", [1, 2, 4, 100])
def test_statistics_equal_numpy(n_frames):
    log_mel = RANDOM.normal(scale=10, size=(2, n_frames, 64)).astype(np.float32)
    with torch.no_grad():
        bands, mfcc, found = MfccStatistics()(torch.from_numpy(log_mel))
    np.testing.assert_array_equal(bands, log_mel)
    np.testing.assert_allclose(mfcc, dct(log_mel, axis=2, norm="ortho")[..., :30], atol=1e-4)
    np.testing.assert_allclose(found[:, 0], [statistics(rows) for rows in log_mel], atol=1e-4)


@pytest.mark.parametrize("backend", ["onnx", "torch"])
def test_an_embedder_needs_no_weights(backend):
    embedder = AudioEmbedder("mfcc-statistics", backend=backend)
    expected = [
        statistics(PRESETS["mfcc-statistics"](samples.astype(np.float32))) for samples, _ in SOUNDS
    ]
    np.testing.assert_allclose(embedder.fit_transform(SOUNDS), expected, atol=1e-3)
    assert embedder.n_features_out_ == 150


def test_nothing_is_random():
    fixed = AudioEmbedder("mfcc-statistics").fit(SOUNDS)
    for seed in (1, 2):
        drawn = AudioEmbedder("mfcc-statistics", pretrained=False, random_state=seed).fit(SOUNDS)
        assert drawn.fingerprint_ == fixed.fingerprint_


def test_a_folder_of_this_name_has_priority(tmp_path, monkeypatch, tiny_hearing):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mfcc-statistics").symlink_to(tiny_hearing, target_is_directory=True)
    found = AudioEmbedder("mfcc-statistics").fit(SOUNDS)
    assert found.n_features_out_ == AudioEmbedder(tiny_hearing).fit(SOUNDS).n_features_out_


def test_layers_are_bands_and_mfcc():
    assert AudioEmbedder("mfcc-statistics", layers=0).fit_transform(SOUNDS).shape == (3, 64)
    embedder = AudioEmbedder("mfcc-statistics", layers=[0, 1], pooling="mean_max")
    assert embedder.fit_transform(SOUNDS).shape == (3, 2 * (64 + 30))


def test_the_error_of_a_missing_model_names_it():
    with pytest.raises(OSError, match=r'AudioEmbedder\("mfcc-statistics"\)'):
        AudioEmbedder("no-such-network", cache=None).fit(SOUNDS)


def test_a_projection_is_learned():
    training = Training("classification", trainable="head", epochs=2)
    embedder = AudioEmbedder("mfcc-statistics", training=training, random_state=0)
    assert embedder.fit_transform(SOUNDS * 2, [0, 1, 0] * 2).shape == (6, 150)


def test_without_torch_the_message_does_not_speak_of_random_weights(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "torch", None)
    with skembed.config_context(cache_folder=tmp_path):
        with pytest.raises(
            MissingDependencyError, match=r"^A network with fixed weights needs torch"
        ):
            AudioEmbedder("mfcc-statistics").fit(SOUNDS)
        with pytest.raises(MissingDependencyError, match=r"^pretrained=False needs torch"):
            AudioEmbedder("cnn-small", pretrained=False, random_state=0).fit(SOUNDS)
