"""From the bytes of a sound file to mono samples.

Files are decoded by libsndfile from memory, so that their keys are of the very bytes that are
decoded. What it finds in a file of that name it finds here, too: tags before the audio are left
out, since it does not skip them in memory, and frames of MP3 are looked for, since it does so only
by the file's name.
"""

import os
from io import BytesIO
from typing import NamedTuple

import numpy as np
import soundfile

from skembed.audio._mpeg import clean_mpeg, skip_id3
from skembed.base._files import UnreadableRowError

# Containers that are read; libsndfile reads more, which are rare and attack surface.
FORMATS = ("WAV", "WAVEX", "RF64", "W64", "AIFF", "AU", "CAF", "FLAC", "OGG", "MP3")
SLOWEST, FASTEST = 1_000, 768_000  # Hz
MOST_CHANNELS = 64
_BLOCK = 1 << 16  # frames decoded at a time: headers lie about how many there are
_READ = "WAV, FLAC, Ogg (Vorbis, Opus), MP3, AIFF, AU, CAF, W64 and RF64"
_REMEDY = "convert it, for instance: ffmpeg -i in.{0} out.wav"
# What files begin with that libsndfile reads: never taken for MP3.
_CONTAINERS = tuple(b"RIFF RIFX RF64 riff FORM .snd dns. caff fLaC OggS".split())
# (position, magic) -> what the file is, and the extension that it usually has.
_OTHERS = {
    (4, b"ftyp"): ("an MP4 or M4A file (AAC or ALAC)", "m4a"),
    (0, b"\x30\x26\xb2\x75\x8e\x66\xcf\x11"): ("a WMA or ASF file", "wma"),
    (0, b"\x1a\x45\xdf\xa3"): ("a WebM or Matroska file", "webm"),
    (0, b"\xff\xf1"): ("an AAC file (ADTS)", "aac"),
    (0, b"\xff\xf9"): ("an AAC file (ADTS)", "aac"),
    (0, b"ADIF"): ("an AAC file (ADIF)", "aac"),
    (0, b"#!AMR"): ("an AMR file", "amr"),
    (0, b"MAC "): ("a Monkey's Audio file", "ape"),
    (0, b"wvpk"): ("a WavPack file", "wv"),
    (0, b"MPCK"): ("a Musepack file", "mpc"),
    (0, b"MP+"): ("a Musepack file", "mpc"),
    (0, b"TTA1"): ("a True Audio file", "tta"),
    (0, b"OFR "): ("an OptimFROG file", "ofr"),
    (0, b"tBaK"): ("a TAK file", "tak"),
    (0, b"DSD "): ("a DSD file", "dsf"),
    (0, b"FRM8"): ("a DSD file", "dff"),
    (0, b"FLV"): ("a Flash video", "flv"),
    (8, b"AVI "): ("an AVI video", "avi"),
    (0, b"\x00\x00\x01\xba"): ("an MPEG video", "mpg"),
    (0, b"#!SILK"): ("a SILK file", "silk"),
}
# The same of files that are no sounds, or no recorded ones.
_NO_SOUNDS = {
    b"MThd": "a MIDI file, which holds notes",
    b"<!doctype": "an HTML page",
    b"<html": "an HTML page",
    b"<?xml": "an XML document",
    b"%pdf": "a PDF document",
    b"pk\x03\x04": "a zip archive",
    b"version https://git-lfs": "a pointer of Git LFS; run git lfs pull",
}


class Waveform(NamedTuple):
    """A sound: samples (n_samples,) float32 from -1 to 1, and whether its end was left out."""

    samples: np.ndarray
    rate: int  # Hz
    cut: bool


class _Bytes(BytesIO):
    """A file's content; damaged headers send the decoder to places before its start."""

    def seek(self, offset, whence=os.SEEK_SET):
        try:
            return super().seek(offset, whence)
        except (ValueError, OverflowError):
            return super().seek(0, os.SEEK_END)


class _Straight(soundfile.SoundFile):
    """A sound file that is read from start to end.

    soundfile seeks after each block, to where it is already, and the decoder of MP3 forgets there
    what the next samples need.
    """

    def seekable(self):
        """Return False, which keeps soundfile from seeking."""
        return False

    def rewind(self):
        """Seek to the start, as `soundfile.read` does: some decoders differ in the last bit."""
        if super().seekable():
            self.seek(0)


def mono(samples):
    """Average the channels of (n_samples,) or (n_samples, n_channels)."""
    if samples.ndim == 1:
        return samples
    if samples.shape[1] == 1:
        return samples[:, 0]
    with np.errstate(over="ignore", invalid="ignore"):  # refused with the others
        return samples.mean(axis=1, dtype=np.float32)


