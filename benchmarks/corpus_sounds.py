"""Sound files of other projects, read by skembed and by soundfile: who refuses what, and why.

Each file of the folders whose name ends like a sound's is read three ways: by skembed from its path
and from its bytes, and by ``soundfile.read(path)``. A file is accepted if skembed makes a waveform
of it (and so a vector), else it is a bad row. Every disagreement with soundfile is put into a
category; those without one are printed as "unexplained". Samples are compared bit by bit, at the
file's own rate. A file that announces 200 million samples is not given to soundfile, which would
ask for memory for all of them. Nothing may be raised but the reason of a bad row. Lines that the
decoders write to the standard error stream are counted.

    python benchmarks/corpus_sounds.py FOLDER [FOLDER ...]
"""

import argparse
import contextlib
import os
import re
import tempfile
import time
import warnings
from collections import Counter
from pathlib import Path

import numpy as np
import soundfile
from _common import machine, print_table, verdict

from skembed.audio._decode import mono
from skembed.audio._waveforms import key_of, waveform_of
from skembed.base._files import UnreadableRowError

# Names of files that hold a sound, read or not.
_ENDINGS = frozenset(
    "aac aif aifc aiff alac amr ape asf au caf dff dsf flac m4a m4b mka mp1 mp2 mp3 mp4 mpc oga "
    "ogg opus rf64 snd spx tak tta w64 wav wave webm wma wv".split()
)
_MOST_SAMPLES = 200_000_000
_LIMITS = {"sampling_rate": None, "max_seconds": 36_000}


@contextlib.contextmanager
def counted_lines(counts, name):
    """Count the lines that C code writes to the standard error stream in a block."""
    with tempfile.TemporaryFile() as file:
        before = os.dup(2)
        os.dup2(file.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(before, 2)
            os.close(before)
            file.seek(0)
            counts[name] += len(file.readlines())


def by_soundfile(path):
    """Return (samples, rate), the refusal, or None for a file that promises too much."""
    try:
        info = soundfile.info(str(path))
        if info.frames * info.channels > _MOST_SAMPLES:
            return None
        samples, rate = soundfile.read(str(path), dtype="float32", always_2d=True)
    except (soundfile.SoundFileError, ValueError) as error:
        return str(error).partition("': ")[2] or str(error)
    return mono(samples), rate


def by_skembed(row, rate):
    """Return the samples at a rate, or why the row is bad."""
    try:
        return waveform_of(row, key_of(row, None), target_rate=rate, **_LIMITS).samples
    except UnreadableRowError as error:
        return str(error)


def kind_of(reason):
    """Return a reason without what is special to a file."""
    reason = re.split(r"; |, /|: /", reason)[0]
    return re.sub(r"[\d,.]*\d", "N", reason)


# What soundfile does -> categories of files that skembed refuses all the same.
_NO_SAMPLES = "no samples: soundfile returns an empty array, skembed refuses"
_UNKNOWN_LENGTH = "no length announced: soundfile asks for memory for 2**63 samples"
_SEEK = "soundfile cannot seek in it or finds no frames; skembed reads its frames"


def disagreement(theirs, ours):
    """Return the category of a disagreement; None: they agree."""
    refused = isinstance(ours, str)
    if theirs is None:
        return None if refused else f"accepted by skembed only; {_UNKNOWN_LENGTH}"
    if isinstance(theirs, str):
        return None if refused else f"accepted by skembed only; {_SEEK}"
    if refused:
        known = len(theirs[0]) == 0
        return f"accepted by soundfile only; {_NO_SAMPLES if known else 'unexplained: ' + ours}"
    if len(theirs[0]) != len(ours):
        return "unexplained: another number of samples"
    return None if np.array_equal(theirs[0], ours) else "unexplained: other samples"


def measure(folder):
    """Return the counts of a folder: outcomes, reasons of bad rows, disagreements."""
    outcomes, reasons, disagreements = Counter(), Counter(), {}
    paths = (p for p in sorted(folder.rglob("*")) if p.suffix.lower()[1:] in _ENDINGS)
    for path in filter(Path.is_file, paths):
        with counted_lines(outcomes, "lines, soundfile"):
            theirs = by_soundfile(path)
        rate = theirs[1] if isinstance(theirs, tuple) else 16_000
        with counted_lines(outcomes, "lines, skembed"):
            from_path = by_skembed(str(path), rate)
        with counted_lines(outcomes, "lines, skembed from bytes"):
            from_bytes = by_skembed(path.read_bytes(), rate)
        bad = isinstance(from_path, str)
        outcomes["bad rows" if bad else "vectors"] += 1
        if bad:
            reasons[kind_of(from_path)] += 1
        same = from_path == from_bytes if bad else np.array_equal(from_path, from_bytes)
        outcomes["path and bytes differ"] += not same
        what = disagreement(theirs, from_path)
        if what is not None:
            disagreements.setdefault(what, []).append(path.name)
            outcomes["disagreements"] += 1
        elif not bad:
            outcomes["equal to the bit"] += 1
    return outcomes, reasons, disagreements


def main():
    arguments = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    arguments.add_argument("folders", nargs="+", type=Path)
    arguments = arguments.parse_args()
    warnings.simplefilter("error")  # no warning may make a good file bad
    print(machine("soundfile", "numpy"), f"libsndfile {soundfile.__libsndfile_version__}")
    start, rows, reasons, disagreements = time.perf_counter(), [], Counter(), {}
    heads = ["vectors", "equal to the bit", "bad rows", "disagreements", "path and bytes differ"]
    heads += ["lines, soundfile", "lines, skembed"]
    for folder in arguments.folders:
        outcomes, why, found = measure(folder)
        rows.append([folder.name, *(outcomes[head] for head in heads)])
        reasons.update(why)
        for what, names in found.items():
            disagreements.setdefault(what, []).extend(names)
    rows.append(["all", *(sum(row[i] for row in rows) for i in range(1, len(heads) + 1))])
    print_table(["corpus", *heads], rows)
    print()
    print_table(["reason of bad rows", "files"], reasons.most_common())
    print()
    table = [[what, len(names), ", ".join(names)] for what, names in disagreements.items()]
    print_table(["disagreement with soundfile", "files", "names"], table)
    n_unexplained = sum(len(v) for k, v in disagreements.items() if "unexplained" in k)
    print(f"unexplained: {n_unexplained}, goal 0: {verdict(n_unexplained == 0)}")
    print(f"{time.perf_counter() - start:.0f} s")


if __name__ == "__main__":
    main()
