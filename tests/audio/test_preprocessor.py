"""What networks are given, against transformers' own extractors; windows; what folders say."""

import json
import pickle
from dataclasses import replace

import numpy as np
import onnx
import pytest
import transformers
from onnx import TensorProto, helper
from tiny_sounds import encoded, tone

from skembed.audio._log_mel import PRESETS
from skembed.audio._preprocessor import audio_preprocessor
from skembed.exceptions import ModelFormatError
from skembed.models._folder import ModelFolder

# transformers', of AST's own bands: the lowest are narrower than a bin.
pytestmark = pytest.mark.filterwarnings("ignore:At least one mel filter has all zero values")
DEFAULTS = {
    "front_end": "auto",
    "sampling_rate": None,
    "window_seconds": "auto",
    "hop_seconds": None,
    "window_pooling": "mean",
    "max_seconds": 600,
}


def front_of(folder, **settings):
    return audio_preprocessor(ModelFolder(folder), **{**DEFAULTS, **settings})


@pytest.fixture
def folder(tmp_path):
    """A folder of a model, as far as a preprocessor looks at it."""
    (tmp_path / "config.json").write_text('{"model_type": "any"}')
    (tmp_path / "model.safetensors").write_bytes(b"")
    return tmp_path


def saved(extractor, folder):
    extractor.save_pretrained(folder)
    return front_of(folder)


def outside(front):
    """Return the front with spectrograms computed before the graph, in numpy."""
    return replace(front, in_graph=False)


def inputs_of(front, sound, rate):
    prepared, bad = front.prepare([(sound, rate)], [None], 1)
    assert bad == {}
    return prepared[0].inputs


# -- against transformers' extractors -------------------------------------------------------------


@pytest.mark.parametrize(
    "settings",
    [{}, {"do_normalize": False}, {"num_mel_bins": 64, "max_length": 256, "mean": 0.5, "std": 2.0}],
)
def test_ast(settings, folder):
    extractor = transformers.ASTFeatureExtractor(**settings)
    front = saved(extractor, folder)
    sound = tone(1.7, 16_000)
    (ours,) = inputs_of(outside(front), sound, 16_000)
    theirs = extractor(sound, sampling_rate=16_000, return_tensors="np")["input_values"][0]
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-4)
    assert front.window == settings.get("max_length", 1024) * 160


@pytest.mark.parametrize("settings", [{}, {"feature_size": 128}, {"chunk_length": 5}])
def test_whisper(settings, folder):
    extractor = transformers.WhisperFeatureExtractor(**settings)
    front = saved(extractor, folder)
    sound = tone(1.3, 16_000)
    (ours,) = inputs_of(outside(front), sound, 16_000)
    theirs = extractor(sound, sampling_rate=16_000, return_tensors="np")["input_features"][0]
    np.testing.assert_allclose(ours.T, theirs, rtol=0, atol=1e-4)
    assert front.window == settings.get("chunk_length", 30) * 16_000


@pytest.mark.parametrize(
    "settings",
    [
        {"truncation": "rand_trunc"},
        {"truncation": "rand_trunc", "padding": "pad", "frequency_min": 50},
        {"truncation": "fusion"},
        {"truncation": "rand_trunc", "max_length_s": 4, "feature_size": 32},
    ],
)
@pytest.mark.parametrize("seconds", [1.1, 3.3])
def test_clap(settings, seconds, folder):
    extractor = transformers.ClapFeatureExtractor(**settings)
    front = saved(extractor, folder)
    sound = tone(seconds, 48_000)
    (ours,) = inputs_of(outside(front), sound, 48_000)
    theirs = extractor(sound, sampling_rate=48_000, return_tensors="np")["input_features"]
    np.testing.assert_allclose(ours, np.asarray(theirs)[0, 0], rtol=0, atol=1e-4)


@pytest.mark.parametrize("do_normalize", [True, False])
def test_wav2vec2(do_normalize, folder):
    extractor = transformers.Wav2Vec2FeatureExtractor(do_normalize=do_normalize)
    front = saved(extractor, folder)
    sound = tone(0.8, 16_000) + 0.25
    (ours,) = inputs_of(front, sound, 16_000)
    theirs = extractor(sound, sampling_rate=16_000, return_tensors="np")["input_values"][0]
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-5)
    assert front.stem is None


def test_sounds_of_another_rate_are_resampled(folder):
    front = saved(transformers.Wav2Vec2FeatureExtractor(do_normalize=False), folder)
    (ours,) = inputs_of(front, tone(1, 44_100), 44_100)
    assert ours.shape == (16_000,)


# -- windows --------------------------------------------------------------------------------------


@pytest.fixture
def waves(folder):
    """A front that hands waveforms on as they are."""
    transformers.Wav2Vec2FeatureExtractor(do_normalize=False).save_pretrained(folder)
    return folder


