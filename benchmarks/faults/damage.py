"""A cache file that is cut off or has a flipped byte serves no wrong vector and raises nothing.

The file of a small cache, closed, is cut off at every multiple of 512 bytes, and has one byte
changed at random: anywhere, and, as many times again, outside the rows' values, where the
database keeps its own matters. Each time, a process that has just been started takes all rows
through it: whatever the file still serves has to be right, what it has lost is computed, and
nothing is raised. A second process then takes all rows through what the first has left, and runs
verify() and info().

By the first process a file may be found whole ("nothing lost"), have lost rows, be deleted and made
anew with a warning ("replaced"), or be left alone with a warning ("given up").

    python benchmarks/faults/damage.py [--flips 1000] [--step 512] [--seed 0]
"""

import faulthandler
import os
import random
import sqlite3
import tempfile
import traceback
import warnings
from collections import Counter
from pathlib import Path

import numpy as np
from _worker import (
    FINGERPRINT,
    WrongVector,
    embed,
    fresh,
    key_of,
    machine,
    parser,
    report,
    value_of,
)

from skembed import EmbeddingCache

N_ROWS, N_CLAIMED, BATCH, STEP = 800, 60, 128, 512


def one_process(cache, *, check=False):
    """Take all rows through the cache; return how many were computed, and the warnings."""
    computed = []

    def compute(keys):
        computed.extend(keys)
        return [value_of(key) for key in keys]

    with fresh(), warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        embed(cache, range(N_ROWS), BATCH, compute)
        if check:
            cache.verify()
            cache.info()
    return len(computed), " ".join(str(warning.message) for warning in caught), len(caught)


def small_file(folder):
    """Return a cache's file: rows, and claims of a process that died."""
    with fresh():
        embed(EmbeddingCache(folder), range(N_ROWS - N_CLAIMED), BATCH)
        claimed = [key_of(number) for number in range(N_ROWS - N_CLAIMED, N_ROWS)]
        assert all(EmbeddingCache(folder).claim(FINGERPRINT, claimed))
    (path,) = Path(folder).glob("vectors/*.sqlite")
    return path.read_bytes()


def beside_values(whole):
    """Return the positions of the bytes that are not part of a row's value."""
    free = np.ones(len(whole), dtype=bool)
    for number in range(N_ROWS - N_CLAIMED):
        value = value_of(key_of(number))
        start = whole.find(value)
        free[start : start + len(value)] = False
    return np.flatnonzero(free).tolist()


def check(content, folder, counts, kind):
    """Let two processes use a damaged file, and count what comes of it."""
    path = Path(folder) / "vectors" / f"{FINGERPRINT}.sqlite"
    for left in path.parent.iterdir():
        left.unlink()
    path.write_bytes(content)
    cache = EmbeddingCache(folder)
    faulthandler.dump_traceback_later(60, exit=True)  # a hang
    counts[f"{kind}: files"] += 1
    try:
        n_computed, said, n_warnings = one_process(cache)
        _, said_again, _ = one_process(cache, check=True)
    except WrongVector:
        counts["wrong vectors served"] += 1
        return
    except Exception:
        counts["exceptions"] += 1
        traceback.print_exc()
        return
    finally:
        faulthandler.cancel_dump_traceback_later()
    replaced, given_up = "was deleted" in said, "computed without it" in said
    if replaced:
        outcome = "replaced"
    elif given_up:
        outcome = "given up"
    else:
        outcome = "rows lost" if n_computed > N_CLAIMED else "nothing lost"
    counts[f"{kind}: {outcome}"] += 1
    counts["files with two warnings or more"] += n_warnings > 1
    counts["files given up by the second process too"] += "computed without it" in said_again
    if given_up:
        print(f"given up: {said}")


def main():
    arguments = parser(__doc__, data=False)
    arguments.add_argument("--flips", type=int, default=1000)
    arguments.add_argument("--step", type=int, default=STEP, help="of the cuts, bytes")
    arguments.add_argument("--seed", type=int, default=0)
    arguments = arguments.parse_args()
    dice = random.Random(arguments.seed)
    counts = Counter()
    memory = "/dev/shm" if os.path.isdir("/dev/shm") else None  # thousands of files are written
    with tempfile.TemporaryDirectory(dir=memory) as folder:
        whole = small_file(folder)
        places = {"flipped": range(len(whole)), "flipped beside values": beside_values(whole)}
        print(machine("skembed"), f"SQLite {sqlite3.sqlite_version}", sep=", ")
        print(f"a file of {N_ROWS} rows and {len(whole):,} bytes\n")
        for size in range(0, len(whole), arguments.step):
            check(whole[:size], folder, counts, "cut off")
        for kind, positions in places.items():
            for _ in range(arguments.flips):
                content = bytearray(whole)
                content[dice.choice(positions)] ^= dice.randrange(1, 256)
                check(bytes(content), folder, counts, kind)
    never = ("wrong vectors served", "exceptions", "files with two warnings or more")
    goals = {name: (counts.pop(name, 0), 0) for name in never}
    report(goals, dict(sorted(counts.items())))


if __name__ == "__main__":
    main()
