"""Sounds as they come: every container, rate and kind of damage, against libsndfile and scipy."""

import contextlib
import os
import warnings
from io import BytesIO
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from scipy import signal
from tiny_sounds import encoded, tone

from skembed.audio import _waveforms
from skembed.audio._waveforms import key_of, waveform_of
from skembed.base._files import UnreadableRowError


def read(row, *, key=None, sampling_rate=None, target_rate=16_000, max_seconds=600, max_value=None):
    """Return a row's waveform, as the estimator reads it."""
    return waveform_of(
        row,
        key,
        sampling_rate=sampling_rate,
        target_rate=target_rate,
        max_seconds=max_seconds,
        max_value=max_value,
    )


def refusal(row, **settings):
    """Return why a row is refused."""
    with pytest.raises(UnreadableRowError) as raised:
        read(row, **settings)
    return str(raised.value)


# -- rates and channels ----------------------------------------------------------------------------


@pytest.mark.parametrize("rate", [8_000, 11_025, 22_050, 44_100, 48_000, 96_000, 192_000])
@pytest.mark.parametrize("n_channels", [1, 2, 8])
def test_rates_and_channels(rate, n_channels):
    """Channels are averaged, then resampled: against scipy's polyphase filter."""
    sound = tone(0.5, rate, n_channels=n_channels, pitch=300)
    waveform = read(encoded(sound, rate, "WAV", "FLOAT"), target_rate=16_000)
    assert abs(len(waveform.samples) - 8_000) <= 1
    expected = signal.resample_poly(sound.mean(axis=1), 16_000, rate)[: len(waveform.samples)]
    inside = slice(500, -500)
    ours = waveform.samples[: len(expected)]
    # Two filters differ near the highest frequency, where only the noise is.
    low = signal.butter(8, 2_000, fs=16_000, output="sos")
    ours, expected = (signal.sosfiltfilt(low, item)[inside] for item in (ours, expected))
    np.testing.assert_allclose(ours, expected, rtol=0, atol=2e-3)


# -- arrays ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "longdouble", ">f4"])
def test_floats_are_taken_as_they_are(dtype):
    sound = tone(0.1, 16_000).astype(dtype)
    np.testing.assert_array_equal(read((sound, 16_000)).samples, sound.astype(np.float32))


@pytest.mark.parametrize(
    ("dtype", "values"),
    [
        ("int8", [-128, 0, 64]),
        ("int16", [-(2**15), 0, 2**14]),
        (">i2", [-(2**15), 0, 2**14]),
        ("int32", [-(2**31), 0, 2**30]),
        ("uint8", [0, 128, 192]),
    ],
)
def test_integers_are_scaled(dtype, values):
    samples = read((np.array(values, dtype=dtype), 16_000)).samples
    np.testing.assert_array_equal(samples, np.float32([-1, 0, 0.5]))


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "longdouble"])
@pytest.mark.parametrize("scale", [127, 32_767])
def test_floats_at_integer_scale_are_refused(dtype, scale):
    """Unlike floats that exceed full scale a little, as decoded MP3 does."""
    sound = (tone(0.1, 16_000) * scale).astype(dtype)
    assert "not on the scale from -1 to 1; max_value sets" in refusal((sound, 16_000))
    content = encoded(sound.astype(np.float32), 16_000, "WAV", "FLOAT")
    assert refusal(content).startswith("a file of floats with values up to ")
    quiet = np.rint(tone(0.1, 16_000) * 5).astype(dtype)
    assert "max_value sets" in refusal((quiet, 16_000))
    assert "max_value sets" in refusal((np.stack([quiet, 2 * quiet], axis=1), 16_000))
    read((tone(0.1, 16_000).astype(dtype) * 3, 16_000))


def test_max_value_says_what_full_scale_is():
    sound = tone(0.1, 16_000)
    integers = np.int16(sound * 32_767)
    expected = read((integers, 16_000)).samples
    for dtype in ("float32", "float64", "int32", "int64"):
        row = (integers.astype(dtype), 16_000)
        np.testing.assert_allclose(read(row, max_value=2**15).samples, expected, atol=1e-7)
    file = encoded(integers.astype(np.float32), 16_000, "WAV", "FLOAT")
    np.testing.assert_allclose(read(file, max_value=2**15).samples, expected, atol=1e-7)
    # A file of integers states its scale, and bytes are centered at 128.
    file = encoded(integers, 16_000)
    np.testing.assert_array_equal(read(file, max_value=2**15).samples, expected)
    middle = np.full(9, 128, np.uint8)
    assert not read((middle, 16_000), max_value=9).samples.any()
    assert "not on the scale from -2 to 2" in refusal((integers, 16_000), max_value=2)


