"""AudioEmbedder: windows and what joins them, bad rows, graphs made elsewhere, exported folders."""

import io
import pickle

import numpy as np
import onnx
import pandas as pd
import pytest
import soxr
from onnx import TensorProto, helper
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from tiny_sounds import encoded, save_tiny_hearing, sound

from skembed import AudioEmbedder
from skembed.audio._log_mel import PRESETS
from skembed.exceptions import BadRowsError, ModelFormatError, TruncationWarning

SMALL = {"model": "cnn-small", "pretrained": False, "random_state": 0}


def small(**parameters):
    return AudioEmbedder(**{**SMALL, "sampling_rate": 16000, **parameters})


def test_a_sound_is_its_samples_whatever_holds_them(tmp_path):
    """File, bytes, array, tuple, dict, a column of a frame: one vector, computed once."""
    samples = sound(0.8)
    path = tmp_path / "sound.wav"
    path.write_bytes(encoded(samples, subtype="FLOAT"))
    rows = [
        str(path),
        path.read_bytes(),
        samples,
        (samples, 16000),
        {"array": samples, "sampling_rate": 16000},
    ]
    vectors = small().fit_transform(rows)
    assert (vectors == vectors[0]).all()
    frame = pd.DataFrame({"clip": [str(path)], "other": [path]})
    both = small().set_output(transform="pandas").fit_transform(frame)
    assert list(both.columns[[0, 512]]) == ["clip_0", "other_0"]
    np.testing.assert_array_equal(small().fit_transform(samples[None]), vectors[:1])


def test_containers_without_loss_give_one_vector():
    """WAV, FLAC and AIFF of the same 16 bits, and the numbers themselves."""
    samples = np.int16(sound(1.1) * 32767)
    files = [encoded(samples), encoded(samples, kind="FLAC"), encoded(samples, kind="AIFF")]
    vectors = small().fit_transform([*files, samples])
    assert (vectors == vectors[0]).all()


def test_rates_and_channels_are_brought_to_the_networks():
    samples = sound(0.6, 44100)
    twice = np.stack([samples * 1.5, samples * 0.5], axis=1)
    resampled = soxr.resample(samples, 44100, 16000)
    vectors = small().fit_transform([(samples, 44100), (twice, 44100), (resampled, 16000)])
    np.testing.assert_allclose(vectors[1:], vectors[[0, 0]], atol=1e-5)


@pytest.mark.parametrize("backend", ["onnx", "torch"])
def test_windows_are_joined(backend):
    """Mean by their length, maximum, both; each window is what it is by itself."""
    samples = sound(1.25)
    parts = [samples[:8000], samples[8000:16000], np.pad(samples[16000:], (0, 4000))]
    given = {"backend": backend, "window_seconds": 0.5}
    alone = small(**given).fit_transform(parts)
    mean = np.average(alone, axis=0, weights=[2, 2, 1])
    expected = {
        "mean": mean,
        "max": alone.max(axis=0),
        "mean_max": np.concatenate([mean, alone.max(axis=0)]),
    }
    for name, vector in expected.items():
        found = small(window_pooling=name, **given).fit_transform([samples])
        np.testing.assert_allclose(found[0], vector, atol=1e-6)
    unit = small(normalize=True, window_pooling="mean_max", **given).fit_transform([samples])
    np.testing.assert_allclose(np.linalg.norm(unit), 1, atol=1e-6)
    with pytest.raises(BadRowsError, match=r"row 1: 1\.25 s, longer than one window of 0\.5 s"):
        small(window_pooling="none", **given).fit_transform([parts[0], samples])


def test_hops_overlap_windows():
    samples = sound(0.75)
    alone = small().fit_transform([samples[:8000], samples[4000:]])
    found = small(window_seconds=0.5, hop_seconds=0.25).fit_transform([samples])
    np.testing.assert_allclose(found[0], alone.mean(axis=0), atol=1e-6)


def test_long_sounds_warn_once_with_their_count():
    rows = [sound(0.5), sound(0.3), sound(0.7)]
    message = "2 of 3 sounds are longer than max_seconds=0.4 and were cut there"
    with pytest.warns(TruncationWarning, match=message):
        vectors = small(max_seconds=0.4).fit_transform(rows)
    cut = small().fit_transform([rows[0][:6400], rows[1], rows[2][:6400]])
    np.testing.assert_array_equal(vectors, cut)


