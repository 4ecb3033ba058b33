"""Log-mel spectrograms against transformers' extractors and scipy; in a graph against numpy."""

import warnings
from dataclasses import replace

import numpy as np
import pytest
import scipy.signal
import torch
import transformers

from skembed.audio._log_mel import PRESETS, LogMel
from skembed.audio._log_mel_module import LogMelModule
from skembed.runtime._export import _quiet, _to_onnx
from skembed.runtime._onnx import OnnxRunner

SECONDS = 1.3


def sound(rate, seconds=SECONDS, seed=0):
    """A chord, a click and soft noise: loud bands beside quiet ones."""
    random = np.random.default_rng(seed)
    times = np.arange(int(rate * seconds)) / rate
    chord = sum(np.sin(2 * np.pi * pitch * times) for pitch in random.uniform(80, 3000, 4))
    samples = 0.2 * chord + 1e-4 * random.standard_normal(len(times))
    samples[len(samples) // 2] += 0.5
    return samples.astype(np.float32)


def extracted(extractor, samples):
    values = extractor(samples, sampling_rate=extractor.sampling_rate, return_tensors="np")
    return np.asarray(values[extractor.model_input_names[0]]).squeeze()


@pytest.fixture
def quietly():
    with warnings.catch_warnings():  # transformers', of bands narrower than a bin
        warnings.filterwarnings("ignore", message="At least one mel filter has all zero")
        yield


@pytest.mark.parametrize("seed", range(3))
def test_ast_is_transformers_own(quietly, seed):
    """Cut to 1,024 frames, or filled up before normalising."""
    extractor = transformers.ASTFeatureExtractor()
    for seconds in (0.5, 10.24, 11):
        samples = sound(16000, seconds, seed)
        expected = extracted(extractor, samples)
        np.testing.assert_allclose(PRESETS["ast"](samples), expected, atol=1e-5)


@pytest.mark.parametrize("seed", range(3))
def test_whisper_is_transformers_own(seed):
    """Thirty seconds, of which the sound is a part."""
    samples = np.pad(sound(16000, seed=seed), (0, 30 * 16000 - int(SECONDS * 16000)))
    expected = extracted(transformers.WhisperFeatureExtractor(), samples)
    np.testing.assert_allclose(PRESETS["whisper"](samples).T, expected, atol=1e-4)


@pytest.mark.parametrize("fused", [False, True])
def test_clap_is_transformers_own(fused):
    """Slaney's bands for cut sounds, straight ones in HTK's scale for fused ones."""
    samples = sound(48000, 10)
    extractor = transformers.ClapFeatureExtractor(
        frequency_min=50, truncation="fusion" if fused else "rand_trunc"
    )
    log_mel = PRESETS["clap"]
    if fused:
        log_mel = replace(log_mel, mel_scale="htk", area=False)
    expected = extracted(extractor, samples)
    expected = expected[0] if fused else expected
    np.testing.assert_allclose(log_mel(samples), expected, atol=1e-4)


def test_power_is_scipys():
    """One band a bin, as it were: the sum of all is scipy's spectrogram's."""
    log_mel = LogMel(8000, 10, 256, 256, 64, 0, 4000, mel_scale="htk", area=False, center=False)
    samples = sound(8000)
    _, _, spectrum = scipy.signal.spectrogram(
        samples.astype(np.float64),
        window=scipy.signal.get_window("hann", 256),
        noverlap=256 - 64,
        detrend=False,
        scaling="spectrum",
        mode="complex",
    )
    power = np.abs(spectrum.T * scipy.signal.get_window("hann", 256).sum()) ** 2
    expected = 10 * np.log10(np.maximum(power @ log_mel.bands(), 1e-10))
    np.testing.assert_allclose(log_mel(samples), expected, atol=1e-4)


@pytest.mark.parametrize("name", PRESETS)
def test_bands_cover_what_they_should(name):
    """Each begins where the one before peaks; none is outside its limits."""
    log_mel = PRESETS[name]
    bands = log_mel.bands()
    hertz = np.arange(len(bands)) * log_mel.sampling_rate / log_mel.n_fft
    used = hertz[bands.any(axis=1)]
    assert used.min() >= log_mel.f_min
    assert used.max() <= log_mel.f_max
    assert (bands >= 0).all()
    centers = [hertz[band.argmax()] for band in bands.T if band.any()]
    assert centers == sorted(centers)


VARIANTS = {
    **PRESETS,
    "odd": LogMel(8000, 12, 300, 201, 77, 30, 3900, periodic=False, magnitude=True, offset=1e-3),
    "cut": LogMel(8000, 12, 256, 200, 80, 0, 4000, n_frames=40, preemphasis=0.9, remove_mean=True),
}


@pytest.mark.parametrize("name", VARIANTS)
def test_a_graph_computes_what_numpy_does(name, tmp_path):
    """In torch and in ONNX Runtime, for sounds of any length and for silence."""
    log_mel = VARIANTS[name]
    module = log_mel.module().eval()
    assert isinstance(module, LogMelModule)
    both = np.stack([sound(log_mel.sampling_rate, seed=seed) for seed in (0, 1)])
    sizes = {axis: torch.export.Dim.DYNAMIC for axis in (0, 1)}
    with _quiet():
        program = _to_onnx(
            module, (torch.from_numpy(both),), ["waveforms"], ["spectrograms"], (sizes,)
        )
    program.save(str(tmp_path / "graph.onnx"))
    runner = OnnxRunner(tmp_path / "graph.onnx", "waveforms")
    shortest = sound(log_mel.sampling_rate)[None, : log_mel.shortest]
    for waveforms in (both, both[:1, ::2], np.zeros_like(both[:1]), shortest):
        expected = np.stack([log_mel(samples) for samples in waveforms])
        assert expected.shape[1:] == (log_mel.count(waveforms.shape[1]), log_mel.n_mels)
        found = module(torch.from_numpy(np.ascontiguousarray(waveforms))).numpy()
        np.testing.assert_allclose(found, expected, atol=1e-4)
        (found,) = runner.run([waveforms], 1)
        np.testing.assert_allclose(found, expected, atol=1e-4)
        assert found.dtype == np.float32
