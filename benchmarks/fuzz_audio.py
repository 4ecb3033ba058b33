"""Damaged files of sounds: only documented errors, no hang, bounded memory.

    python benchmarks/fuzz_audio.py [--files 20000] [--seed 0]

WAV, FLAC, Ogg and MP3 files of half a second are damaged at random (bytes flipped, the end cut off,
a part repeated, zeros written over it) and read as `AudioEmbedder` reads them. A reason in the
words of `BadSoundError` or a waveform of finite numbers is right; all else is a failure.
"""

import argparse
import io
import resource
import sys
import time
from collections import Counter

import numpy as np
import soundfile
from _common import machine, print_table, verdict

from skembed.audio._waveforms import BadSoundError, key_of, waveform_of

KINDS = {
    "WAV": [("WAV", "PCM_16"), ("WAV", "FLOAT"), ("WAV", "PCM_U8"), ("WAVEX", "PCM_24")],
    "FLAC": [("FLAC", "PCM_16"), ("FLAC", "PCM_24")],
    "Ogg": [("OGG", "VORBIS"), ("OGG", "OPUS")],
    "MP3": [("MP3", "MPEG_LAYER_III")],
}
MAX_SECONDS = 600
TARGET_RATE = 16000


def originals():
    """Return files of each kind: of one and two channels, at several rates."""
    random = np.random.default_rng(0)
    files = {}
    for kind, forms in KINDS.items():
        files[kind] = []
        for form, subtype in forms:
            for rate in (16000, 48000):
                for n_channels in (1, 2):
                    samples = random.uniform(-0.5, 0.5, (rate // 2, n_channels))
                    file = io.BytesIO()
                    soundfile.write(file, samples, rate, format=form, subtype=subtype)
                    files[kind].append(file.getvalue())
    return files


def damaged(content, random):
    """Return a file's bytes with random damage."""
    content = bytearray(content)
    # Half of the damage falls on the header, which most depends on.
    end = len(content) if random.random() < 0.5 else min(len(content), 200)
    kind = random.integers(4)
    if kind == 0:
        for _ in range(random.integers(1, 20)):
            content[random.integers(end)] ^= 1 << random.integers(8)
    elif kind == 1:
        del content[random.integers(end) :]
    elif kind == 2:
        start = random.integers(end)
        part = content[start : start + random.integers(1, 2000)]
        at = random.integers(end)
        content[at:at] = part
    else:
        start = random.integers(end)
        stop = min(len(content), start + int(random.integers(1, 500)))
        content[start:stop] = bytes(stop - start)
    return bytes(content)


def outcome(content):
    """Read a file as the estimator does; return what became of it."""
    try:
        key = key_of(content, None)
        waveform = waveform_of(
            content,
            key,
            sampling_rate=None,
            target_rate=TARGET_RATE,
            max_seconds=MAX_SECONDS,
        )
    except BadSoundError:
        return "a reason"
    samples = waveform.samples
    right = samples.dtype == np.float32 and samples.ndim == 1 and np.isfinite(samples).all()
    right = right and 0 < len(samples) <= MAX_SECONDS * TARGET_RATE + 1
    return "a waveform" if right else "a WRONG waveform"


def main():
    arguments = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    arguments.add_argument("--files", type=int, default=20_000)
    arguments.add_argument("--seed", type=int, default=0)
    arguments = arguments.parse_args()
    print(machine("skembed", "soundfile", "soxr", "numpy"))
    random = np.random.default_rng(arguments.seed)
    files = originals()
    outcomes, slowest = Counter(), 0.0
    names = list(files)
    for i in range(arguments.files):
        kind = names[i % len(names)]
        content = damaged(files[kind][random.integers(len(files[kind]))], random)
        start = time.perf_counter()
        try:
            found = outcome(content)
        except Exception as error:
            found = f"{type(error).__name__}: {error}"
        slowest = max(slowest, time.perf_counter() - start)
        outcomes[kind, found] += 1
    print_table(
        ["files", "what became of them", "count"],
        [[kind, found, n] for (kind, found), n in sorted(outcomes.items())],
    )
    wrong = [found for _, found in outcomes if found not in ("a reason", "a waveform")]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"\n{arguments.files:,} files: only documented errors: {verdict(not wrong)}")
    print(f"the slowest file took {slowest:.2f} s; goal 2: {verdict(slowest <= 2)}")
    print(f"peak memory {peak:.0f} MB; goal 1,000: {verdict(peak <= 1000)}")
    sys.exit(bool(wrong) or slowest > 2 or peak > 1000)


if __name__ == "__main__":
    main()
