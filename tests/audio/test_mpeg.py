"""Frames of MP3 in the midst of other bytes."""

import io

import numpy as np
import pytest
import soundfile
from tiny_sounds import encoded, tone

from skembed.audio._mpeg import clean_mpeg, end_of_frames, find_frame, frame_length, skip_id3


@pytest.fixture(scope="module", params=[16_000, 44_100, 48_000, 11_025])
def mp3(request):
    """MPEG 1, 2 and 2.5."""
    return encoded(tone(0.5, request.param), request.param, "MP3")


def test_frames_are_found_and_their_end(mp3):
    assert find_frame(mp3, 0) == 0
    assert end_of_frames(mp3, 0) == len(mp3)
    assert find_frame(bytes(100) + mp3, 0) == 100
    assert end_of_frames(mp3 + bytes(500), 0) == len(mp3)


def test_a_clean_file_is_left_alone(mp3):
    assert clean_mpeg(mp3) == mp3


@pytest.mark.parametrize("n_bytes", [1, 9, 11, 12, 200, 20_000])
def test_what_is_cut_off_becomes_an_empty_tag(mp3, n_bytes):
    """The length is kept, for it is what the number of samples is estimated by."""
    cleaned = clean_mpeg(bytes(n_bytes) + mp3)
    assert cleaned.endswith(mp3)
    assert len(cleaned) == len(mp3) + max(n_bytes, 12)
    assert skip_id3(cleaned) == max(n_bytes, 12)
    if n_bytes >= 12:
        assert clean_mpeg(mp3 + bytes(n_bytes)) == cleaned
    expected, _ = soundfile.read(io.BytesIO(mp3))
    for content in (cleaned, clean_mpeg(mp3 + bytes(n_bytes))):
        np.testing.assert_array_equal(soundfile.read(io.BytesIO(content))[0], expected)


def test_the_length_in_the_xing_header_is_corrected():
    content = encoded(tone(0.5, 44_100), 44_100, "MP3")
    position = max(content.find(b"Xing", 0, 60), content.find(b"Info", 0, 60))
    wrong = bytearray(content)
    wrong[position + 12 : position + 16] = b"\0\1\0\0"
    assert clean_mpeg(bytes(wrong)) == content


def test_frames_behind_damage_are_kept(mp3):
    half = len(mp3) // 2
    damaged = mp3[:half] + bytes(300) + mp3[half:]
    assert len(clean_mpeg(damaged)) == len(damaged)


def test_random_bytes_are_no_frames():
    random = np.random.default_rng(0)
    for _ in range(20):
        assert clean_mpeg(random.bytes(1 << 16)) is None


def test_frame_lengths_add_up(mp3):
    """A file is the sum of its frames, and their number that of its samples."""
    position = n_frames = 0
    while position < len(mp3):
        position += frame_length(int.from_bytes(mp3[position : position + 4], "big"))
        n_frames += 1
    assert position == len(mp3)
    info = soundfile.info(io.BytesIO(mp3))
    a_frame = 1152 if info.samplerate >= 32_000 else 576
    assert info.frames <= n_frames * a_frame
    for header in (0, 0xFFFFFFFF, 0xFFFB0064, 0xFFFBF064, 0xFFEB9064, 0xFFF99064, 0xFFFB9C64):
        assert frame_length(header) == 0
