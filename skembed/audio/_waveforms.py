"""Convert a row (path, bytes, array, decoder) to a mono float32 waveform at a given rate.

Files are untrusted: every fault of a row raises an `UnreadableRowError` with the reason.
"""

from collections.abc import Mapping
from io import BytesIO
from numbers import Number
from typing import NamedTuple

import numpy as np
import soxr

from skembed.audio._decode import FASTEST, MOST_CHANNELS, SLOWEST, Waveform, decoded, mono
from skembed.base._arrays import array_of_tensor, is_tensor, numbers_of, unmasked
from skembed.base._failures import first_line
from skembed.base._files import (
    CHANGED,
    CONTENT_TYPES,
    PATH_TYPES,
    UnreadableRowError,
    content_of,
    content_of_object,
    is_file_object,
    shortened,
)
from skembed.base._rows import describe, row_key

_LARGEST_FILE = 1 << 30  # bytes
_LARGEST_SAMPLE = 1e10  # squares of the states of networks would exceed the range of float32
# Floats may exceed full scale, as in decoded MP3. Beyond this factor, they have another scale.
_MAX_EXCESS = 10.0
# dtype -> divisor of integer samples.
_FULL_SCALE = {"int8": 1 << 7, "int16": 1 << 15, "int32": 1 << 31}


# -- from a row to the content of a file, or to samples --------------------------------------------


class _Array(NamedTuple):
    values: np.ndarray  # (n_samples,) or (n_samples, n_channels)
    rate: int


# Row types treated as files; so are file objects.
_FILES = {"bytes": (*CONTENT_TYPES, BytesIO), "path": PATH_TYPES}


def key_of(row, sampling_rate, max_value=None):
    """Return the key of a sound: of the content of a file, or of the samples.

    Parameters
    ----------
    row : str, path, bytes, file object, ndarray, tensor, tuple, dict or decoder
        The row.
    sampling_rate : int or None
        Rate in Hz of arrays without a rate of their own.
    max_value : float or None
        Full scale of samples. None: by dtype.

    Returns
    -------
    key : bytes of length 32

    Raises
    ------
    UnreadableRowError
        If the row is of another type.

    Examples
    --------
    >>> silence = np.zeros(800, dtype=np.float32)
    >>> key_of(silence, 8000) == key_of({"array": silence, "sampling_rate": 8000}, None)
    True
    """
    return _key(_content(row, sampling_rate, max_value), max_value)


def _key(content, max_value):
    scale = () if max_value is None else (repr(float(max_value)).encode(),)
    if isinstance(content, bytes):
        return row_key(b"sound file", content, *scale)
    values = np.ascontiguousarray(content.values)
    shape = f"{values.dtype.str} {values.shape} {content.rate}".encode()
    return row_key(b"sound samples", shape, values.tobytes(), *scale)


def _content(row, sampling_rate, max_value):
    """Return the content of a file, or the samples and their rate."""
    if is_file_object(row):
        return content_of_object(row)
    if isinstance(row, _FILES["bytes"]):
        return bytes(row)
    if isinstance(row, _FILES["path"]):
        return content_of(row, _check_size)
    if hasattr(row, "get_all_samples"):  # a decoder of torchcodec, also of the library `datasets`
        return _array(*_all_samples(row), max_value)
    if isinstance(row, Mapping):
        return _content_of_dict(row, sampling_rate, max_value)
    if isinstance(row, tuple):
        values, rate = _pair(row)
        return _array(values, sampling_rate if rate is None else rate, max_value)
    if isinstance(row, np.ndarray) or is_tensor(row):
        return _array(row, sampling_rate, max_value)
    raise UnreadableRowError("list; make it an array" if isinstance(row, list) else describe(row))


def _content_of_dict(row, sampling_rate, max_value):
    """Return the content of a row in the format of the library `datasets`."""
    if row.get("array") is not None:
        rate = row.get("sampling_rate")
        return _array(row["array"], sampling_rate if rate is None else rate, max_value)
    for name in ("bytes", "path"):
        if isinstance(row.get(name), _FILES[name]):
            return _content(row[name], sampling_rate, max_value)
    raise UnreadableRowError(
        f"a dict with the keys {sorted(map(str, row))}, without an 'array', 'bytes' or 'path'"
    )


def _check_size(start, size):
    if size > _LARGEST_FILE:
        raise UnreadableRowError(f"a file of {size:,} bytes, more than {_LARGEST_FILE:,}")


def _pair(row):
    """Check that a tuple is (array, rate)."""
    if len(row) != 2:
        raise UnreadableRowError(f"a tuple of {len(row)}, not (array, rate)")
    first, second = row
    if isinstance(first, Number) and not isinstance(second, (Number, str)):
        raise UnreadableRowError(
            "a tuple (rate, array), as returned by scipy.io.wavfile.read; swap it: (array, rate)"
        )
    return row


def _all_samples(decoder):
    """Return the samples of a decoder, (n_samples, n_channels), and their rate."""
    try:
        samples = decoder.get_all_samples()
    except Exception as error:  # decoders raise RuntimeError, ValueError, OSError, ...
        reason = shortened(first_line(error))
        raise UnreadableRowError(f"a {type(decoder).__name__} that fails: {reason}") from error
    values = samples.data
    values = array_of_tensor(values) if is_tensor(values) else np.asarray(values)
    return values.T if values.ndim == 2 else values, samples.sample_rate


def _samples_of(values):
    """Return samples as an array (n_samples,) or (n_samples, n_channels)."""
    if is_tensor(values):
        values = array_of_tensor(values)
        # torchaudio.load and torchcodec return (n_channels, n_samples).
        first, last = values.shape[0] if values.ndim else 0, values.shape[-1:]
        if values.ndim == 2 and first <= MOST_CHANNELS < last[0]:
            return values.T
        return values
    try:
        return numbers_of(unmasked(np.asanyarray(values)))
    except ValueError as error:  # lists of different lengths
        raise UnreadableRowError("samples that do not form an array") from error


