"""Preprocessing by presets, settings, and the files of a model's folder."""

import json
from dataclasses import replace

import numpy as np
import pytest
from tiny_sounds import graph_of_shape, inputs_of, outside, preprocessor_of, tone

from skembed.audio._log_mel import PRESETS
from skembed.exceptions import ModelFormatError

# transformers', of AST's own bands: the lowest are narrower than a bin.
pytestmark = pytest.mark.filterwarnings("ignore:At least one mel filter has all zero values")


@pytest.mark.parametrize("name", PRESETS)
def test_presets_by_name(bare_folder, name):
    front = preprocessor_of(bare_folder, front_end=name)
    assert front.stem == PRESETS[name]
    (ours,) = inputs_of(outside(front), tone(0.4, 22_050), 22_050)
    assert ours.shape[1] == PRESETS[name].n_mels


def test_a_preset_may_be_changed(bare_folder):
    front = preprocessor_of(
        bare_folder, front_end={"preset": "panns", "n_mels": 40, "f_max": 8_000}
    )
    assert front.stem == replace(PRESETS["panns"], n_mels=40, f_max=8_000)


def test_settings_without_a_preset(bare_folder):
    settings = {"sampling_rate": 8_000, "n_mels": 20, "n_fft": 256, "win_length": 200}
    settings |= {"hop_length": 80, "f_min": 0, "f_max": 4_000}
    (ours,) = inputs_of(
        outside(preprocessor_of(bare_folder, front_end=settings)), tone(1, 8_000), 8_000
    )
    assert ours.shape == (101, 20)


@pytest.mark.parametrize(
    ("front_end", "words"),
    [
        ("mfcc", "front_end must be 'auto', 'waveform', one of .*'panns'.*Got 'mfcc' instead"),
        ({"preset": "panns", "n_mel": 3}, r"Unknown settings: \['n_mel'\]"),
        ({"n_mels": 3}, "Add a preset, or all settings"),
        ({"sampling_rate": 8_000, "n_mels": 3}, "missing .* required positional arguments"),
        ({"preset": "panns", "log": "log2"}, r"log must be one of \['ln', .*; got 'log2'"),
        ({"preset": "panns", "mel_scale": "bark"}, "mel_scale must be one of .*; got 'bark'"),
        ({"preset": "panns", "hop_length": 0}, "hop_length must be from 1 to .*; got 0"),
        ({"preset": "panns", "n_fft": 512}, "win_length at most n_fft"),
        ({"preset": "panns", "f_max": 20_000}, "do not fit between 0 and .*, 16000 Hz"),
        ({"preset": "panns", "sampling_rate": "high"}, "front_end={.*: "),
    ],
)
def test_front_ends_that_are_not_known(bare_folder, front_end, words):
    with pytest.raises(ValueError, match=words):
        preprocessor_of(bare_folder, front_end=front_end)


@pytest.mark.parametrize("front_end", ["birdset", "waveform", {"preset": "panns", "n_mels": 32}])
def test_a_front_end_that_the_network_cannot_take(bare_folder, front_end):
    """Better said in words than by an operator in the middle of the network."""
    own = {"feature_extractor_type": "skembed", "preset": "panns"}
    (bare_folder / "preprocessor_config.json").write_text(json.dumps(own))
    with pytest.raises(
        ValueError, match=r"spectrograms of 64 bands\. Got front_end with \d+ bands"
    ):
        preprocessor_of(bare_folder, front_end=front_end)
    assert preprocessor_of(bare_folder, front_end="vggish").stem == PRESETS["vggish"]
    (bare_folder / "config.json").write_text('{"audio_config": {"num_mel_bins": 20}}')
    (bare_folder / "preprocessor_config.json").unlink()
    with pytest.raises(ValueError, match="spectrograms of 20 bands"):
        preprocessor_of(bare_folder, front_end=front_end)


def test_a_folder_that_does_not_say(bare_folder):
    with pytest.raises(ModelFormatError, match=r"states nothing; skembed supports AST.*Set front"):
        preprocessor_of(bare_folder)
    content = {"feature_extractor_type": "EncodecFeatureExtractor"}
    (bare_folder / "preprocessor_config.json").write_text(json.dumps(content))
    with pytest.raises(ModelFormatError, match="states Encodec; "):
        preprocessor_of(bare_folder)


def test_a_folder_that_makes_no_sense(bare_folder):
    content = {"feature_extractor_type": "ASTFeatureExtractor", "sampling_rate": "fast"}
    (bare_folder / "preprocessor_config.json").write_text(json.dumps(content))
    with pytest.raises(ModelFormatError, match="has invalid settings"):
        preprocessor_of(bare_folder)


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        (["n", "frames", 64], lambda values: values),
        (["n", 64, "frames"], lambda values: values.T),
        (["n", 1, "frames", 64], lambda values: values[None]),
        ([1, 1, 64, "frames"], lambda values: values.T[None]),
    ],
)
def test_a_graph_made_elsewhere_says_its_order_of_axes(tmp_path, shape, expected):
    path = graph_of_shape(tmp_path / "model.onnx", shape)
    front = preprocessor_of(path, front_end="panns")
    assert front.stem is None
    sound = tone(1, 32_000)
    (ours,) = inputs_of(front, sound, 32_000)
    np.testing.assert_array_equal(ours, expected(PRESETS["panns"](sound)))
    assert ours.flags.c_contiguous


def test_a_graph_that_takes_no_spectrograms(tmp_path):
    path = graph_of_shape(tmp_path / "model.onnx", ["n", "samples"])
    with pytest.raises(ModelFormatError, match="takes inputs of shape"):
        preprocessor_of(path, front_end="panns")
    assert preprocessor_of(path, front_end="waveform").stem is None
