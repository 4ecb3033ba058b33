"""What networks are given, against transformers' own extractors; windows; what folders say."""

import json
import pickle

import numpy as np
import pytest
import transformers
from tiny_sounds import encoded, graph_of_shape, inputs_of, outside, preprocessor_of, tone

# transformers', of AST's own bands: the lowest are narrower than a bin.
pytestmark = pytest.mark.filterwarnings("ignore:At least one mel filter has all zero values")


def saved(extractor, bare_folder):
    extractor.save_pretrained(bare_folder)
    return preprocessor_of(bare_folder)


# -- against transformers' extractors -------------------------------------------------------------


@pytest.mark.parametrize(
    "settings",
    [{}, {"do_normalize": False}, {"num_mel_bins": 64, "max_length": 256, "mean": 0.5, "std": 2.0}],
)
def test_ast(settings, bare_folder):
    extractor = transformers.ASTFeatureExtractor(**settings)
    front = saved(extractor, bare_folder)
    sound = tone(1.7, 16_000)
    (ours,) = inputs_of(outside(front), sound, 16_000)
    theirs = extractor(sound, sampling_rate=16_000, return_tensors="np")["input_values"][0]
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-4)
    assert front.window == settings.get("max_length", 1024) * 160


@pytest.mark.parametrize("settings", [{}, {"feature_size": 128}, {"chunk_length": 5}])
def test_whisper(settings, bare_folder):
    extractor = transformers.WhisperFeatureExtractor(**settings)
    front = saved(extractor, bare_folder)
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
def test_clap(settings, seconds, bare_folder):
    extractor = transformers.ClapFeatureExtractor(**settings)
    front = saved(extractor, bare_folder)
    sound = tone(seconds, 48_000)
    (ours,) = inputs_of(outside(front), sound, 48_000)
    theirs = extractor(sound, sampling_rate=48_000, return_tensors="np")["input_features"]
    np.testing.assert_allclose(ours, np.asarray(theirs)[0, 0], rtol=0, atol=1e-4)


@pytest.mark.parametrize("do_normalize", [True, False])
def test_wav2vec2(do_normalize, bare_folder):
    extractor = transformers.Wav2Vec2FeatureExtractor(do_normalize=do_normalize)
    front = saved(extractor, bare_folder)
    sound = tone(0.8, 16_000) + 0.25
    (ours,) = inputs_of(front, sound, 16_000)
    theirs = extractor(sound, sampling_rate=16_000, return_tensors="np")["input_values"][0]
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-5)
    assert front.stem is None


def test_sounds_of_another_rate_are_resampled(bare_folder):
    front = saved(transformers.Wav2Vec2FeatureExtractor(do_normalize=False), bare_folder)
    (ours,) = inputs_of(front, tone(1, 44_100), 44_100)
    assert ours.shape == (16_000,)


# -- windows --------------------------------------------------------------------------------------


@pytest.fixture
def waves(bare_folder):
    """A front that hands waveforms on as they are."""
    transformers.Wav2Vec2FeatureExtractor(do_normalize=False).save_pretrained(bare_folder)
    return bare_folder


def test_windows_hold_the_whole_sound(waves):
    sound = tone(2.5, 16_000)
    front = preprocessor_of(waves, window_seconds=1.0)
    (prepared,), _ = front.prepare([(sound, 16_000)], [None], 1)
    assert [len(window) for window in prepared.inputs] == [16_000] * 3
    assert prepared.weights == [16_000, 16_000, 8_000]
    np.testing.assert_array_equal(np.concatenate(prepared.inputs)[:40_000], sound)
    assert not np.concatenate(prepared.inputs)[40_000:].any()


def test_windows_may_overlap(waves):
    sound = tone(2, 16_000)
    front = preprocessor_of(waves, window_seconds=1.0, hop_seconds=0.25)
    inputs = inputs_of(front, sound, 16_000)
    assert len(inputs) == 5
    for i, window in enumerate(inputs):
        np.testing.assert_array_equal(window, sound[i * 4_000 : i * 4_000 + 16_000])


def test_a_sound_shorter_than_a_window_is_heard_as_it_is(waves):
    sound = tone(0.3, 16_000)
    (ours,) = inputs_of(preprocessor_of(waves), sound, 16_000)
    np.testing.assert_array_equal(ours, sound)


