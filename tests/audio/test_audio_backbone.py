"""Networks for sounds against transformers' own forward, on what its own extractors give."""

import warnings

import numpy as np
import onnxruntime
import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file
from tiny_sounds import FAMILIES, save_tiny_hearing, sound

from skembed import AudioEmbedder
from skembed.audio._audio import SOUNDS
from skembed.audio._backbone import AudioStates, replace_channel_norms
from skembed.exceptions import ModelFormatError
from skembed.models._backbone import load_backbone

SECONDS = {"whisper": (1.0, 2.0), "clap": (0.4, 1.0), "clap-fused": (0.4, 1.0)}


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
        if folder.name.startswith("clap"):
            if "is_longer" in given:  # of a single short sound its extractor says so at random
                given["is_longer"] = torch.zeros(1, 1, dtype=torch.bool)
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
    rate = 48000 if folder.name.startswith("clap") else 16000
    for seconds in SECONDS.get(folder.name, (0.3, 0.7, 0.99)):
        samples = sound(seconds, rate)
        expected = reference(folder, samples, rate)[1].numpy()
        found = embedder.fit_transform([(samples, rate)])
        np.testing.assert_allclose(found, expected, atol=1e-4 * max(1, np.abs(expected).max()))
    assert embedder.show_runtime()["backend"] == backend


@pytest.mark.parametrize("layer", [0, 1])
def test_layers_are_those_of_transformers(folder, layer):
    rate = 48000 if folder.name.startswith("clap") else 16000
    samples = sound(0.9, rate)
    state = reference(folder, samples, rate)[0][layer]
    state = state.flatten(2).transpose(1, 2) if state.ndim == 4 else state
    embedder = AudioEmbedder(folder, backend="torch", layers=layer, pooling="mean_max")
    expected = torch.cat([state.mean(dim=1), state.amax(dim=1)], dim=1).numpy()
    found = embedder.fit_transform([(samples, rate)])
    np.testing.assert_allclose(found, expected, atol=1e-4 * max(1, np.abs(expected).max()))


@pytest.mark.filterwarnings("ignore")  # the exporter's
def test_norms_over_time_add_with_care(tmp_path):
    """A quiet sound with a loud part: ONNX Runtime adds one by one, in float32 off by 7e-5."""
    random = np.random.default_rng(0)
    states = 0.05 * random.standard_normal((1, 8, 40_000))
    states[:, :, 9_000:9_400] *= 100
    states = torch.from_numpy(states.astype(np.float32))
    norm = torch.nn.GroupNorm(8, 8).requires_grad_(False)
    expected = norm.double()(states.double()).numpy()
    model = torch.nn.Sequential(norm.float())
    replace_channel_norms(model)
    path = str(tmp_path / "norm.onnx")
    torch.onnx.export(model, (states,), dynamo=True, opset_version=20, verbose=False).save(path)
    session = onnxruntime.InferenceSession(path)
    (found,) = session.run(None, {session.get_inputs()[0].name: states.numpy()})
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)


ONE_CHANNEL = {
    "ConvNext": {"depths": [1, 1], "hidden_sizes": [8, 12], "num_stages": 2, "patch_size": 2},
    "EfficientNet": {
        "width_coefficient": 0.1,
        "depth_coefficient": 0.3,
        "hidden_dim": 128,
        "num_block_repeats": [1, 1],
        "kernel_sizes": [3, 3],
        "in_channels": [32, 16],
        "out_channels": [16, 24],
        "strides": [1, 2],
        "expand_ratios": [1, 6],
    },
}


@pytest.mark.parametrize("family", ONE_CHANNEL)
def test_one_channel_networks_for_images_hear_spectrograms(tmp_path, family):
    """Bands from top to bottom, time from left to right, as BirdSet's ConvNeXT."""
    config = getattr(transformers, f"{family}Config")(num_channels=1, **ONE_CHANNEL[family])
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = getattr(transformers, f"{family}Model")(config).eval()
        for parameter in model.parameters():  # through whose layers something comes
            if parameter.ndim > 1:
                torch.nn.init.normal_(parameter, std=0.3)
    model.save_pretrained(tmp_path)
    embedder = AudioEmbedder(tmp_path, front_end="birdset", backend="onnx")
    samples = sound(5.0, 32000)
    found = embedder.fit_transform([(samples, 32000)])
    log_mel = embedder._network.preprocessor.preprocessing.log_mel(samples)
    with torch.no_grad():
        pixels = torch.from_numpy(np.ascontiguousarray(log_mel.T))[None, None]
        answer = model(pixels)
    # EfficientNet's own pooler has a window of a fixed size; it means the mean of the map.
    expected = answer.pooler_output if family == "ConvNext" else answer[0].mean(dim=(2, 3))
    scale = max(1.0, float(expected.abs().max()))
    np.testing.assert_allclose(found, expected.numpy(), atol=1e-4 * scale)


def test_other_families_are_refused():
    model = transformers.BertModel(transformers.BertConfig(**{"num_hidden_layers": 0}))
    with pytest.raises(ModelFormatError, match=r"family 'bert'\. Families for sounds"):
        AudioStates(model, SOUNDS.input_name, SOUNDS.family(model.config.model_type, "Folder"))


def change_weights(folder, change):
    weights = load_file(folder / "model.safetensors")
    save_file(change(weights), folder / "model.safetensors", metadata={"format": "pt"})


@pytest.mark.parametrize(
    ("family", "parts", "needed"),
    [
        ("whisper", ("decoder.",), "encoder.layers.0.fc1.weight"),
        (
            "clap",
            ("text_model.", "text_projection.", "logit_scale"),
            "audio_projection.linear1.bias",
        ),
        ("wav2vec2", ("masked_spec_embed",), "encoder.layers.1.final_layer_norm.bias"),
    ],
)
def test_what_no_state_comes_from_may_be_missing(tmp_path, family, parts, needed):
    """As in files of networks that were tuned for classes; nothing else may."""
    folder = save_tiny_hearing(tmp_path, family)
    before = load_backbone(folder, SOUNDS).state_dict()
    n_weights = len(load_file(folder / "model.safetensors"))
    change_weights(folder, lambda w: {k: v for k, v in w.items() if not k.startswith(parts)})
    assert len(load_file(folder / "model.safetensors")) < n_weights
    after = load_backbone(folder, SOUNDS).state_dict()
    unused = "model.masked_spec_embed"
    assert all(torch.equal(after[name], before[name]) for name in before if name != unused)
    change_weights(folder, lambda weights: {k: v for k, v in weights.items() if k != needed})
    with pytest.raises(ModelFormatError, match=f"1 weights of .* {needed} among them"):
        load_backbone(folder, SOUNDS)
