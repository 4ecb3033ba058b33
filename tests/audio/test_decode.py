"""Files as `soundfile.read(path)` reads them: tags, padding, lengths; kinds that are not read."""

import struct
import warnings
from io import BytesIO

import numpy as np
import pytest
import soundfile
from tiny_sounds import encoded, tone

from skembed.audio import _decode
from skembed.audio._decode import decoded, mono
from skembed.audio._waveforms import waveform_of
from skembed.base._files import UnreadableRowError

ID3V1 = b"TAG" + b"a title".ljust(125, b"\0")
ID3V2 = b"ID3\x03\x00\x00\x00\x00\x02\x00" + bytes(256)  # 256 bytes of padding
ID3V24 = b"ID3\x04\x00\x10\x00\x00\x00\x10" + bytes(16) + b"3DI\x04\x00\x10\x00\x00\x00\x10"
APE = b"APETAGEX" + struct.pack("<IIII", 2000, 32, 0, 0xA0000000) + bytes(8)
APE_FOOTER = b"APETAGEX" + struct.pack("<IIII", 2000, 32, 0, 0x80000000) + bytes(8)
LYRICS = b"LYRICSBEGIN" + b"INF00002" + b"10" + b"000021" + b"LYRICS200"
BEHIND = {
    "ID3v1": ID3V1,
    "APE": APE + APE_FOOTER,
    "APE and ID3v1": APE + APE_FOOTER + ID3V1,
    "Lyrics3": LYRICS + ID3V1,
    "zeros": bytes(4096),
    "junk": np.random.default_rng(0).bytes(777),
}
BEFORE = {
    "ID3v2": ID3V2,
    "ID3v2 twice": ID3V2 + ID3V2,
    "ID3v2 with footer": ID3V24,
    "ID3v2 and zeros": ID3V2 + bytes(100),
    "zeros": bytes(64),
    "APE": APE,
    "junk": b"junk" * 20,
}
CONTAINERS = {
    "wav": ("WAV", "PCM_16"),
    "rf64": ("RF64", "PCM_16"),
    "w64": ("W64", "PCM_16"),
    "aiff": ("AIFF", "PCM_16"),
    "au": ("AU", "PCM_16"),
    "caf": ("CAF", "PCM_16"),
    "flac": ("FLAC", "PCM_16"),
    "ogg": ("OGG", "VORBIS"),
    "opus": ("OGG", "OPUS"),
    "mp3": ("MP3", "MPEG_LAYER_III"),
}
SEEN_IN_PATHS = [  # tags before these are skipped by libsndfile where it reads a path
    (name, tag) for name in ("flac", "wav", "aiff") for tag in ("ID3v2", "ID3v2 twice")
] + [("mp3", tag) for tag in BEFORE if tag != "ID3v2 with footer"]


def of_container(name):
    container, encoding = CONTAINERS[name]
    return encoded(tone(0.7, 48_000, n_channels=2), 48_000, container, encoding)


def by_path(content, path):
    """Return the samples that soundfile reads, and None if it refuses."""
    path.write_bytes(content)
    try:
        return mono(soundfile.read(str(path), dtype="float32", always_2d=True)[0])
    except soundfile.SoundFileError:
        return None


def refusal(content):
    with pytest.raises(UnreadableRowError) as raised:
        decoded(content, 600)
    return str(raised.value)


# -- containers ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("container", "encoding", "tolerance"),
    [
        ("WAV", "PCM_16", 2**-15),
        ("WAV", "PCM_24", 2**-23),
        ("WAV", "PCM_U8", 2**-7),
        ("WAV", "FLOAT", 0),
        ("WAV", "DOUBLE", 0),
        ("WAVEX", "PCM_16", 2**-15),
        ("RF64", "PCM_16", 2**-15),
        ("W64", "PCM_16", 2**-15),
        ("FLAC", "PCM_16", 2**-15),
        ("FLAC", "PCM_24", 2**-23),
        ("AIFF", "PCM_16", 2**-15),
        ("AU", "PCM_16", 2**-15),
        ("CAF", "ALAC_24", 2**-23),
    ],
)
def test_containers_that_lose_nothing(container, encoding, tolerance):
    sound = tone(0.3, 16_000)
    waveform, _ = decoded(encoded(sound, 16_000, container, encoding), 600)
    np.testing.assert_allclose(waveform.samples, sound, rtol=0, atol=tolerance)
    assert waveform.samples.dtype == np.float32
    assert not waveform.cut