def test_a_sound_too_short_for_the_network_is_filled_up(waves):
    (ours,) = inputs_of(preprocessor_of(waves), np.ones(3, np.float32), 16_000)
    assert ours.tolist() == [1.0] * 3 + [0.0] * 397


@pytest.mark.parametrize(
    ("pooling", "expected"),
    [("mean", [2.0, 3.0]), ("max", [5.0, 3.0]), ("mean_max", [2.0, 3.0, 5.0, 3.0])],
)
def test_window_poolings(waves, pooling, expected):
    """The mean weighs windows by how much of the sound they hold."""
    front = preprocessor_of(waves, window_pooling=pooling)
    vectors = np.float32([[1, 3], [5, 3]])
    np.testing.assert_allclose(front.joined(vectors, [3, 1]), expected, rtol=1e-6)
    assert front.n_row_dims(2) == len(expected)


def test_no_window_pooling_refuses_what_has_more_than_one(waves):
    front = preprocessor_of(waves, window_seconds=1.0, window_pooling="none")
    rows = [(tone(1, 16_000), 16_000), (tone(1.5, 16_000), 16_000)]
    prepared, bad = front.prepare(rows, [None] * 2, 1)
    assert bad == {1: "1.5 s, longer than one window of 1 s"}
    assert len(prepared[0].inputs) == 1


def test_what_is_longer_than_max_seconds_is_marked(waves):
    front = preprocessor_of(waves, max_seconds=1, window_seconds=0.5)
    (prepared,), _ = front.prepare([(tone(1.5, 16_000), 16_000)], [None], 1)
    assert prepared.cut
    assert prepared.weights == [8_000, 8_000]


def test_one_bad_row_leaves_the_others_alone(waves):
    rows = [(tone(1, 16_000), 16_000), b"no sound", encoded(tone(1, 8_000), 8_000)]
    for n_threads in (1, 2):
        prepared, bad = preprocessor_of(waves).prepare(rows, [None] * 3, n_threads)
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
        preprocessor_of(waves, **settings)


# -- as a part of a network -----------------------------------------------------------------------


@pytest.mark.parametrize("name", ["ast", "panns", "whisper"])
def test_probes_are_inputs(bare_folder, name):
    """Two batches of different numbers of rows, and of samples where these may differ."""
    front = preprocessor_of(bare_folder, front_end=name)
    first, second = front.probes()
    assert len(first) == 2
    assert len(first) != len(second)
    assert (first.shape[1] != second.shape[1]) == (front.fixed_shape is None)
    assert {probe.dtype for probe in (first, second)} == {np.dtype(np.float32)}
    for again, probe in zip(front.probes(), (first, second), strict=True):
        np.testing.assert_array_equal(again, probe)


def test_settings_are_all_that_can_change_a_vector(bare_folder):
    """Each of them is in the fingerprint, and fits into JSON; the rate of arrays is in keys."""
    front = preprocessor_of(bare_folder, front_end="panns", sampling_rate=8_000)
    settings = front.settings()
    assert json.loads(json.dumps(settings)) == settings
    for changes in (
        {"window_seconds": 3},
        {"hop_seconds": 5},
        {"window_pooling": "max"},
        {"max_seconds": 7},
        {"front_end": "birdset"},
    ):
        other = preprocessor_of(bare_folder, **{"front_end": "panns", **changes}).settings()
        assert other != settings, changes
    assert preprocessor_of(bare_folder, front_end="panns").settings() == settings


def test_a_pickle_is_the_same(bare_folder):
    front = preprocessor_of(bare_folder, front_end="clap", window_pooling="max")
    assert pickle.loads(pickle.dumps(front)) == front


def test_what_is_saved_is_restored(bare_folder, tmp_path):
    """An exported folder's manifest says what the network hears."""
    front = preprocessor_of(bare_folder, front_end="whisper")
    exported = tmp_path / "exported"
    exported.mkdir()
    graph_of_shape(exported / "model.onnx", ["n", "samples"])
    manifest = json.dumps({"skembed": "0", "front": front.save(exported)})
    (exported / "manifest.json").write_text(manifest)
    assert preprocessor_of(exported) == front
    with pytest.raises(ValueError, match="was exported with its preprocessing"):
        preprocessor_of(exported, front_end="ast")
