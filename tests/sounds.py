"""Sounds made on the spot, and their files."""

from io import BytesIO

import numpy as np
import soundfile


def tone(seconds, rate, *, pitch=440.0, seed=0, n_channels=None):
    """Return a tone in a little noise: (n_samples,), or (n_samples, n_channels), float32."""
    random = np.random.default_rng(seed)
    times = np.arange(round(seconds * rate)) / rate
    sound = 0.4 * np.sin(2 * np.pi * pitch * times)
    if n_channels is not None:
        sound = sound[:, None] * np.linspace(1, 0.2, n_channels)
    return (sound + 0.05 * random.standard_normal(sound.shape)).astype(np.float32)


def encode(sound, rate, container="WAV", encoding=None):
    """Return the bytes of a sound's file."""
    file = BytesIO()
    soundfile.write(file, sound, rate, format=container, subtype=encoding)
    return file.getvalue()
