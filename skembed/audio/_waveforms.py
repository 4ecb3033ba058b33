"""From a row (path, bytes, array) to a waveform: mono, float32, at the rate that is asked for.

Whatever is wrong with a row is a `BadSoundError` that says so: files come from anywhere.
"""

import os
import stat
from collections.abc import Mapping
from io import BytesIO
from typing import NamedTuple

import numpy as np
import soundfile
import soxr

from skembed._rows import describe, row_key

# Containers that are read; libsndfile knows more, which nobody would send on purpose.
FORMATS = ("WAV", "WAVEX", "RF64", "W64", "AIFF", "AU", "CAF", "FLAC", "OGG", "MP3")
_SLOWEST, _FASTEST = 1_000, 768_000  # Hz
_MOST_CHANNELS = 64
_BLOCK = 1 << 16  # frames decoded at a time: headers lie about how many there are
_LARGEST_FILE = 1 << 30  # bytes
_LARGEST_SAMPLE = 1e10  # beyond it the squares of what networks compute leave float32's range
# What integer samples are divided by.
_FULL_SCALE = {"int8": 1 << 7, "int16": 1 << 15, "int32": 1 << 31}


class BadSoundError(Exception):
    """A row cannot be read as a sound; the message says why, in a few words."""


class Waveform(NamedTuple):
    """A sound: samples (n_samples,) float32 from -1 to 1, and whether its end was left out."""

    samples: np.ndarray
    rate: int  # Hz
    cut: bool


# -- what a row is ---------------------------------------------------------------------------------


class _Array(NamedTuple):
    values: np.ndarray  # (n_samples,) or (n_samples, n_channels)
    rate: int


# What stands for a file.
_FILES = {"bytes": (bytes, bytearray, memoryview), "path": (str, os.PathLike)}


def is_sound(row):
    """Tell whether a row is of a kind that may be a sound."""
    return isinstance(row, (*_FILES["bytes"], *_FILES["path"], np.ndarray, tuple, Mapping))


def key_of(row, sampling_rate):
    """Return the key of a sound's content: a file's bytes, whatever its path; else its samples.

    Parameters
    ----------
    row : str, path, bytes, ndarray, tuple or dict
        The row.
    sampling_rate : int or None
        Of arrays that do not say, in Hz.

    Returns
    -------
    key : bytes of length 32

    Raises
    ------
    BadSoundError
        If the row is none of these.

    Examples
    --------
    >>> silence = np.zeros(800, dtype=np.float32)
    >>> key_of(silence, 8000) == key_of({"array": silence, "sampling_rate": 8000}, None)
    True
    """
    return _key(_content(row, sampling_rate))


def _key(content):
    if isinstance(content, bytes):
        return row_key(b"sound file", content)
    values = np.ascontiguousarray(content.values)
    shape = f"{values.dtype.str} {values.shape} {content.rate}".encode()
    return row_key(b"sound samples", shape, values.tobytes())


def _content(row, sampling_rate):
    """Return a file's bytes, or the samples and their rate."""
    if isinstance(row, _FILES["bytes"]):
        return bytes(row)
    if isinstance(row, _FILES["path"]):
        return _content_of(os.fspath(row))
    if isinstance(row, Mapping):  # as in the library `datasets`
        if row.get("array") is not None:
            return _array(row["array"], row.get("sampling_rate", sampling_rate))
        for name in ("bytes", "path"):
            if isinstance(row.get(name), _FILES[name]):
                return _content(row[name], sampling_rate)
        raise BadSoundError(f"a dict of {sorted(map(str, row))}, without 'array'")
    if isinstance(row, tuple):
        if len(row) != 2:
            raise BadSoundError(f"a tuple of {len(row)}, not (array, rate)")
        return _array(*row)
    if isinstance(row, np.ndarray):
        return _array(row, sampling_rate)
    raise BadSoundError(describe(row))


def _content_of(path):
    name = os.fsdecode(path)
    if "://" in name[:16] or name.startswith("data:"):
        raise BadSoundError(f"a URL, {_shortened(name)}; download it first")
    if not name.strip():
        raise BadSoundError("an empty path")
    try:
        status = os.stat(path)
        if stat.S_ISDIR(status.st_mode):
            raise BadSoundError(f"a folder, {_shortened(name)}")
        if not stat.S_ISREG(status.st_mode):
            raise BadSoundError(f"not a regular file, {_shortened(name)}")
        if status.st_size > _LARGEST_FILE:
            raise BadSoundError(f"a file of {status.st_size:,} bytes; {_LARGEST_FILE:,} are read")
        with open(path, "rb") as file:
            return file.read()
    except FileNotFoundError as error:
        raise BadSoundError(f"no such file, {_shortened(name)}") from error
    except (OSError, ValueError) as error:  # a name with a null character is a ValueError
        reason = getattr(error, "strerror", None) or error
        raise BadSoundError(f"a file that cannot be read, {_shortened(name)}: {reason}") from error


def _shortened(name, width=60):
    return name if len(name) <= width else f"…{name[1 - width :]}"


