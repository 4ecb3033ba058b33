"""Decode the content of a sound file to mono samples.

libsndfile decodes files from memory, so the decoded bytes are the same as those of the row's key.
Results are the same as for a file on disk. For this, tags before the audio are removed, which
libsndfile does not skip in memory. The frames of MP3 files are searched here, because libsndfile
searches them only if the file name ends in ".mp3".
"""

import os
from io import BytesIO
from typing import NamedTuple

import numpy as np
import soundfile

from skembed.audio._mpeg import clean_mpeg, skip_id3
from skembed.base._file_kinds import kind_of_file
from skembed.base._files import UnreadableRowError

# Supported containers. libsndfile supports more, which are rare and increase the attack surface.
FORMATS = ("WAV", "WAVEX", "RF64", "W64", "AIFF", "AU", "CAF", "FLAC", "OGG", "MP3")
SLOWEST, FASTEST = 1_000, 768_000  # Hz
MOST_CHANNELS = 64
_BLOCK = 1 << 16  # samples decoded at a time, since headers may state a wrong length
_READ = "WAV, FLAC, Ogg (Vorbis, Opus), MP3, AIFF, AU, CAF, W64 and RF64"
_REMEDY = "convert it, for instance: ffmpeg -i in.{0} out.wav"
# First bytes of containers of libsndfile. These files are not searched for MP3 frames.
_CONTAINERS = tuple(b"RIFF RIFX RF64 riff FORM .snd dns. caff fLaC OggS".split())
# (position, bytes) -> kind of an unsupported file, and its usual extension.
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
# First bytes in lower case -> kind of a file without audio.
_NO_AUDIO = {b"mthd": "a MIDI file, which contains notes"}


class Waveform(NamedTuple):
    """Mono samples, (n_samples,) float32 from -1 to 1, and whether their end was cut."""

    samples: np.ndarray
    rate: int  # Hz
    cut: bool


class _Bytes(BytesIO):
    """The content of a file. Damaged headers make decoders seek to negative positions."""

    def seek(self, offset, whence=os.SEEK_SET):
        try:
            return super().seek(offset, whence)
        except (ValueError, OverflowError):
            return super().seek(0, os.SEEK_END)


class _SequentialFile(soundfile.SoundFile):
    """A sound file that is read from start to end without seeking.

    soundfile seeks to the current position after each block. This resets the decoder of MP3, which
    needs the previous frames to decode the next one.
    """

    def seekable(self):
        """Return False, which keeps soundfile from seeking."""
        return False

    def rewind(self):
        """Seek to the start like `soundfile.read`; some decoders then differ in the last bit."""
        if super().seekable():
            self.seek(0)


def mono(samples):
    """Average the channels of (n_samples,) or (n_samples, n_channels)."""
    if samples.ndim == 1:
        return samples
    if samples.shape[1] == 1:
        return samples[:, 0]
    with np.errstate(over="ignore", invalid="ignore"):  # infinity is refused later
        return samples.mean(axis=1, dtype=np.float32)


def decoded(content, max_seconds):
    """Decode the content of a file in blocks.

    Parameters
    ----------
    content : bytes
        The content of the file.
    max_seconds : float
        Audio beyond this limit is ignored.

    Returns
    -------
    waveform : Waveform
        At the file's own rate. The samples are those of ``soundfile.read(path)``.
    is_float : bool
        Whether the file contains floats, whose full scale is 1 only by convention.

    Raises
    ------
    UnreadableRowError
        If the file cannot be decoded.
    """
    audio = _audio_of(content)
    try:
        with _SequentialFile(_Bytes(audio)) as file:
            _check(file)
            file.rewind()
            samples, cut = _samples(file, int(max_seconds * file.samplerate))
            waveform = Waveform(samples, file.samplerate, cut)
            return waveform, file.subtype in ("FLOAT", "DOUBLE")
    except soundfile.SoundFileError as error:
        raise UnreadableRowError(_reason(error, audio)) from error


def _audio_of(content):
    """Return the part of a file that is passed to libsndfile."""
    if not content:
        raise UnreadableRowError("an empty file")
    start = skip_id3(content)
    head = content[start : start + 64]
    if head.startswith(_CONTAINERS) and head[8:12] != b"AVI ":
        return content[start:] if start else content
    for (position, magic), (what, extension) in _OTHERS.items():
        if head.startswith(magic, position):
            remedy = _REMEDY.format(extension)
            raise UnreadableRowError(f"{what}; supported files: {_READ}; {remedy}")
    cleaned = clean_mpeg(content)
    if cleaned is not None:
        return cleaned
    kind = kind_of_file(head, _NO_AUDIO)
    if kind is not None:
        raise UnreadableRowError(f"not a sound but {kind}")
    return content


def _check(file):
    """Raise an UnreadableRowError if the header of a file has unsupported values."""
    if file.format not in FORMATS:
        raise UnreadableRowError(f"a file of format {file.format}; supported files: {_READ}")
    if not SLOWEST <= file.samplerate <= FASTEST:
        raise UnreadableRowError(f"a sampling rate of {file.samplerate:,} Hz")
    if file.channels > MOST_CHANNELS:
        raise UnreadableRowError(f"a sound of {file.channels:,} channels")


def _samples(file, n_samples):
    """Return up to `n_samples` samples, and whether there are more."""
    # Bytes after the announced samples are not audio. One sample more than requested shows whether
    # the sound is cut. A block shorter than requested is the last one.
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


# Parts of libsndfile's messages about unknown files, and about unsupported encodings.
_UNKNOWN = "format not recognised"  # codespell:ignore recognised
_UNSUPPORTED = ("unimplemented format", "unsupported encoding", "unknown format")


# First bytes of streams in an Ogg file that libsndfile may not support -> their codecs.
_OGG_CODECS = {b"Speex   ": "Speex", b"\x7fFLAC": "FLAC in Ogg", b"\x80theora": "Theora"}
# Tags of the codecs in WAV files that libsndfile supports.
_WAV_CODECS = {1, 2, 3, 6, 7, 0x11, 0x14, 0x31, 0x40, 0x55, 0x64, 0x65, 0xFFFE}


def _reason(error, content):
    """Return why libsndfile cannot decode a file, for the message about the row."""
    text = getattr(error, "error_string", str(error)).strip().splitlines() or [""]
    text = text[0].rstrip(".").removeprefix("Error : ")
    if _UNKNOWN in text.lower():
        return f"not a sound file; supported files: {_READ}"
    if content.startswith(b"RIFF") and content[12:16] == b"fmt ":
        codec = int.from_bytes(content[20:22], "little")
        text = text if codec in _WAV_CODECS else f"unsupported encoding 0x{codec:04x}"
    for magic, codec in _OGG_CODECS.items():
        if content.startswith(b"OggS") and magic in content[:512]:
            text = f"unsupported encoding {codec}"
    if any(part in text.lower() for part in _UNSUPPORTED):
        remedy = _REMEDY.format("*")
        return f"a sound in an unsupported encoding ({text}); {remedy}"
    # The decoder of MP3 reports that a file does not exist if it finds no frames.
    known = text and not text.startswith("File does not exist")
    return f"a damaged sound file: {text}" if known else "a damaged sound file"
