"""Processes that race on a new folder compute each row once.

Four processes, let loose at the same moment, take the same rows through a folder that does not
exist yet; 50 times. Rows are counted by the cache (``EmbeddingCache.info()``) and when they are
computed.

    python benchmarks/faults/race.py [--starts 50] [--processes 4]
"""

import multiprocessing
import os
import tempfile
import time
import traceback
import warnings
from collections import Counter

from _worker import embed, machine, parser, report, value_of

from skembed import EmbeddingCache

N_ROWS, BATCH = 2000, 128

fork = multiprocessing.get_context("fork")


def work(folder, slot, gate, n_computed):
    warnings.simplefilter("error")

    def compute(keys):
        n_computed[slot] += len(keys)
        time.sleep(0.001)
        return [value_of(key) for key in keys]

    code = 0
    try:
        gate.wait(60)
        embed(EmbeddingCache(folder), range(N_ROWS), BATCH, compute)
    except BaseException:
        traceback.print_exc()
        code = 1
    os._exit(code)


def race(n_processes, counts):
    gate, n_computed = fork.Barrier(n_processes), fork.RawArray("q", n_processes)
    with tempfile.TemporaryDirectory() as folder:
        folder = os.path.join(folder, "new", "folder")
        processes = [
            fork.Process(target=work, args=(folder, slot, gate, n_computed))
            for slot in range(n_processes)
        ]
        for process in processes:
            process.start()
        for process in processes:
            process.join(120)
            if process.is_alive():
                counts["hangs"] += 1
                process.kill()
                process.join()
            else:
                counts["exceptions and warnings"] += process.exitcode != 0
        (line,) = EmbeddingCache(folder).info()
        damaged = EmbeddingCache(folder).verify()["damaged"]
    counts["starts"] += 1
    counts["unique rows"] += N_ROWS
    counts["rows kept"] += line["rows"]
    counts["rows written, by info()"] += line["misses"]
    counts["rows computed"] += sum(n_computed)
    counts["damaged rows"] += damaged
    counts["starts that one process did alone"] += max(n_computed) == N_ROWS


def main():
    arguments = parser(__doc__, data=False)
    arguments.add_argument("--starts", type=int, default=50)
    arguments.add_argument("--processes", type=int, default=4)
    arguments = arguments.parse_args()
    print(machine("skembed"), end="\n\n")
    counts = Counter()
    for _ in range(arguments.starts):
        race(arguments.processes, counts)
    n_rows = counts["unique rows"]
    goals = {name: (counts[name], 0) for name in ("hangs", "exceptions and warnings")}
    goals["damaged rows"] = (counts["damaged rows"], 0)
    goals["rows missing"] = (n_rows - counts["rows kept"], 0)
    for name in ("rows written, by info()", "rows computed"):
        goals[name] = (counts[name], n_rows)
    shown = ("starts", "starts that one process did alone", "unique rows")
    report(goals, {name: counts[name] for name in shown})


if __name__ == "__main__":
    main()