def test_max_value_is_part_of_the_key():
    """Vectors of one scale are not served for another."""
    for row in ((tone(0.1, 8_000), 8_000), encoded(tone(0.1, 8_000), 8_000)):
        assert len({key_of(row, None, value) for value in (None, 1, 2)}) == 3
        assert key_of(row, None, 1) == key_of(row, None, 1.0)


@pytest.mark.parametrize(
    "rate_first", [(16_000, np.zeros(9)), (np.int64(16_000), [0.0, 0.1]), (8e3, torch.zeros(9))]
)
def test_the_order_of_scipy_is_named(rate_first):
    """scipy.io.wavfile.read returns (rate, array)."""
    message = refusal(rate_first)
    assert "scipy.io.wavfile" in message
    assert "swap it: (array, rate)" in message


def test_no_message_holds_an_array():
    for row in ((np.zeros(9), np.zeros(9)), (np.zeros(9), [8_000] * 99), ("a" * 99, "b" * 999)):
        assert len(refusal(row)) < 150


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16, torch.int16])
def test_tensors_stand_for_arrays(dtype):
    sound = torch.from_numpy(tone(0.1, 8_000, n_channels=2)).to(dtype)
    row = (sound.numpy(), 8_000)
    expected = read(row).samples
    tensors = [(sound, 8_000), (sound.T, 8_000), {"array": sound, "sampling_rate": 8_000}]
    for tensor in tensors:
        assert key_of(tensor, None) == key_of(row, None)
        np.testing.assert_array_equal(read(tensor).samples, expected)
    assert key_of(sound, 8_000) == key_of(row, None)


def test_tensors_of_other_kinds():
    sound = torch.from_numpy(tone(0.1, 8_000))
    needing = sound.clone().requires_grad_()
    np.testing.assert_array_equal(read((needing, 8_000)).samples, read((sound, 8_000)).samples)
    half = sound.bfloat16()
    np.testing.assert_array_equal(
        read((half, 8_000)).samples, read((half.float().numpy(), 8_000)).samples
    )
    assert "move it: tensor.cpu()" in refusal((sound.to("meta"), 8_000))
    assert "an array without sampling_rate" in refusal(sound)
    for shape in ((), (0,), (2, 0), (2, 9, 2)):
        refusal((torch.zeros(shape), 8_000))


class Decoder:
    """Like torchcodec's AudioDecoder, in as far as it is used."""

    def __init__(self, data, rate=8_000):
        self._samples = SimpleNamespace(data=data, sample_rate=rate)

    def get_all_samples(self):
        if self._samples.data is None:
            raise RuntimeError("no audio stream\nand more")
        return self._samples


def test_decoders_give_their_samples():
    """Of shape (n_channels, n_samples)."""
    for n_channels in (1, 2):
        sound = tone(0.1, 8_000, n_channels=n_channels)
        for data in (sound.T, torch.from_numpy(sound.T.copy())):
            decoder = Decoder(data)
            assert key_of(decoder, None) == key_of((sound, 8_000), None)
            np.testing.assert_array_equal(read(decoder).samples, read((sound, 8_000)).samples)
    assert refusal(Decoder(None)) == "a Decoder that fails: no audio stream"
    assert "a sampling rate of 1 Hz" in refusal(Decoder(np.zeros((1, 9)), rate=1))


def test_ways_to_give_an_array_are_one():
    """Equal content has one key and one waveform."""
    sound = tone(0.1, 8_000, n_channels=2)
    rows = [sound, (sound, 8_000), {"array": sound, "sampling_rate": 8_000}]
    assert len({key_of(row, 8_000) for row in rows}) == 1
    expected = read(rows[0], sampling_rate=8_000).samples
    for row in rows[1:]:
        np.testing.assert_array_equal(read(row).samples, expected)


def test_what_differs_has_another_key():
    sound = tone(0.1, 8_000)
    rows = [(sound, 8_000), (sound, 8_001), (sound[1:], 8_000), (sound[:, None], 8_000)]
    rows += [(sound.astype(np.float64), 8_000), sound.tobytes(), (sound * 2, 8_000)]
    assert len({key_of(row, None) for row in rows}) == len(rows)