def test_windows_hold_the_whole_sound(waves):
    sound = tone(2.5, 16_000)
    front = front_of(waves, window_seconds=1.0)
    (prepared,), _ = front.prepare([(sound, 16_000)], [None], 1)
    assert [len(window) for window in prepared.inputs] == [16_000] * 3
    assert prepared.weights == [16_000, 16_000, 8_000]
    np.testing.assert_array_equal(np.concatenate(prepared.inputs)[:40_000], sound)
    assert not np.concatenate(prepared.inputs)[40_000:].any()


def test_windows_may_overlap(waves):
    sound = tone(2, 16_000)
    front = front_of(waves, window_seconds=1.0, hop_seconds=0.25)
    inputs = inputs_of(front, sound, 16_000)
    assert len(inputs) == 5
    for i, window in enumerate(inputs):
        np.testing.assert_array_equal(window, sound[i * 4_000 : i * 4_000 + 16_000])


def test_a_sound_shorter_than_a_window_is_heard_as_it_is(waves):
    sound = tone(0.3, 16_000)
    (ours,) = inputs_of(front_of(waves), sound, 16_000)
    np.testing.assert_array_equal(ours, sound)


def test_a_sound_too_short_for_the_network_is_filled_up(waves):
    (ours,) = inputs_of(front_of(waves), np.ones(3, np.float32), 16_000)
    assert ours.tolist() == [1.0] * 3 + [0.0] * 397


@pytest.mark.parametrize(
    ("pooling", "expected"),
    [("mean", [2.0, 3.0]), ("max", [5.0, 3.0]), ("mean_max", [2.0, 3.0, 5.0, 3.0])],
)
def test_window_poolings(waves, pooling, expected):
    """The mean weighs windows by how much of the sound they hold."""
    front = front_of(waves, window_pooling=pooling)
    vectors = np.float32([[1, 3], [5, 3]])
    np.testing.assert_allclose(front.joined(vectors, [3, 1]), expected, rtol=1e-6)
    assert front.n_row_dims(2) == len(expected)


def test_no_window_pooling_refuses_what_has_more_than_one(waves):
    front = front_of(waves, window_seconds=1.0, window_pooling="none")
    rows = [(tone(1, 16_000), 16_000), (tone(1.5, 16_000), 16_000)]
    prepared, bad = front.prepare(rows, [None] * 2, 1)
    assert bad == {1: "1.5 s, longer than one window of 1 s"}
    assert len(prepared[0].inputs) == 1


def test_what_is_longer_than_max_seconds_is_marked(waves):
    front = front_of(waves, max_seconds=1, window_seconds=0.5)
    (prepared,), _ = front.prepare([(tone(1.5, 16_000), 16_000)], [None], 1)
    assert prepared.cut
    assert prepared.weights == [8_000, 8_000]


def test_one_bad_row_leaves_the_others_alone(waves):
    rows = [(tone(1, 16_000), 16_000), b"no sound", encoded(tone(1, 8_000), 8_000)]
    for n_threads in (1, 2):
        prepared, bad = front_of(waves).prepare(rows, [None] * 3, n_threads)
        assert list(bad) == [1]
        assert [len(item.inputs) for item in prepared] == [1, 0, 1]


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"window_seconds": 11, "front_end": "ast"}, "11 exceeds the maximum of the network"),
        ({"window_seconds": 0.001}, "0.001 is below the minimum of the network, 0.025 s"),
        ({"window_seconds": 1, "hop_seconds": 1.5}, "must be at most the length of a window"),
        ({"hop_seconds": 1e-9}, "hop_seconds=1e-09 must be at most"),
    ],
)
def test_windows_that_do_not_fit(waves, settings, words):
    with pytest.raises(ValueError, match=words):
        front_of(waves, **settings)


# -- what folders and parameters say --------------------------------------------------------------


@pytest.mark.parametrize("name", PRESETS)
def test_presets_by_name(folder, name):
    front = front_of(folder, front_end=name)
    assert front.stem == PRESETS[name]
    (ours,) = inputs_of(outside(front), tone(0.4, 22_050), 22_050)
    assert ours.shape[1] == PRESETS[name].n_mels


def test_a_preset_may_be_changed(folder):
    front = front_of(folder, front_end={"preset": "panns", "n_mels": 40, "f_max": 8_000})
    assert front.stem == replace(PRESETS["panns"], n_mels=40, f_max=8_000)


def test_settings_without_a_preset(folder):
    settings = {"sampling_rate": 8_000, "n_mels": 20, "n_fft": 256, "win_length": 200}
    settings |= {"hop_length": 80, "f_min": 0, "f_max": 4_000}
    (ours,) = inputs_of(outside(front_of(folder, front_end=settings)), tone(1, 8_000), 8_000)
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
def test_front_ends_that_are_not_known(folder, front_end, words):
    with pytest.raises(ValueError, match=words):
        front_of(folder, front_end=front_end)


