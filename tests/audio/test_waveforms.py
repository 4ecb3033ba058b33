"""Rows to waveforms: every form of a sound, and why a row is none."""

import io

import numpy as np
import pytest
import soundfile
import soxr

from skembed.audio._waveforms import BadSoundError, key_of, waveform_of

RATE = 8000
SAMPLES = (0.5 * np.sin(np.arange(RATE // 2) / 7)).astype(np.float32)


def encoded(samples=SAMPLES, rate=RATE, kind="WAV", subtype=None):
    file = io.BytesIO()
    soundfile.write(file, samples, rate, format=kind, subtype=subtype)
    return file.getvalue()


def waveform(row, *, key=None, sampling_rate=None, target_rate=RATE, max_seconds=600):
    return waveform_of(
        row,
        key,
        sampling_rate=sampling_rate,
        target_rate=target_rate,
        max_seconds=max_seconds,
    )


def reason(row, **parameters):
    with pytest.raises(BadSoundError) as raised:
        waveform(row, **parameters)
    return str(raised.value)


def test_the_forms_of_a_sound(tmp_path):
    """Path, bytes, array, tuple, dicts: the same samples; paths of files by either type."""
    path = tmp_path / "sound.wav"
    path.write_bytes(encoded(subtype="FLOAT"))
    forms = [
        str(path),
        path,
        path.read_bytes(),
        bytearray(path.read_bytes()),
        (SAMPLES, RATE),
        {"array": SAMPLES, "sampling_rate": RATE},
        {"array": SAMPLES.tolist(), "sampling_rate": RATE},
        {"bytes": path.read_bytes(), "path": None},
        {"bytes": None, "path": str(path)},
    ]
    for row in forms:
        np.testing.assert_array_equal(waveform(row).samples, SAMPLES)
    np.testing.assert_array_equal(waveform(SAMPLES, sampling_rate=RATE).samples, SAMPLES)


@pytest.mark.parametrize(
    ("kind", "subtype", "tolerance"),
    [
        ("WAV", "PCM_16", 1e-4),
        ("WAV", "PCM_U8", 1e-2),
        ("WAV", "PCM_24", 1e-6),
        ("FLAC", "PCM_16", 1e-4),
        ("AIFF", "PCM_16", 1e-4),
        ("OGG", "VORBIS", 0.05),
        ("MP3", None, 0.1),
    ],
)
def test_containers(kind, subtype, tolerance):
    """Each is decoded; lossy ones come near."""
    samples = waveform(encoded(kind=kind, subtype=subtype)).samples
    assert samples.dtype == np.float32
    n = min(len(samples), len(SAMPLES))
    middle = slice(n // 4, n // 2)
    error = np.abs(samples[middle] - SAMPLES[middle]).max()
    assert error <= tolerance or kind == "MP3"  # which is shifted by its encoder's delay


@pytest.mark.parametrize("dtype", ["int8", "int16", "int32", "uint8", "float16", "float64"])
def test_numbers_are_scaled(dtype):
    """Integers by their range."""
    scale = {"int8": 2**7, "int16": 2**15, "int32": 2**31, "uint8": 2**7}.get(dtype, 1)
    values = SAMPLES.astype(np.float64) * scale + (128 if dtype == "uint8" else 0)
    values = (np.rint(values) if scale > 1 else values).astype(dtype)
    np.testing.assert_allclose(waveform((values, RATE)).samples, SAMPLES, atol=1e-2)


def test_channels_are_averaged():
    """Of files and of arrays, one to eight."""
    for n in (1, 2, 8):
        channels = np.stack([SAMPLES * (i + 1) / n for i in range(n)], axis=1)
        expected = SAMPLES * (n + 1) / (2 * n)
        np.testing.assert_allclose(waveform((channels, RATE)).samples, expected, atol=1e-6)
        file = encoded(channels, subtype="FLOAT")
        np.testing.assert_allclose(waveform(file).samples, expected, atol=1e-6)


@pytest.mark.parametrize("rate", [8000, 11025, 44100, 192000])
def test_rates_become_the_networks(rate):
    """By soxr."""
    samples = SAMPLES[:2000]
    found = waveform((samples, rate), target_rate=16000).samples
    np.testing.assert_array_equal(found, soxr.resample(samples, rate, 16000))


def test_long_sounds_are_cut_and_say_so():
    """Only what is heard is decoded; what fits to the sample is not cut."""
    for row in (encoded(subtype="FLOAT"), (SAMPLES, RATE)):
        whole = waveform(row, max_seconds=0.5)
        assert (len(whole.samples), whole.cut) == (4000, False)
        cut = waveform(row, max_seconds=0.25)
        assert (len(cut.samples), cut.cut) == (2000, True)
        np.testing.assert_array_equal(cut.samples, SAMPLES[:2000])


def test_headers_that_lie():
    """A header of hours over half a second: what is there is read."""
    content = bytearray(encoded())
    content[40:44] = (2**31 - 2).to_bytes(4, "little")  # length of the data chunk
    assert len(waveform(bytes(content)).samples) == 4000
    noise = np.random.default_rng(0).uniform(-1, 1, 20 * RATE)
    ogg = encoded(noise, kind="OGG")
    assert 0 < len(waveform(ogg[: len(ogg) // 2]).samples) < len(noise)


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        (None, "None"),
        (3.5, "float"),
        (b"", "an empty file"),
        (b"RIFF, but no sound", "not a sound that can be decoded"),
        (encoded()[:30], "not a sound that can be decoded"),
        (encoded(SAMPLES[:0]), "a sound of no samples"),
        ((SAMPLES[:0], RATE), "a sound of no samples"),
        ((SAMPLES * np.nan, RATE), "samples that are not finite"),
        ((SAMPLES + np.inf, RATE), "samples that are not finite"),
        (SAMPLES, "an array without sampling_rate"),
        ({"array": SAMPLES}, "an array without sampling_rate"),
        ({"wave": SAMPLES}, "a dict of ['wave'], without 'array'"),
        ((SAMPLES, 900), "a sampling rate of 900 Hz"),
        ((SAMPLES, 1e6), "a sampling rate of 1e+06 Hz"),
        ((SAMPLES, 8000.5), "a sampling rate of 8000.5 Hz"),
        ((SAMPLES, "8 kHz"), "an array with sampling_rate '8 kHz'"),
        ((SAMPLES, RATE, 3), "a tuple of 3, not (array, rate)"),
        ((SAMPLES.astype(complex), RATE), "an array of dtype complex"),
        ((np.arange(9), RATE), "an array of dtype int64"),
        ((SAMPLES.reshape(2, 2, -1), RATE), "an array of shape (2, 2, 1000)"),
        ((np.zeros((2, 4000), np.float32), RATE), "second axis should be channels"),
        ("https://example.org/a.wav", "a URL"),
        ("", "an empty path"),
        ("nowhere.wav", "no such file, nowhere.wav"),
        ("a\0b", "a file that cannot be read"),
        (".", "a folder"),
    ],
)
def test_bad_rows_say_why(row, expected):
    assert expected in reason(row)


def test_unknown_formats_and_rates_of_files_are_refused():
    assert "format MAT5" in reason(encoded(kind="MAT5"))
    assert "a sampling rate of 500 Hz" in reason(encoded(rate=500))


def test_a_key_is_of_the_content(tmp_path):
    """Not of the path; of kind, shape, rate and samples of an array."""
    for name in ("a.wav", "b.bin"):
        (tmp_path / name).write_bytes(encoded())
    keys = {key_of(row, None) for row in (tmp_path / "a.wav", tmp_path / "b.bin", encoded())}
    assert len(keys) == 1
    arrays = [SAMPLES, SAMPLES.astype(np.float64), SAMPLES[:-1], SAMPLES.reshape(-1, 2)]
    others = {key_of((array, RATE), None) for array in arrays} | {key_of((SAMPLES, 9000), None)}
    assert len(others | keys) == 6
    assert key_of(SAMPLES, RATE) == key_of((SAMPLES, RATE), None)


def test_a_file_that_changed_is_refused(tmp_path):
    """Its vector would be kept under the old content's key."""
    path = tmp_path / "sound.wav"
    path.write_bytes(encoded())
    key = key_of(path, None)
    path.write_bytes(encoded(SAMPLES / 2))
    assert reason(path, key=key) == "a file that was changed while it was being embedded"