def test_arrays_may_be_strided_and_read_only():
    sound = tone(0.2, 16_000)
    apart = np.repeat(sound, 2)[::2]
    apart.flags.writeable = False
    assert key_of(apart, 16_000) == key_of(sound, 16_000)
    np.testing.assert_array_equal(read(apart, sampling_rate=16_000).samples, sound)


@pytest.mark.parametrize(
    ("row", "words"),
    [
        (np.zeros(9, np.float32), "an array without sampling_rate"),
        ({"array": np.zeros(9, np.float32)}, "an array without sampling_rate"),
        ({"array": np.zeros(9), "sampling_rate": None}, "an array without sampling_rate"),
        ((np.zeros(9), "44.1 kHz"), "an array with sampling_rate '44.1 kHz'"),
        ((np.zeros(9), True), "an array with sampling_rate True"),
        ((np.zeros(9), 999), "a sampling rate of 999 Hz, not a whole number from 1,000 to 768,000"),
        ((np.zeros(9), 768_001), "a sampling rate of 768001 Hz"),
        ((np.zeros(9), 44_100.5), "a sampling rate of 44100.5 Hz"),
        ((np.zeros(9), float("nan")), "a sampling rate of nan Hz"),
        ((np.zeros(9), float("inf")), "a sampling rate of inf Hz"),
        ((np.zeros(9), 8_000, 3), "a tuple of 3, not (array, rate)"),
        ((np.zeros(0), 8_000), "a sound of no samples"),
        ((np.zeros((0, 2)), 8_000), "a sound of no samples"),
        ((np.zeros((9, 0)), 8_000), "a sound of no samples"),
        ((np.zeros((2, 9, 2)), 8_000), "an array of shape (2, 9, 2), not (n,) or (n, n_channels)"),
        ((np.zeros((2, 900)), 8_000), "whose second axis should be channels; transpose it"),
        ((np.zeros(9, np.int64), 8_000), "an array of dtype int64"),
        ((np.zeros(9, complex), 8_000), "an array of dtype complex128"),
        ((np.array(["a"]), 8_000), "an array of dtype <U1"),
        ((None, 8_000), "an array of dtype object"),
        (([[1.0], [1.0, 2.0]], 8_000), "samples that do not form an array"),
        (([np.nan, 0.0], 8_000), "samples that are not finite numbers"),
        (([np.inf, 0.0], 8_000), "samples that are not finite numbers"),
        ((np.array([[np.inf, -np.inf]]), 8_000), "samples that are not finite numbers"),
        ((np.array([1e300, 0.0]), 8_000), "samples that are not finite numbers"),
        ((np.full((2, 2), 3e38, np.float32), 8_000), "samples that are not finite numbers"),
        (([3e20, 0.0], 8_000), "values up to 3e+20, not on the scale from -1 to 1; max_value sets"),
        ((np.zeros(10), 768_000), "a sound that is shorter than one sample at the network's rate"),
        (
            {"path": None, "bytes": None},
            "a dict with the keys ['bytes', 'path'], without an 'array', 'bytes' or 'path'",
        ),
        ({"bytes": 10**12}, "a dict with the keys ['bytes'], without an 'array', 'bytes' or"),
        ({"path": 3}, "a dict with the keys ['path'], without an 'array', 'bytes' or"),
        (3.5, "float"),
    ],
)
def test_what_is_no_sound_is_refused_in_words(row, words):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert words in refusal(row)


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (None, "None"),
        (3, "int"),
        (float("nan"), "float nan"),
        (object(), "object"),
        ([0.0, 1.0], "list; make it an array"),
    ],
)
def test_other_types_are_not_sounds(row, reason):
    """A list of numbers is no row: it cannot be told from a list of rows."""
    with pytest.raises(UnreadableRowError) as raised:
        key_of(row, 8_000)
    assert str(raised.value) == reason


def test_silence_and_one_sample():
    np.testing.assert_array_equal(read((np.zeros(16_000), 16_000)).samples, np.zeros(16_000))
    np.testing.assert_array_equal(read(([0.5], 16_000)).samples, np.float32([0.5]))


# -- files ----------------------------------------------------------------------------------------


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "a clip.wav"
    path.write_bytes(encoded(tone(0.2, 16_000), 16_000))
    return path