def test_bad_rows_are_named_with_the_reason(tmp_path):
    """And marked, while the others get their vectors."""
    (tmp_path / "text.wav").write_text("no sound")
    rows = [sound(0.5), None, str(tmp_path / "text.wav"), (sound(0.5) * np.nan, 8000), sound(0.4)]
    message = (
        r"2 of 5 rows are not readable as sounds "
        r"\(row 2 \(.*text\.wav\): not a sound .*, row 3: samples that"
    )
    with pytest.raises(BadRowsError, match=r"1 of 5 rows is not a sound \(row 1: None"):
        small().fit(rows)
    both = (
        r"3 of 5 rows are not sounds, or are not readable as sounds \(row 1: None, row 2 \(.*row 3"
    )
    with pytest.raises(BadRowsError, match=both):
        small().fit_transform(rows)
    rows[1] = sound(0.1)
    with pytest.raises(BadRowsError, match=message):
        small().fit_transform(rows)
    vectors = small(bad_rows="nan").fit_transform(rows)
    assert np.isnan(vectors).all(axis=1).tolist() == [False, False, True, True, False]
    assert not small(bad_rows="zero").fit_transform(rows)[2:4].any()
    with pytest.raises(BadRowsError, match="an array without sampling_rate"):
        AudioEmbedder(**SMALL).fit([sound(0.5)])


def test_silence_and_a_single_sample_have_vectors():
    vectors = small().fit_transform([np.zeros(16000, np.float32), np.ones(1, np.float32)])
    assert np.isfinite(vectors).all()


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"model": "cnn-15"}, "With pretrained=False, model must be one of"),
        ({"window_seconds": 1e-4}, "is below the minimum of the network"),
        ({"hop_seconds": 11}, "at most the length of a window, 10 s"),
        ({"model": "vggish", "window_seconds": 2}, "exceeds the maximum of the network"),
        ({"front_end": "mel"}, "front_end must be 'auto', 'waveform', one of"),
        ({"front_end": {"bands": 3}}, r"Unknown settings: \['bands'\]"),
        ({"layers": 9}, "must be an index from -5 to 4"),
        ({"pooling": "avg"}, r"must be 'auto', one of \['mean', 'max', 'mean_max', 'cls'\]"),
    ],
)
def test_what_cannot_be_had_says_why(parameters, message):
    with pytest.raises(ValueError, match=message):
        small(**parameters).fit([sound(0.5)])


def test_the_front_end_may_be_changed():
    """A preset, or single settings of it; the fingerprint tells."""
    plain = small().fit([sound(0.5)])
    same = small(front_end="vggish").fit([sound(0.5)])
    higher = small(front_end={"preset": "vggish", "f_min": 500}).fit([sound(0.5)])
    assert plain.fingerprint_ == same.fingerprint_ != higher.fingerprint_
    assert higher._network.preprocessor.preprocessing.log_mel.f_min == 500


def save_mean_of_bands(path, shape):
    """A graph that averages spectrograms of an order of axes over the frames."""
    frames = [i for i, size in enumerate(shape) if size == "frames"]
    axes = helper.make_tensor("axes", TensorProto.INT64, [1], frames)
    nodes = [
        helper.make_node("ReduceMean", ["bands", "axes"], ["mean"], keepdims=0),
        helper.make_node("Flatten", ["mean"], ["vector"]),
        helper.make_node("Neg", ["vector"], ["negative"]),
    ]
    outputs = [
        helper.make_tensor_value_info(n, TensorProto.FLOAT, None) for n in ("vector", "negative")
    ]
    given = helper.make_tensor_value_info("bands", TensorProto.FLOAT, shape)
    graph = helper.make_graph(nodes, "graph", [given], outputs, [axes])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    onnx.save(model, path)
    return path


@pytest.mark.parametrize(
    "shape",
    [
        ["rows", "frames", 64],
        ["rows", 64, "frames"],
        ["rows", 1, "frames", 64],
        [1, 1, 64, "frames"],
    ],
)
def test_a_graph_made_elsewhere_is_fed_as_it_wants(tmp_path, shape):
    """Log-mel spectrograms by numpy, in its order of axes; an output by its name."""
    path = save_mean_of_bands(tmp_path / "graph.onnx", shape)
    rows = [(sound(0.5, 32000), 32000), (sound(0.8, 32000, seed=1), 32000)]
    expected = np.stack([PRESETS["panns"](samples).mean(axis=0) for samples, _ in rows])
    found = AudioEmbedder(path, front_end="panns").fit_transform(rows)
    np.testing.assert_allclose(found, expected, atol=1e-4)
    negative = AudioEmbedder(path, front_end="panns", layers="negative").fit_transform(rows)
    np.testing.assert_allclose(negative, -expected, atol=1e-4)
    with pytest.raises(ModelFormatError, match="does not define the preprocessing of sounds"):
        AudioEmbedder(path).fit(rows)


