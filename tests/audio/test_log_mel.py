"""Log-mel spectrograms against transformers' extractors and scipy; in the graph against numpy."""

import numpy as np
import pytest
import scipy.signal
import torch
import transformers
from tiny_sounds import clips
from transformers.audio_utils import mel_filter_bank

from skembed.audio._log_mel import PRESETS, LogMel
from skembed.audio._windows import repeated

# transformers', of AST's own bands: the lowest are narrower than a bin.
pytestmark = pytest.mark.filterwarnings("ignore:At least one mel filter has all zero values")


# -- against transformers -------------------------------------------------------------------------


def theirs_ast(sound):
    extractor = transformers.ASTFeatureExtractor()
    return extractor(sound, sampling_rate=16_000, return_tensors="np")["input_values"][0]


def theirs_whisper(sound):
    extractor = transformers.WhisperFeatureExtractor()
    features = extractor._np_extract_fbank_features([extractor_padded(sound)], "cpu")
    return features[0].T


def extractor_padded(sound, n_samples=480_000):
    return np.pad(sound, (0, n_samples - len(sound)))


def theirs_clap(sound):
    extractor = transformers.ClapFeatureExtractor(truncation="rand_trunc", frequency_min=50)
    answer = extractor(sound, sampling_rate=48_000, return_tensors="np")
    return np.asarray(answer["input_features"])[0, 0]


@pytest.mark.parametrize("seconds", [0.5, 2.0, 9.9])
def test_ast_is_transformers(seconds):
    for sound in clips(16_000, seconds):
        ours = PRESETS["ast"](sound)
        assert ours.dtype == np.float32
        np.testing.assert_allclose(ours, theirs_ast(sound), rtol=0, atol=1e-4)


def test_whisper_is_transformers():
    for sound in clips(16_000, 1.0):
        ours = PRESETS["whisper"](extractor_padded(sound))
        np.testing.assert_allclose(ours, theirs_whisper(sound), rtol=0, atol=1e-4)


def test_clap_is_transformers():
    """Short sounds are repeated, then filled up with silence."""
    for sound in clips(48_000, 3.0):
        ours = PRESETS["clap"](repeated(sound, 480_000))
        np.testing.assert_allclose(ours, theirs_clap(sound), rtol=0, atol=1e-4)


@pytest.mark.parametrize("mel_scale", ["htk", "slaney", "kaldi"])
@pytest.mark.parametrize("area", [True, False])
def test_bands_are_transformers(mel_scale, area):
    log_mel = LogMel(16_000, 40, 512, 400, 160, 20, 8_000, mel_scale=mel_scale, area=area)
    expected = mel_filter_bank(
        257,
        40,
        20,
        8_000,
        16_000,
        norm="slaney" if area and mel_scale != "kaldi" else None,
        mel_scale=mel_scale,
        triangularize_in_mel_space=mel_scale == "kaldi",
    )
    if mel_scale != "kaldi" or not area:
        np.testing.assert_allclose(log_mel.bands(), expected, rtol=0, atol=1e-9)


# -- against scipy and formulas -------------------------------------------------------------------


def test_panns_is_scipy():
    """PANNs: librosa's spectrogram and bands, in decibels; here scipy's transform."""
    log_mel = PRESETS["panns"]
    bands = mel_filter_bank(513, 64, 50, 14_000, 32_000, norm="slaney", mel_scale="slaney")
    for sound in clips(32_000):
        padded = np.pad(sound.astype(np.float64), 512, mode="reflect")
        _, _, spectrum = scipy.signal.stft(
            padded,
            window=scipy.signal.get_window("hann", 1024),
            nperseg=1024,
            noverlap=1024 - 320,
            boundary=None,
            padded=False,
            scaling="spectrum",
        )
        power = np.abs(spectrum * 512) ** 2  # scipy divides by the window's sum
        expected = 10 * np.log10(np.maximum(1e-10, bands.T @ power)).T
        np.testing.assert_allclose(log_mel(sound), expected, rtol=0, atol=1e-4)


def test_vggish_is_its_papers_formula():
    """Magnitudes, in bands that are straight over mel; 0.01 is added before the logarithm."""
    mel = 1127 * np.log(1 + np.arange(257) * 16_000 / 512 / 700)
    edges = np.linspace(1127 * np.log(1 + 125 / 700), 1127 * np.log(1 + 7_500 / 700), 66)
    rising = (mel[:, None] - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - mel[:, None]) / (edges[2:] - edges[1:-1])
    bands = np.maximum(0, np.minimum(rising, falling))
    window = scipy.signal.get_window("hann", 400)
    for sound in clips(16_000):
        starts = range(0, len(sound) - 399, 160)
        frames = np.stack([sound[i : i + 400] * window for i in starts])
        expected = np.log(np.abs(np.fft.rfft(frames, 512)) @ bands + 0.01)
        np.testing.assert_allclose(PRESETS["vggish"](sound), expected, rtol=0, atol=1e-4)


def test_birdset_is_torchaudios_by_formula():
    """torchaudio's power spectrogram and triangles; 80 dB below the loudest; standardized."""
    bands = mel_filter_bank(513, 128, 0, 16_000, 32_000, norm=None, mel_scale="htk")
    window = torch.hann_window(1024, dtype=torch.float64)
    for sound in clips(32_000):
        spectrum = torch.stft(
            torch.from_numpy(sound).double(), 1024, 320, window=window, return_complex=True
        )
        decibels = 10 * np.log10(np.maximum(1e-10, bands.T @ (spectrum.abs() ** 2).numpy())).T
        expected = (np.maximum(decibels, decibels.max() - 80) + 4.268) / 4.569
        np.testing.assert_allclose(PRESETS["birdset"](sound), expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize("name", PRESETS)
def test_frames_are_counted_beforehand(name):
    log_mel = PRESETS[name]
    for n_samples in (log_mel.shortest, 2_000, 16_001, 40_000):
        sound = np.zeros(max(n_samples, log_mel.shortest), np.float32)
        assert log_mel(sound).shape == (log_mel.count(len(sound)), log_mel.n_mels)
