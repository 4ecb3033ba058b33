"""SIGKILL at random moments of writers: no file is corrupt, no vector wrong, little is lost.

Two processes take the same rows through one folder; at random moments one of them is killed and
at once replaced. A batch's writing takes longer than its computing here, so that many a kill hits
the middle of a transaction. After every 25 kills the folder is completed, checked and left: all
rows read back and compared, SQLite's own check of the whole file, every checksum. Rows are counted
when they are computed; what was computed beyond the rows kept was lost to a kill.

    python benchmarks/faults/kill.py [--kills 500] [--seed 0]
"""

import multiprocessing
import os
import random
import signal
import sqlite3
import tempfile
import time
import traceback
import warnings
from collections import Counter
from itertools import count
from pathlib import Path

from _worker import FINGERPRINT, WrongVector, embed, machine, parser, report, value_of

from skembed import EmbeddingCache

BATCH = 128
WINDOW = 4 * BATCH  # rows that a worker takes on at a time
KILLS_A_FOLDER = 25
WRONG, FAILED = 3, 4  # exit codes

fork = multiprocessing.get_context("fork")


class Shared:
    """What is seen across processes, without a lock that a killed process could keep."""

    def __init__(self):
        self.n_windows = fork.RawArray("q", 3)  # done, a slot each
        self.n_computed = fork.RawArray("q", 3)


def work(folder, slot, shared, first, last=None):
    """Take windows of rows through the cache, from window `first` to `last` or without end."""
    warnings.simplefilter("error")  # a cache that had to be replaced or given up

    def compute(keys):
        shared.n_computed[slot] += len(keys)
        time.sleep(0.002)
        return [value_of(key) for key in keys]

    code = 0
    try:
        for window in count(first) if last is None else range(first, last):
            numbers = range(window * WINDOW, (window + 1) * WINDOW)
            embed(EmbeddingCache(folder), numbers, BATCH, compute)
            shared.n_windows[slot] = max(shared.n_windows[slot], window + 1)
    except WrongVector:
        code = WRONG
    except BaseException:
        traceback.print_exc()
        code = FAILED
    os._exit(code)


def start(*arguments):
    process = fork.Process(target=work, args=arguments)
    process.start()
    return process


def ended(process, counts):
    """Count how a process ended; False if it was not by a kill."""
    process.join()
    counts["wrong vectors"] += process.exitcode == WRONG
    counts["exceptions and warnings"] += process.exitcode not in (0, WRONG, -signal.SIGKILL)
    return process.exitcode == -signal.SIGKILL


def one_folder(folder, n_kills, dice, counts):
    shared = Shared()
    processes = [start(folder, slot, shared, 0) for slot in (0, 1)]
    killed = 0
    while killed < n_kills and not counts["exceptions and warnings"] + counts["wrong vectors"]:
        time.sleep(dice.uniform(0, 0.15))
        slot = dice.randrange(2)
        os.kill(processes[slot].pid, signal.SIGKILL)
        killed += ended(processes[slot], counts)
        # Begin a little before where the work is, and so read what the dead one wrote.
        first = max(0, max(shared.n_windows) - dice.randrange(3))
        processes[slot] = start(folder, slot, shared, first)
    for process in processes:
        process.kill()
        killed += ended(process, counts)

    n_windows = max(shared.n_windows) + 1
    last = start(folder, 2, shared, 0, n_windows)
    last.join(120)
    if last.is_alive():
        counts["hangs"] += 1
        last.kill()
    ended(last, counts)
    counts["kills"] += killed

    cache = EmbeddingCache(folder)
    (path,) = Path(folder).glob("vectors/*.sqlite")
    with sqlite3.connect(path) as connection:
        intact = connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    connection.close()
    verified = cache.verify()
    (line,) = cache.info()
    assert line["fingerprint"] == FINGERPRINT
    counts["corrupt files"] += not intact
    counts["damaged rows"] += verified["damaged"]
    counts["rows kept"] += line["rows"]
    counts["rows computed"] += sum(shared.n_computed)
    counts["rows written twice"] += line["misses"] - line["rows"]
    counts["folders"] += 1


def main():
    arguments = parser(__doc__, data=False)
    arguments.add_argument("--kills", type=int, default=500)
    arguments.add_argument("--seed", type=int, default=0)
    arguments = arguments.parse_args()
    print(machine("skembed"), f"SQLite {sqlite3.sqlite_version}", sep=", ", end="\n\n")
    dice = random.Random(arguments.seed)
    counts = Counter()
    while counts["kills"] < arguments.kills:
        with tempfile.TemporaryDirectory() as folder:
            one_folder(folder, KILLS_A_FOLDER - 2, dice, counts)
        if counts["hangs"] + counts["exceptions and warnings"]:
            break
    never = ("corrupt files", "wrong vectors", "damaged rows", "rows written twice", "hangs")
    goals = {name: (counts[name], 0) for name in (*never, "exceptions and warnings")}
    lost = counts["rows computed"] - counts["rows kept"]
    goals[f"rows computed again (a batch: {BATCH})"] = (lost, counts["kills"] * BATCH)
    shown = ("kills", "folders", "rows kept", "rows computed")
    report(goals, {name: counts[name] for name in shown})


if __name__ == "__main__":
    main()