@pytest.mark.parametrize("front_end", ["birdset", "waveform", {"preset": "panns", "n_mels": 32}])
def test_a_front_end_that_the_network_cannot_take(folder, front_end):
    """Better said in words than by an operator in the middle of the network."""
    own = {"feature_extractor_type": "skembed", "preset": "panns"}
    (folder / "preprocessor_config.json").write_text(json.dumps(own))
    with pytest.raises(
        ValueError, match=r"spectrograms of 64 bands\. Got front_end with \d+ bands"
    ):
        front_of(folder, front_end=front_end)
    assert front_of(folder, front_end="vggish").stem == PRESETS["vggish"]
    (folder / "config.json").write_text('{"audio_config": {"num_mel_bins": 20}}')
    (folder / "preprocessor_config.json").unlink()
    with pytest.raises(ValueError, match="spectrograms of 20 bands"):
        front_of(folder, front_end=front_end)


def test_a_folder_that_does_not_say(folder):
    with pytest.raises(ModelFormatError, match=r"states nothing; skembed supports AST.*Set front"):
        front_of(folder)
    content = {"feature_extractor_type": "EncodecFeatureExtractor"}
    (folder / "preprocessor_config.json").write_text(json.dumps(content))
    with pytest.raises(ModelFormatError, match="states Encodec; "):
        front_of(folder)


def test_a_folder_that_makes_no_sense(folder):
    content = {"feature_extractor_type": "ASTFeatureExtractor", "sampling_rate": "fast"}
    (folder / "preprocessor_config.json").write_text(json.dumps(content))
    with pytest.raises(ModelFormatError, match="has invalid settings"):
        front_of(folder)


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
    front = front_of(path, front_end="panns")
    assert front.stem is None
    sound = tone(1, 32_000)
    (ours,) = inputs_of(front, sound, 32_000)
    np.testing.assert_array_equal(ours, expected(PRESETS["panns"](sound)))
    assert ours.flags.c_contiguous


def test_a_graph_that_takes_no_spectrograms(tmp_path):
    path = graph_of_shape(tmp_path / "model.onnx", ["n", "samples"])
    with pytest.raises(ModelFormatError, match="takes inputs of shape"):
        front_of(path, front_end="panns")
    assert front_of(path, front_end="waveform").stem is None


def graph_of_shape(path, shape):
    """Write a graph that gives back its input."""
    ends = [helper.make_tensor_value_info(n, TensorProto.FLOAT, shape) for n in ("given", "same")]
    node = helper.make_node("Identity", ["given"], ["same"])
    graph = helper.make_graph([node], "graph", ends[:1], ends[1:])
    opset = [helper.make_opsetid("", 20)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=10), path)
    return path


# -- as a part of a network -----------------------------------------------------------------------


@pytest.mark.parametrize("name", ["ast", "panns", "whisper"])
def test_probes_are_inputs(folder, name):
    """Two batches of different numbers of rows, and of samples where these may differ."""
    front = front_of(folder, front_end=name)
    first, second = front.probes()
    assert len(first) == 2
    assert len(first) != len(second)
    assert (first.shape[1] != second.shape[1]) == (front.fixed_shape is None)
    assert {probe.dtype for probe in (first, second)} == {np.dtype(np.float32)}
    for again, probe in zip(front.probes(), (first, second), strict=True):
        np.testing.assert_array_equal(again, probe)


def test_settings_are_all_that_can_change_a_vector(folder):
    """Each of them is in the fingerprint, and fits into JSON; the rate of arrays is in keys."""
    front = front_of(folder, front_end="panns", sampling_rate=8_000)
    settings = front.settings()
    assert json.loads(json.dumps(settings)) == settings
    for changes in (
        {"window_seconds": 3},
        {"hop_seconds": 5},
        {"window_pooling": "max"},
        {"max_seconds": 7},
        {"front_end": "birdset"},
    ):
        other = front_of(folder, **{"front_end": "panns", **changes}).settings()
        assert other != settings, changes
    assert front_of(folder, front_end="panns").settings() == settings


def test_a_pickle_is_the_same(folder):
    front = front_of(folder, front_end="clap", window_pooling="max")
    assert pickle.loads(pickle.dumps(front)) == front


def test_what_is_saved_is_restored(folder, tmp_path):
    """An exported folder's manifest says what the network hears."""
    front = front_of(folder, front_end="whisper")
    exported = tmp_path / "exported"
    exported.mkdir()
    graph_of_shape(exported / "model.onnx", ["n", "samples"])
    manifest = json.dumps({"skembed": "0", "front": front.save(exported)})
    (exported / "manifest.json").write_text(manifest)
    assert front_of(exported) == front
    with pytest.raises(ValueError, match="was exported with its preprocessing"):
        front_of(exported, front_end="ast")