def _array(values, rate):
    """Check an array and its rate."""
    if rate is None:
        raise BadSoundError("an array without sampling_rate")
    if isinstance(rate, bool) or not isinstance(rate, (int, float, np.integer, np.floating)):
        raise BadSoundError(f"an array with sampling_rate {rate!r}")
    if not _SLOWEST <= rate <= _FASTEST or rate != int(rate):
        raise BadSoundError(
            f"a sampling rate of {rate:g} Hz, not a whole number from {_SLOWEST:,} to {_FASTEST:,}"
        )
    try:
        values = np.asarray(values)
    except ValueError as error:  # lists of different lengths
        raise BadSoundError("samples that make no array") from error
    if values.dtype.kind != "f" and values.dtype.name not in (*_FULL_SCALE, "uint8"):
        raise BadSoundError(
            f"an array of dtype {values.dtype}, not float, int8, int16, int32 or uint8"
        )
    if values.ndim not in (1, 2):
        raise BadSoundError(f"an array of shape {values.shape}, not (n,) or (n, n_channels)")
    if values.size == 0:
        raise BadSoundError("a sound of no samples")
    if values.ndim == 2 and values.shape[1] > _MOST_CHANNELS:
        raise BadSoundError(
            f"an array of shape {values.shape}, whose second axis should be channels; transpose it"
        )
    return _Array(values, int(rate))


# -- from a row to a waveform ----------------------------------------------------------------------


def waveform_of(row, key, *, sampling_rate, target_rate, max_seconds):
    """Read a row, average its channels and resample it.

    Parameters
    ----------
    row : str, path, bytes, ndarray, tuple or dict
        The row.
    key : bytes or None
        What `key_of` said of it; a file that has another content now is refused.
    sampling_rate : int or None
        Of arrays that do not say, in Hz.
    target_rate : int
        Of the answer, in Hz.
    max_seconds : float
        What follows is left out.

    Returns
    -------
    waveform : Waveform

    Raises
    ------
    BadSoundError
        If it cannot be decoded, or its samples are no sound.
    """
    content = _content(row, sampling_rate)
    if key is not None and isinstance(content, bytes) and _key(content) != key:
        raise BadSoundError("a file that was changed while it was being embedded")
    read = _decoded if isinstance(content, bytes) else _scaled
    samples, rate, cut = read(content, max_seconds)
    if not np.isfinite(samples).all():
        raise BadSoundError("samples that are not finite numbers")
    if np.abs(samples).max() > _LARGEST_SAMPLE:
        raise BadSoundError(f"samples of up to {np.abs(samples).max():.0e}; 1 is full scale")
    if rate != target_rate:
        samples = soxr.resample(samples, rate, target_rate)
    if len(samples) == 0:
        raise BadSoundError("a sound that is shorter than one sample at the network's rate")
    return Waveform(samples, target_rate, cut)


def _scaled(array, max_seconds):
    """Return the waveform of an array."""
    n_samples = int(max_seconds * array.rate)
    values = array.values[:n_samples]
    if values.dtype.kind == "f":
        with np.errstate(over="ignore"):  # infinity is refused with the others
            samples = values.astype(np.float32)
    elif values.dtype == np.uint8:
        samples = values.astype(np.float32) / 128 - 1
    else:
        samples = values.astype(np.float32) / _FULL_SCALE[values.dtype.name]
    return Waveform(_mono(samples), array.rate, len(array.values) > n_samples)


def _mono(samples):
    if samples.ndim == 1:
        return samples
    if samples.shape[1] == 1:
        return samples[:, 0]
    with np.errstate(over="ignore", invalid="ignore"):  # refused with the others
        return samples.mean(axis=1, dtype=np.float32)


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
        return False


def _decoded(content, max_seconds):
    """Return the waveform of a file's content, decoded in blocks."""
    if not content:
        raise BadSoundError("an empty file")
    try:
        with _Straight(_Bytes(content)) as file:
            if file.format not in FORMATS:
                raise BadSoundError(
                    f"a file of format {file.format}; formats that are read: {', '.join(FORMATS)}"
                )
            rate = file.samplerate
            if not _SLOWEST <= rate <= _FASTEST:
                raise BadSoundError(f"a sampling rate of {rate:,} Hz")
            if file.channels > _MOST_CHANNELS:
                raise BadSoundError(f"a sound of {file.channels:,} channels")
            n_samples = int(max_seconds * rate)
            blocks, n_read = [], 0
            while n_read <= n_samples:
                size = max(1, min(_BLOCK // file.channels, n_samples + 1 - n_read))
                block = file.read(size, dtype="float32", always_2d=True)
                blocks.append(_mono(block))
                n_read += len(block)
                if len(block) < size:
                    break
    except soundfile.SoundFileError as error:
        raise BadSoundError(f"not a sound that can be decoded: {_reason(error)}") from error
    if n_read == 0:
        raise BadSoundError("a sound of no samples")
    samples = np.concatenate(blocks)
    return Waveform(samples[:n_samples], rate, n_read > n_samples)


def _reason(error):
    text = getattr(error, "error_string", str(error)).strip()
    if not text or text.startswith("File does not exist"):  # it does: so damaged MP3 are refused
        text = "Damaged file."
    return text.splitlines()[0].rstrip(".").removeprefix("Error : ")
