"""Networks for sounds against transformers' own forward, on what its own extractors give."""

import warnings

import numpy as np
import pytest
import torch
import transformers
from tiny_sounds import FAMILIES, save_tiny_hearing, sound

from skembed import AudioEmbedder
from skembed.exceptions import ModelFormatError
from skembed.models._audio_backbone import AudioStates

SECONDS = {"whisper": (1.0, 2.0), "clap": (0.4, 1.0)}


@pytest.fixture(scope="module", params=list(FAMILIES))
def folder(request, tmp_path_factory):
    with warnings.catch_warnings():  # transformers', of bands narrower than a bin
        warnings.filterwarnings("ignore", message="At least one mel filter has all zero")
        return save_tiny_hearing(tmp_path_factory.mktemp("hearing") / request.param, request.param)


def reference(folder, samples, rate):
    """What transformers' extractor and model make of a sound: states, and the pooled vector."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="At least one mel filter has all zero")
        extractor = transformers.AutoFeatureExtractor.from_pretrained(folder)
        given = extractor(samples, sampling_rate=rate, return_tensors="pt")
    model = transformers.AutoModel.from_pretrained(folder).eval()
    with torch.no_grad():
        if folder.name == "clap":
            answer = model.audio_model(**given, output_hidden_states=True)
            return answer.hidden_states, model.audio_projection(answer.pooler_output)
        if folder.name == "whisper":
            model = model.get_encoder()
        answer = model(**given, output_hidden_states=True)
    if folder.name == "ast":
        return [state[:, 2:] for state in answer.hidden_states], answer.pooler_output
    return answer.hidden_states, answer.last_hidden_state.mean(dim=1)


@pytest.mark.parametrize("backend", ["onnx", "torch"])
def test_vectors_are_those_of_transformers(folder, backend):
    """Of a sound of one window, of any length."""
    embedder = AudioEmbedder(folder, backend=backend)
    rate = {"clap": 48000}.get(folder.name, 16000)
    for seconds in SECONDS.get(folder.name, (0.3, 0.7, 0.99)):
        samples = sound(seconds, rate)
        expected = reference(folder, samples, rate)[1].numpy()
        found = embedder.fit_transform([(samples, rate)])
        np.testing.assert_allclose(found, expected, atol=1e-4 * max(1, np.abs(expected).max()))
    assert embedder.show_runtime()["backend"] == backend


@pytest.mark.parametrize("layer", [0, 1])
def test_layers_are_those_of_transformers(folder, layer):
    rate = {"clap": 48000}.get(folder.name, 16000)
    samples = sound(0.9, rate)
    state = reference(folder, samples, rate)[0][layer]
    state = state.flatten(2).transpose(1, 2) if state.ndim == 4 else state
    embedder = AudioEmbedder(folder, backend="torch", layers=layer, pooling="mean_max")
    expected = torch.cat([state.mean(dim=1), state.amax(dim=1)], dim=1).numpy()
    found = embedder.fit_transform([(samples, rate)])
    np.testing.assert_allclose(found, expected, atol=1e-4 * max(1, np.abs(expected).max()))


def test_long_sounds_with_a_burst(tmp_path):
    """Sums over many small numbers and a few large ones: ONNX Runtime adds them one by one."""
    folder = save_tiny_hearing(tmp_path / "wav2vec2", "wav2vec2")
    samples = 0.01 * sound(9.0)
    samples[70_000:71_000] *= 80
    expected = reference(folder, samples, 16000)[1].numpy()
    found = AudioEmbedder(folder, backend="onnx").fit_transform([(samples, 16000)])
    np.testing.assert_allclose(found, expected, atol=2e-5 * max(1, np.abs(expected).max()))


def test_one_channel_networks_for_images_hear_spectrograms(tmp_path):
    """Bands from top to bottom, time from left to right, as BirdSet's ConvNeXT."""
    config = transformers.ConvNextConfig(
        num_channels=1, depths=[1, 1], hidden_sizes=[8, 12], num_stages=2, patch_size=2
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = transformers.ConvNextModel(config).eval()
    model.save_pretrained(tmp_path)
    embedder = AudioEmbedder(tmp_path, front_end="birdset")
    samples = sound(5.0, 32000)
    found = embedder.fit_transform([(samples, 32000)])
    log_mel = embedder._network.front.listening.log_mel(samples)
    with torch.no_grad():
        pixels = torch.from_numpy(np.ascontiguousarray(log_mel.T))[None, None]
        expected = model(pixels).pooler_output.numpy()
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_other_families_are_refused():
    model = transformers.BertModel(transformers.BertConfig(**{"num_hidden_layers": 0}))
    with pytest.raises(ModelFormatError, match="'bert' is not a family of networks for sounds"):
        AudioStates(model, "waveforms")