def decoded(content, max_seconds):
    """Return the waveform of a file's content, decoded in blocks.

    Parameters
    ----------
    content : bytes
        The file.
    max_seconds : float
        Audio beyond this limit is ignored.

    Returns
    -------
    waveform : Waveform
        At the file's own rate. Its samples are those of ``soundfile.read(path)``.
    is_float : bool
        Whether the file holds floats, whose scale is a convention only.

    Raises
    ------
    UnreadableRowError
        If the file cannot be decoded.
    """
    audio = _audio_of(content)
    try:
        with _Straight(_Bytes(audio)) as file:
            _check(file)
            file.rewind()
            samples, cut = _samples(file, int(max_seconds * file.samplerate))
            waveform = Waveform(samples, file.samplerate, cut)
            return waveform, file.subtype in ("FLOAT", "DOUBLE")
    except soundfile.SoundFileError as error:
        raise UnreadableRowError(_reason(error, audio)) from error


def _audio_of(content):
    """Return what libsndfile is given of a file."""
    if not content:
        raise UnreadableRowError("an empty file")
    start = skip_id3(content)
    head = content[start : start + 64]
    if head.startswith(_CONTAINERS) and head[8:12] != b"AVI ":
        return content[start:] if start else content
    for (position, magic), (what, extension) in _OTHERS.items():
        if head.startswith(magic, position):
            remedy = _REMEDY.format(extension)
            raise UnreadableRowError(f"{what}; files that are read: {_READ}; {remedy}")
    cleaned = clean_mpeg(content)
    if cleaned is not None:
        return cleaned
    head = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    for magic, what in _NO_SOUNDS.items():
        if head.startswith(magic.lower()):
            raise UnreadableRowError(f"{what}, not a sound")
    return content


def _check(file):
    """Refuse files by what their headers say."""
    if file.format not in FORMATS:
        raise UnreadableRowError(f"a file of format {file.format}; files that are read: {_READ}")
    if not SLOWEST <= file.samplerate <= FASTEST:
        raise UnreadableRowError(f"a sampling rate of {file.samplerate:,} Hz")
    if file.channels > MOST_CHANNELS:
        raise UnreadableRowError(f"a sound of {file.channels:,} channels")


def _samples(file, n_samples):
    """Read up to `n_samples` samples; return them, and whether there are more."""
    # What stands behind the announced samples is no sound. One sample more than those asked for
    # tells whether the sound is cut.
    stop = min(n_samples + 1, file.frames)
    blocks, n_read, size, n_block = [], 0, 0, 0
    while n_read < stop and n_block == size:
        size = max(1, min(_BLOCK // file.channels, stop - n_read))
        block = file.read(size, dtype="float32", always_2d=True)
        n_block = len(block)
        n_read += n_block
        blocks.append(mono(block))
    if n_read == 0:
        raise UnreadableRowError("a sound of no samples")
    return np.concatenate(blocks)[:n_samples], n_read > n_samples


# Parts of libsndfile's messages -> what is wrong with the file.
_UNKNOWN = "format not recognised"  # codespell:ignore recognised
_UNSUPPORTED = ("unimplemented format", "unsupported encoding", "unknown format")


# What streams in an Ogg file begin with that libsndfile may lack -> their codecs.
_OGG_CODECS = {b"Speex   ": "Speex", b"\x7fFLAC": "FLAC in Ogg", b"\x80theora": "Theora"}
# Codecs of WAV files that libsndfile knows, by the tag in their header.
_WAV_CODECS = {1, 2, 3, 6, 7, 0x11, 0x14, 0x31, 0x40, 0x55, 0x64, 0x65, 0xFFFE}


def _reason(error, content):
    text = getattr(error, "error_string", str(error)).strip().splitlines() or [""]
    text = text[0].rstrip(".").removeprefix("Error : ")
    if _UNKNOWN in text.lower():
        return f"not a sound file; files that are read: {_READ}"
    if content.startswith(b"RIFF") and content[12:16] == b"fmt ":
        codec = int.from_bytes(content[20:22], "little")
        text = text if codec in _WAV_CODECS else f"unsupported encoding 0x{codec:04x}"
    for magic, codec in _OGG_CODECS.items():
        if content.startswith(b"OggS") and magic in content[:512]:
            text = f"unsupported encoding {codec}"
    if any(part in text.lower() for part in _UNSUPPORTED):
        remedy = _REMEDY.format("*")
        return f"a sound in an encoding that is not read ({text}); {remedy}"
    # The decoder of MP3 says that a file does not exist when it finds nothing in it.
    known = text and not text.startswith("File does not exist")
    return f"a damaged sound file: {text}" if known else "a damaged sound file"