def test_a_file_is_known_by_its_content(file, tmp_path):
    """By path, in bytes, moved, as `datasets` gives it: one key, one waveform."""
    content = file.read_bytes()
    moved = tmp_path / "moved.bin"
    moved.write_bytes(content)
    rows = [file, str(file), moved, content, bytearray(content), memoryview(content)]
    rows += [BytesIO(content), {"bytes": BytesIO(content)}]
    rows += [{"path": str(file), "bytes": None}, {"bytes": content, "path": "gone.wav"}]
    rows += [{"path": str(file), "array": None, "sampling_rate": 16_000}]
    assert len({key_of(row, None) for row in rows}) == 1
    expected = read(file).samples
    for row in rows:
        np.testing.assert_array_equal(read(row, key=key_of(row, None)).samples, expected)


def test_a_file_that_was_changed_meanwhile_is_refused(file):
    key = key_of(file, None)
    file.write_bytes(encoded(tone(0.2, 16_000, seed=1), 16_000))
    assert refusal(file, key=key) == "a file that was changed while it was being embedded"
    file.unlink()
    assert refusal(file, key=key).startswith("no such file")


def test_paths_that_are_no_files(tmp_path):
    for row, words in (
        (tmp_path / "none.wav", "no such file, "),
        (tmp_path, "a folder, "),
        ("https://example.org/a.wav", "a URL, https://example.org/a.wav; download it first"),
        ("data:audio/wav;base64,AAAA", "a data URL; decode it and pass the bytes"),
        ("", "an empty path"),
        ("  ", "an empty path"),
        ("a\0b", "a file that cannot be read"),
        ("/dev/zero", "not a regular file, /dev/zero"),
        ("x" * 5000, "a file that cannot be read, …xxx"),
    ):
        with pytest.raises(UnreadableRowError) as raised:
            key_of(row, None)
        assert words in str(raised.value)
        assert len(str(raised.value)) < 200


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="rights do not bind this user")
def test_a_file_without_rights(file):
    file.chmod(0)
    with pytest.raises(
        UnreadableRowError, match=r"a file that cannot be read, .*: Permission denied"
    ):
        key_of(file, None)


def test_files_of_a_gigabyte_are_refused(file, monkeypatch):
    monkeypatch.setattr(_waveforms, "_LARGEST_FILE", 100)
    with pytest.raises(UnreadableRowError, match="a file of 6,444 bytes, more than 100"):
        key_of(file, None)


def test_files_of_floats_that_are_not_finite():
    content = encoded(np.full(99, np.nan), 16_000, "WAV", "FLOAT")
    assert refusal(content) == "samples that are not finite numbers"


# -- length ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("container", ["WAV", "FLAC", "OGG", "MP3"])
def test_what_is_too_long_is_cut_and_told(container):
    content = encoded(tone(2, 48_000, n_channels=2), 48_000, container)
    cut, whole = read(content, max_seconds=1.5), read(content, max_seconds=2.2)
    assert cut.cut
    assert not whole.cut
    assert len(cut.samples) == 24_000
    assert abs(len(whole.samples) - 32_000) < 1_600  # MP3 comes in frames
    exact = read(encoded(tone(1.5, 16_000), 16_000), max_seconds=1.5)
    assert not exact.cut


def test_arrays_that_are_too_long():
    sound = tone(2, 16_000)
    waveform = read((sound, 16_000), max_seconds=0.5)
    np.testing.assert_array_equal(waveform.samples, sound[:8_000])
    assert waveform.cut


@pytest.mark.parametrize("container", ["WAV", "OGG", "MP3"])
def test_truncated_files_are_heard_as_far_as_they_go(container):
    content = encoded(tone(8, 44_100, n_channels=2), 44_100, container)
    whole = read(content).samples
    samples = read(content[: len(content) * 2 // 3]).samples
    assert len(whole) / 3 < len(samples) <= len(whole)
    n = len(samples) // 2
    np.testing.assert_allclose(samples[:n], whole[:n], rtol=0, atol=1e-6)


def test_damage_prints_nothing(capfd):
    """A header that sends the decoder before the file's start, for instance."""
    content = encoded(tone(0.2, 16_000), 16_000, "AIFF")
    random = np.random.default_rng(0)
    for _ in range(300):
        damaged = bytearray(content)
        for _ in range(4):
            damaged[random.integers(60)] = random.integers(256)
        with contextlib.suppress(UnreadableRowError):
            assert np.isfinite(read(bytes(damaged)).samples).all()
    assert capfd.readouterr().err == ""


def test_the_path_may_be_of_any_kind(file):
    class Own(os.PathLike):
        def __fspath__(self):
            return str(file)

    assert key_of(Own(), None) == key_of(Path(file), None)