@pytest.mark.parametrize(
    ("container", "encoding"),
    [("OGG", "VORBIS"), ("OGG", "OPUS"), ("MP3", "MPEG_LAYER_III"), ("FLAC", "PCM_16")],
)
@pytest.mark.parametrize("block", [1 << 12, 1 << 16])
def test_blocks_are_joined_without_a_seam(container, encoding, block, monkeypatch):
    """MP3's decoder would forget at each seek what the next samples need."""
    monkeypatch.setattr(_decode, "_BLOCK", block)
    content = encoded(tone(3, 48_000, n_channels=2), 48_000, container, encoding)
    whole, _ = soundfile.read(BytesIO(content), dtype="float32")
    waveform, _ = decoded(content, 600)
    np.testing.assert_allclose(waveform.samples, whole.mean(axis=1), rtol=0, atol=1e-6)


def test_containers_that_nobody_sends_are_refused():
    """libsndfile reads them, and each is one more decoder for damaged files to break."""
    content = encoded(tone(0.1, 16_000), 16_000, "VOC", "PCM_16")
    assert refusal(content).startswith("a file of format VOC; supported files: WAV, ")


# -- tags, padding, lengths ------------------------------------------------------------------------


@pytest.mark.parametrize("name", CONTAINERS)
@pytest.mark.parametrize("tag", BEHIND)
def test_bytes_behind_the_audio(name, tag, tmp_path, capfd):
    """What soundfile reads is read, sample for sample, from a path and from bytes."""
    content = of_container(name) + BEHIND[tag]
    expected = by_path(content, tmp_path / f"a.{name}")
    capfd.readouterr()
    assert expected is not None
    np.testing.assert_array_equal(decoded(content, 600)[0].samples, expected)
    read = waveform_of(
        str(tmp_path / f"a.{name}"), None, sampling_rate=None, target_rate=48_000, max_seconds=600
    )
    np.testing.assert_array_equal(read.samples, expected)
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(("name", "tag"), SEEN_IN_PATHS)
def test_bytes_before_the_audio(name, tag, tmp_path, capfd):
    content = BEFORE[tag] + of_container(name) + ID3V1
    expected = by_path(content, tmp_path / f"a.{name}")
    capfd.readouterr()
    assert expected is not None
    np.testing.assert_array_equal(decoded(content, 600)[0].samples, expected)
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("name", CONTAINERS)
def test_id3_tags_before_any_container(name):
    """libsndfile refuses some of them, which is no reason to."""
    content = of_container(name)
    expected = decoded(content, 600)[0].samples
    for tag in ("ID3v2", "ID3v2 with footer", "ID3v2 twice"):
        np.testing.assert_array_equal(decoded(BEFORE[tag] + content, 600)[0].samples, expected)


@pytest.mark.parametrize("name", CONTAINERS)
def test_truncated_files_are_as_by_path(name, tmp_path):
    content = of_container(name)
    for share in (0.3, 0.6, 0.95):
        part = content[: int(len(content) * share)]
        expected = by_path(part, tmp_path / f"a.{name}")
        if expected is None or len(expected) == 0:
            refusal(part)
        else:
            np.testing.assert_array_equal(decoded(part, 600)[0].samples, expected)


@pytest.mark.parametrize("claimed", [0, 40, 2**31 - 1, 2**32 - 1])
@pytest.mark.parametrize("behind", [b"", ID3V1, bytes(3)])
def test_wav_sizes_that_lie(claimed, behind, tmp_path):
    content = bytearray(of_container("wav") + behind)
    start = content.index(b"data") + 4
    content[start : start + 4] = struct.pack("<I", claimed)
    expected = by_path(bytes(content), tmp_path / "a.wav")
    if len(expected):
        np.testing.assert_array_equal(decoded(bytes(content), 600)[0].samples, expected)
    else:
        assert refusal(bytes(content)) == "a sound of no samples"