def _array(values, rate, max_value):
    """Check the samples and the rate of an array."""
    values = _samples_of(values)
    _check_rate(rate)
    named = values.dtype.name in (*_FULL_SCALE, "uint8")
    if values.dtype.kind != "f" and not named and (values.dtype.kind != "i" or max_value is None):
        remedy = "; max_value sets full scale" if values.dtype.kind == "i" else ""
        raise UnreadableRowError(
            f"an array of dtype {values.dtype}, not float, int8, int16, int32 or uint8{remedy}"
        )
    if values.ndim not in (1, 2):
        raise UnreadableRowError(f"an array of shape {values.shape}, not (n,) or (n, n_channels)")
    if values.size == 0:
        raise UnreadableRowError("a sound of no samples")
    if values.ndim == 2 and values.shape[1] > MOST_CHANNELS:
        raise UnreadableRowError(
            f"an array of shape {values.shape}, whose second axis should be channels; transpose it"
        )
    return _Array(values, int(rate))


def _check_rate(rate):
    if rate is None:
        raise UnreadableRowError(
            "an array without sampling_rate; set the parameter, or pass a pair (array, rate)"
        )
    if isinstance(rate, bool) or not isinstance(rate, (int, float, np.integer, np.floating)):
        value = shortened(repr(rate)) if isinstance(rate, (str, bool)) else describe(rate)
        raise UnreadableRowError(f"an array with sampling_rate {value}")
    if not SLOWEST <= rate <= FASTEST or rate != int(rate):
        raise UnreadableRowError(
            f"a sampling rate of {rate:g} Hz, not a whole number from {SLOWEST:,} to {FASTEST:,}"
        )


# -- from samples to a waveform --------------------------------------------------------------------


def waveform_of(row, key, *, sampling_rate, target_rate, max_seconds, max_value=None):
    """Read a row, average its channels and resample it.

    Parameters
    ----------
    row : str, path, bytes, file object, ndarray, tensor, tuple, dict or decoder
        The row.
    key : bytes or None
        The row's key by `key_of`. A file whose content has changed raises an error.
    sampling_rate : int or None
        Rate in Hz of arrays without a rate of their own.
    target_rate : int
        Rate of the waveform, in Hz.
    max_seconds : float
        Audio beyond this limit is ignored.
    max_value : float or None
        Full scale of samples. None: by dtype.

    Returns
    -------
    waveform : Waveform

    Raises
    ------
    UnreadableRowError
        If the row cannot be decoded, or its samples are out of range.
    """
    content = _content(row, sampling_rate, max_value)
    if key is not None and isinstance(content, bytes) and _key(content, max_value) != key:
        raise UnreadableRowError(CHANGED)
    samples, rate, cut = _checked_samples(content, max_seconds, max_value)
    if rate != target_rate:
        # Before windows are cut: the filter needs the neighboring samples at the edges of a window.
        samples = soxr.resample(samples, rate, target_rate)
    if len(samples) == 0:
        raise UnreadableRowError("a sound that is shorter than one sample at the network's rate")
    return Waveform(samples, target_rate, cut)


def _checked_samples(content, max_seconds, max_value):
    """Return the waveform of a file or an array, at its own rate, with finite samples in range."""
    if isinstance(content, bytes):
        waveform, is_float = decoded(content, max_seconds)
        if is_float and max_value is not None:
            waveform = waveform._replace(samples=waveform.samples / np.float32(max_value))
        description = "a file of floats"
    else:
        waveform = _scaled(content, max_seconds, max_value)
        is_float = content.values.dtype.kind == "f" or max_value is not None
        description = f"a {content.values.dtype} array"
    if not np.isfinite(waveform.samples).all():
        raise UnreadableRowError("samples that are not finite numbers")
    if is_float:
        _check_scale(waveform.samples, max_value, description)
    else:
        peak = np.abs(waveform.samples).max()
        if peak > _LARGEST_SAMPLE:  # in damaged files
            raise UnreadableRowError(f"samples of up to {peak:.0e}; 1 is full scale")
    return waveform


def _scaled(array, max_seconds, max_value):
    """Return the waveform of an array, scaled to the range from -1 to 1."""
    n_samples = int(max_seconds * array.rate)
    values = array.values[:n_samples]
    kind = values.dtype.kind
    with np.errstate(over="ignore"):  # infinity is refused later
        if kind == "u":
            samples = values.astype(np.float32) / 128 - 1
        elif max_value is not None:
            samples = (values.astype(np.float64) / max_value).astype(np.float32)
        elif kind == "f":
            samples = values.astype(np.float32)
        else:
            samples = values.astype(np.float32) / _FULL_SCALE[values.dtype.name]
    return Waveform(mono(samples), array.rate, len(array.values) > n_samples)


def _check_scale(samples, max_value, description):
    """Raise an UnreadableRowError for floats far beyond full scale, or with integer values.

    Such samples are integers that were converted to floats without scaling.
    """
    peak = float(np.abs(samples).max())
    twice = 2 * samples  # the mean of two channels of integers may end in one half
    integers = max_value is None and peak > 1 and bool((twice == np.rint(twice)).all())
    if peak <= _MAX_EXCESS and not integers:
        return
    scale = 1.0 if max_value is None else max_value
    raise UnreadableRowError(
        f"{description} with values up to {peak * scale:.6g}, not on the scale from {-scale:g} to "
        f"{scale:g}; max_value sets full scale (32768 for 16-bit integers)"
    )
