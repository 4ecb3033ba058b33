"""Damaged sounds: byte flips and truncations of every format, read as rows.

Each file is read as AudioEmbedder reads a row: its key, then its waveform at 32 kHz. Whatever is
wrong must come out as a bad row's reason; no other error, nothing on the standard error stream, no
file over two seconds, less than 1 GB of memory. A file that still decodes is no error: damage often
leaves a sound. After a minute over one file the script ends with a traceback.

    python benchmarks/fuzz_audio.py [--files 20000] [--seed 0]
"""

import contextlib
import faulthandler
import json
import resource
import time
from collections import Counter
from io import BytesIO, StringIO

import numpy as np
import soundfile
from _common import damaged, machine, parser, print_table, verdict

from skembed.audio._waveforms import key_of, waveform_of
from skembed.base._files import UnreadableRowError

LIMITS = {"sampling_rate": None, "target_rate": 32_000, "max_seconds": 600}
# Container, encoding, rate, channels.
KINDS = [
    ("WAV", "PCM_16", 44_100, 2),
    ("WAV", "PCM_U8", 8_000, 1),
    ("WAV", "PCM_24", 96_000, 2),
    ("WAV", "FLOAT", 48_000, 1),
    ("WAV", "ULAW", 8_000, 1),
    ("WAV", "IMA_ADPCM", 22_050, 2),
    ("WAV", "MS_ADPCM", 22_050, 1),
    ("WAVEX", "PCM_16", 48_000, 6),
    ("FLAC", "PCM_16", 44_100, 2),
    ("FLAC", "PCM_24", 96_000, 1),
    ("OGG", "VORBIS", 44_100, 2),
    ("OGG", "VORBIS", 16_000, 1),
    ("OGG", "OPUS", 48_000, 1),
    ("MP3", "MPEG_LAYER_III", 44_100, 2),
    ("MP3", "MPEG_LAYER_III", 16_000, 1),
    ("AIFF", "PCM_16", 44_100, 1),
    ("AU", "PCM_16", 16_000, 1),
    ("CAF", "ALAC_16", 44_100, 2),
    ("RF64", "PCM_16", 44_100, 1),
    ("W64", "PCM_16", 44_100, 1),
]


def seeds():
    """Return undamaged files: name -> bytes. Half a second of a tone in noise each."""
    random = np.random.default_rng(0)
    files = {}
    for container, encoding, rate, n_channels in KINDS:
        times = np.arange(rate // 2)[:, None] / rate
        sound = 0.3 * np.sin(2 * np.pi * 440 * times) + np.zeros(n_channels)
        sound += 0.02 * random.standard_normal(sound.shape)
        file = BytesIO()
        soundfile.write(file, sound, rate, subtype=encoding, format=container)
        files[f"{container} {encoding}, {rate} Hz, {n_channels} ch"] = file.getvalue()
    return files


def read(content):
    """Read a file as a row is read; return the reason why it is bad, or None."""
    try:
        waveform = waveform_of(content, key_of(content, None), **LIMITS)
    except UnreadableRowError as error:
        return str(error)
    assert waveform.samples.ndim == 1
    assert len(waveform.samples)
    assert np.isfinite(waveform.samples).all()
    return None


def main():
    arguments = parser(__doc__, data=False)
    arguments.add_argument("--files", type=int, default=20_000)
    arguments.add_argument("--seed", type=int, default=0)
    arguments = arguments.parse_args()
    print(machine("skembed", "soundfile", "soxr", "numpy"), f"libsndfile {_libsndfile()}")
    random = np.random.default_rng(arguments.seed)
    files = seeds()
    assert all(read(content) is None for content in files.values())
    counts, kinds, others, slowest = Counter(), Counter(), Counter(), (0.0, "")
    for i in range(arguments.files):
        name = list(files)[i % len(files)]
        content = damaged(files[name], random)
        faulthandler.dump_traceback_later(60, exit=True)
        start = time.perf_counter()
        try:
            with contextlib.redirect_stderr(StringIO()) as printed:
                reason = read(content)
        except Exception as error:
            others[f"{name}: {error!r}"] += 1
            continue
        slowest = max(slowest, (time.perf_counter() - start, name))
        if printed.getvalue():
            others[f"{name}: printed {printed.getvalue()[-200:]!r}"] += 1
        counts[name, "read" if reason is None else "bad"] += 1
        kinds["read" if reason is None else reason.partition(",")[0]] += 1
    faulthandler.cancel_dump_traceback_later()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6
    print_table(
        ["format", "still a sound", "bad row"],
        [[name, counts[name, "read"], counts[name, "bad"]] for name in files],
    )
    print(json.dumps(dict(kinds.most_common(16)), indent=1))
    for name, count in others.most_common(20):
        print(f"{count} times {name}")
    n_others = sum(others.values())
    print(f"files: {arguments.files}")
    print(f"other errors: {n_others}, goal 0: {verdict(n_others == 0)}")
    print(f"slowest file: {slowest[0]:.2f} s ({slowest[1]}), goal <= 2: {verdict(slowest[0] <= 2)}")
    print(f"peak of memory: {peak:.0f} MB, goal < 1,000: {verdict(peak < 1000)}")


def _libsndfile():
    return soundfile.__libsndfile_version__


if __name__ == "__main__":
    main()