def test_a_header_that_promises_hours_costs_nothing():
    """A FLAC that announces 2**36 - 1 samples is read until its end, in blocks."""
    content = bytearray(of_container("flac"))
    expected = decoded(bytes(content), 600)[0].samples
    content[21] |= 0x0F
    content[22:26] = b"\xff" * 4
    np.testing.assert_array_equal(decoded(bytes(content), 600)[0].samples, expected)


def test_a_truncated_flac_is_refused():
    """It knows how long it should be, and its decoder takes nothing less."""
    content = encoded(tone(8, 44_100), 44_100, "FLAC")
    assert refusal(content[: len(content) // 2]).startswith("a damaged sound file: ")


def test_damage_is_not_blamed_on_a_path():
    """The decoder of MP3 says that a file does not exist when it finds nothing in it."""
    content = encoded(tone(1, 16_000), 16_000, "MP3")[:100]
    assert "exist" not in refusal(content)


# -- kinds that are not read -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"\0\0\0\x20ftypM4A " + bytes(99), ("an MP4 or M4A file", "ffmpeg -i in.m4a out.wav")),
        (b"\x30\x26\xb2\x75\x8e\x66\xcf\x11" + bytes(99), ("a WMA or ASF file", "in.wma")),
        (b"\x1a\x45\xdf\xa3" + bytes(99), ("a WebM or Matroska file", "in.webm")),
        (b"\xff\xf1\x50\x80" + bytes(99), ("an AAC file", "in.aac")),
        (ID3V2 + b"\xff\xf9\x50\x80" + bytes(99), ("an AAC file", "in.aac")),
        (b"#!AMR\n" + bytes(99), ("an AMR file", "in.amr")),
        (b"MAC \x96\x0f" + bytes(99), ("a Monkey's Audio file", "in.ape")),
        (b"wvpk" + bytes(99), ("a WavPack file", "in.wv")),
        (b"RIFF\0\0\1\0AVI LIST" + bytes(99), ("an AVI video", "in.avi")),
        (b"MThd" + bytes(99), ("not a sound but a MIDI file, which contains notes",)),
        (b" <!DOCTYPE html>" + bytes(99), ("not a sound but an HTML page",)),
        (b"version https://git-lfs.github.com/spec/v1\n", ("a pointer of Git LFS",)),
        (b"text " * 99, ("not a sound file; supported files: WAV, FLAC, Ogg",)),
    ],
)
def test_kinds_that_are_not_read_are_named(content, words):
    """With what is read, and how to convert."""
    for part in words:
        assert part in refusal(content)


def test_an_encoding_that_is_not_read_is_no_damage():
    """A WAV file that holds WMA."""
    content = bytearray(of_container("wav"))
    content[20:22] = struct.pack("<H", 0x0161)
    assert "an unsupported encoding (unsupported encoding 0x0161)" in refusal(bytes(content))
    theora = of_container("ogg").replace(b"\x01vorbis", b"\x80theora", 1)
    assert "an unsupported encoding (unsupported encoding Theora)" in refusal(theora)
    assert "a damaged sound file" in refusal(of_container("flac")[:3000])


def test_good_files_are_good_where_warnings_are_errors():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for name in CONTAINERS:
            assert len(decoded(of_container(name), 600)[0].samples)


def test_files_without_sounds_are_refused():
    for content, words in (
        (b"", "an empty file"),
        (b"RIFF", "not a sound file; supported files: WAV, FLAC, "),
        (b"not a sound at all" * 99, "not a sound file; supported files: WAV, FLAC, "),
        (encoded(np.zeros((0, 1)), 16_000), "a sound of no samples"),
        (encoded(np.zeros(99), 500), "a sampling rate of 500 Hz"),
        (encoded(np.zeros((9, 65)), 16_000), "a sound of 65 channels"),
    ):
        assert words in refusal(content)
