"""From a row (path, bytes, array) to a waveform: mono, float32, at the rate that is asked for.

Whatever is wrong with a row is an `UnreadableRowError` that says so: files come from anywhere.
"""

import os
from collections.abc import Mapping
from io import BytesIO
from typing import NamedTuple

import numpy as np
import soundfile
import soxr

from skembed._files import UnreadableRowError, content_of
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
    UnreadableRowError
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
        return content_of(row, _check_size)
    if isinstance(row, Mapping):  # as in the library `datasets`
        if row.get("array") is not None:
            return _array(row["array"], row.get("sampling_rate", sampling_rate))
        for name in ("bytes", "path"):
            if isinstance(row.get(name), _FILES[name]):
                return _content(row[name], sampling_rate)
        raise UnreadableRowError(f"a dict of {sorted(map(str, row))}, without 'array'")
    if isinstance(row, tuple):
        if len(row) != 2:
            raise UnreadableRowError(f"a tuple of {len(row)}, not (array, rate)")
        return _array(*row)
    if isinstance(row, np.ndarray):
        return _array(row, sampling_rate)
    raise UnreadableRowError(describe(row))


def _check_size(start, size):
    if size > _LARGEST_FILE:
        raise UnreadableRowError(f"a file of {size:,} bytes; {_LARGEST_FILE:,} are read")


def _array(values, rate):
    """Check an array and its rate."""
    if rate is None:
        raise UnreadableRowError("an array without sampling_rate")
    if isinstance(rate, bool) or not isinstance(rate, (int, float, np.integer, np.floating)):
        raise UnreadableRowError(f"an array with sampling_rate {rate!r}")
    if not _SLOWEST <= rate <= _FASTEST or rate != int(rate):
        raise UnreadableRowError(
            f"a sampling rate of {rate:g} Hz, not a whole number from {_SLOWEST:,} to {_FASTEST:,}"
        )
    try:
        values = np.asarray(values)
    except ValueError as error:  # lists of different lengths
        raise UnreadableRowError("samples that make no array") from error
    if values.dtype.kind != "f" and values.dtype.name not in (*_FULL_SCALE, "uint8"):
        raise UnreadableRowError(
            f"an array of dtype {values.dtype}, not float, int8, int16, int32 or uint8"
        )
    if values.ndim not in (1, 2):
        raise UnreadableRowError(f"an array of shape {values.shape}, not (n,) or (n, n_channels)")
    if values.size == 0:
        raise UnreadableRowError("a sound of no samples")
    if values.ndim == 2 and values.shape[1] > _MOST_CHANNELS:
        raise UnreadableRowError(
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
    UnreadableRowError
        If it cannot be decoded, or its samples are no sound.
    """
    content = _content(row, sampling_rate)
    if key is not None and isinstance(content, bytes) and _key(content) != key:
        raise UnreadableRowError("a file that was changed while it was being embedded")
    read = _decoded if isinstance(content, bytes) else _scaled
    samples, rate, cut = read(content, max_seconds)
    if not np.isfinite(samples).all():
        raise UnreadableRowError("samples that are not finite numbers")
    if np.abs(samples).max() > _LARGEST_SAMPLE:
        raise UnreadableRowError(f"samples of up to {np.abs(samples).max():.0e}; 1 is full scale")
    if rate != target_rate:
        samples = soxr.resample(samples, rate, target_rate)
    if len(samples) == 0:
        raise UnreadableRowError("a sound that is shorter than one sample at the network's rate")
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
        raise UnreadableRowError("an empty file")
    try:
        with _Straight(_Bytes(content)) as file:
            if file.format not in FORMATS:
                raise UnreadableRowError(
                    f"a file of format {file.format}; formats that are read: {', '.join(FORMATS)}"
                )
            rate = file.samplerate
            if not _SLOWEST <= rate <= _FASTEST:
                raise UnreadableRowError(f"a sampling rate of {rate:,} Hz")
            if file.channels > _MOST_CHANNELS:
                raise UnreadableRowError(f"a sound of {file.channels:,} channels")
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
        raise UnreadableRowError(f"not a sound that can be decoded: {_reason(error)}") from error
    if n_read == 0:
        raise UnreadableRowError("a sound of no samples")
    samples = np.concatenate(blocks)
    return Waveform(samples[:n_samples], rate, n_read > n_samples)


def _reason(error):
    text = getattr(error, "error_string", str(error)).strip()
    if not text or text.startswith("File does not exist"):  # it does: so damaged MP3 are refused
        text = "Damaged file."
    return text.splitlines()[0].rstrip(".").removeprefix("Error : ")