@pytest.mark.parametrize("model", ["tiny_hearing", "cnn-small"])
def test_an_exported_folder_gives_the_same(model, tmp_path, request):
    """With its preprocessor, and windows that are still to be chosen."""
    given = SMALL if model == "cnn-small" else {"model": request.getfixturevalue(model)}
    rows = [(sound(0.3), 16000), (sound(0.9), 16000)]
    embedder = AudioEmbedder(**given, backend="onnx").fit(rows)
    expected = embedder.transform(rows)
    folder = embedder.export(tmp_path / "exported")
    again = AudioEmbedder(folder).fit(rows)
    np.testing.assert_allclose(again.transform(rows), expected, atol=1e-6)
    cut = {"window_seconds": 0.5, "window_pooling": "max"}
    np.testing.assert_allclose(
        AudioEmbedder(folder, **cut).fit_transform(rows),
        AudioEmbedder(**given, **cut).fit_transform(rows),
        atol=1e-6,
    )
    with pytest.raises(ValueError, match="was exported with its preprocessing"):
        AudioEmbedder(folder, front_end="ast").fit(rows)


def test_int8_keeps_spectrograms_whole(tmp_path):
    """Products of the network are reduced, the transform's are not: quiet bands stay."""
    folder = save_tiny_hearing(tmp_path / "whisper", "whisper")
    rows = [(sound(1.5, seed=seed), 16000) for seed in range(3)]
    exact = AudioEmbedder(folder, normalize=True).fit_transform(rows)
    reduced = AudioEmbedder(folder, normalize=True, precision="int8").fit_transform(rows)
    assert (exact * reduced).sum(axis=1).min() > 0.98
    assert not np.array_equal(exact, reduced)


def test_pickles_are_slim_and_give_the_same():
    embedder = small().fit([sound(0.5)])
    content = pickle.dumps(embedder)
    assert len(content) < 20_000
    vectors = pickle.loads(content).transform([sound(0.5)])
    np.testing.assert_array_equal(vectors, embedder.transform([sound(0.5)]))


def test_without_a_seed_each_fit_draws_its_own():
    first, second = (small(random_state=None).fit([sound(0.5)]) for _ in range(2))
    assert first.fingerprint_ != second.fingerprint_
    state = np.random.RandomState(0)
    assert small(random_state=state).fit([sound(0.5)])._network.seed != 0


def test_a_search_over_windows(tmp_path):
    """Low tones and high ones are told apart by random features, in a search of two processes."""
    files, high = [], []
    for i in range(24):
        pitch = 200 if i % 2 else 2000
        samples = np.sin(2 * np.pi * pitch * np.arange(8000) / 16000 + i)
        noise = np.random.default_rng(i).standard_normal(8000) * 0.05
        files.append(encoded(0.5 * samples + noise))
        high.append(pitch > 1000)
    model = make_pipeline(AudioEmbedder(**SMALL), LogisticRegression())
    grid = {"audioembedder__window_pooling": ["mean", "max"]}
    search = GridSearchCV(model, grid, cv=3, n_jobs=2).fit(files, high)
    assert search.best_score_ > 0.9


def test_one_sound_is_not_a_column():
    with pytest.raises(TypeError, match="expects a collection of sounds, got one str"):
        small().fit("sound.wav")
    with pytest.raises(ValueError, match=r"X is numeric .*one waveform, wrap it in a list"):
        small().fit(sound(0.5))
    with pytest.raises(ValueError, match=r"X is numeric .*rows are waveforms, set sampling_rate"):
        AudioEmbedder(**SMALL).fit(sound(0.5)[None])
    with pytest.raises(BadRowsError, match="row 0: list; make it an array"):
        small().fit([sound(0.5).tolist()])
    with pytest.raises(BadRowsError, match="row 0: a file opened as text"):
        small().fit([io.StringIO()])
    for pair in ((sound(0.5), 16000), (16000, sound(0.5))):
        with pytest.raises(TypeError, match=r"got one tuple .* Wrap it in a list"):
            small().fit(pair)
