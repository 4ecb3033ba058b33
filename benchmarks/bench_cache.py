"""The cache on disk by itself: rows a second written and read, hashing, and what a hit costs.

- 100,000 vectors of 384 float32 in batches of 1,024 as an embedder writes and reads them: claimed
  and written; then read in random order over a new connection. The operating system may have the
  file in memory: this is what the cache itself costs, on top of what the disk does.
- As many vectors written over a limit that a fifth of them fits: the size of the folder, looked at
  all the time, which rows are kept, and rows a second.
- The key of a text row: AG News, through all that is checked of a row.
- A pipeline's transform of AG News rows that are all in the folder, against computing them; the
  first of each is not counted.

    python benchmarks/bench_cache.py [--vectors 100000] [--rows 1000] [--repeats 3] [--folder F]
"""

import contextlib
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
from _common import ag_news, interleaved, machine, minilm, parser, print_table, verdict

N_DIMS, BATCH = 384, 1024
GOAL_WRITTEN, GOAL_READ, GOAL_HASH, GOAL_HIT = 20_000, 50_000, 3.0, 0.03


def reconnect():
    """Close the connections of this process, so that the next use opens new ones."""
    from skembed.cache import _file

    for file in _file._files.values():
        file.flush()
        file._close()
    _file._files.clear()


def vectors_on_disk(n_vectors, folder):
    """Return rows a second written and read, and the bytes a row takes on disk."""
    from skembed import EmbeddingCache
    from skembed.base._rows import row_key

    random = np.random.default_rng(0)
    vectors = random.standard_normal((n_vectors, N_DIMS), dtype=np.float32)
    keys = [row_key(b"text", str(number).encode()) for number in range(n_vectors)]
    cache = EmbeddingCache(folder)
    start = time.perf_counter()
    for first in range(0, n_vectors, BATCH):
        part = keys[first : first + BATCH]
        cache.claim("f", part)
        values = [vector.tobytes() for vector in vectors[first : first + BATCH]]
        cache.write("f", part, values)
    written = n_vectors / (time.perf_counter() - start)

    reconnect()
    order = random.permutation(n_vectors)
    found = np.empty_like(vectors)
    start = time.perf_counter()
    for first in range(0, n_vectors, BATCH):
        part = order[first : first + BATCH]
        values = cache.read("f", [keys[i] for i in part])
        found[part] = np.frombuffer(b"".join(values), np.float32).reshape(-1, N_DIMS)
    read = n_vectors / (time.perf_counter() - start)
    if not np.array_equal(found, vectors):
        raise SystemExit("The cache read something else than was written.")
    (line,) = cache.info()
    reconnect()
    return written, read, line["bytes"] / n_vectors


def over_the_limit(n_vectors, n_fit, folder):
    """Return rows a second written over a limit, the largest size, and the share of rows kept."""
    from skembed import EmbeddingCache
    from skembed.base._rows import row_key

    values = np.random.default_rng(0).standard_normal((BATCH, N_DIMS), dtype=np.float32)
    values = [vector.tobytes() for vector in values]
    keys = [row_key(b"text", str(number).encode()) for number in range(n_vectors)]

    def write(cache, part):
        cache.claim("f", part)
        cache.write("f", part, values[: len(part)])

    unlimited = EmbeddingCache(f"{folder}/unlimited", max_bytes=None)
    for first in range(0, n_fit, BATCH):
        write(unlimited, keys[first : min(first + BATCH, n_fit)])
    limit = unlimited.info()["bytes"]
    cache = EmbeddingCache(f"{folder}/limited", max_bytes=limit)
    with Watch(f"{folder}/limited") as watch:
        start = time.perf_counter()
        for first in range(0, n_vectors, BATCH):
            write(cache, keys[first : first + BATCH])
        written = n_vectors / (time.perf_counter() - start)
    kept = sum(value is not None for value in cache.read("f", keys[-n_fit:]))
    return written, watch.file / limit, watch.folder / limit, kept / n_fit


class Watch(threading.Thread):
    """The largest size of a folder's files, and of a cache's file alone, looked at all the time."""

    def __init__(self, folder):
        super().__init__()
        self._folder, self._ends = folder, threading.Event()
        self.file = self.folder = 0

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *error):
        self._ends.set()
        self.join()

    def run(self):
        while not self._ends.wait(0.001):
            sizes = {}
            for path in Path(self._folder).rglob("*.*"):
                with contextlib.suppress(OSError):
                    sizes[path] = path.stat().st_size
            self.folder = max(self.folder, sum(sizes.values()))
            files = [size for path, size in sizes.items() if path.suffix == ".sqlite"]
            self.file = max(self.file, *files, 0)


def microseconds_of_a_key(rows, repeats):
    """Return what the check and the key of a text row take."""
    from skembed import BertEmbedder

    embedder = BertEmbedder()
    n_rounds = max(1, 20_000 // len(rows))

    def hash_all():
        for _ in range(n_rounds):
            embedder._check_rows(rows)

    seconds = interleaved({"keys": hash_all}, repeats)["keys"]
    return seconds / (n_rounds * len(rows)) * 1e6


def seconds_in_a_pipeline(rows, folder, repeats):
    """Return the seconds of a pipeline's transform, computed and read."""
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    from skembed import BertEmbedder

    stores = {"computed": None, "read": folder}
    pipelines = {
        name: make_pipeline(BertEmbedder(minilm(), cache=cache), StandardScaler()).fit(rows)
        for name, cache in stores.items()
    }
    functions = {
        name: lambda pipeline=pipeline: pipeline.transform(rows)
        for name, pipeline in pipelines.items()
    }
    if not np.array_equal(*(function() for function in functions.values())):
        raise SystemExit("The vectors read are not those computed.")
    return interleaved(functions, repeats)


def main():
    arguments = parser(__doc__)
    arguments.add_argument("--vectors", type=int, default=100_000)
    arguments.add_argument("--rows", type=int, default=1000)
    arguments.add_argument("--repeats", type=int, default=3)
    arguments.add_argument("--folder", help="where to measure; a temporary folder is made in it")
    arguments = arguments.parse_args()
    rows = ag_news(arguments.data, arguments.rows)
    print(machine("skembed", "onnxruntime"))
    print(f"{arguments.vectors:,} vectors once; medians of {arguments.repeats} of the rest\n")

    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        written, read, size = vectors_on_disk(arguments.vectors, f"{folder}/vectors")
        n_fit = arguments.vectors // 5
        limited = over_the_limit(arguments.vectors, n_fit, f"{folder}/limit")
        key = microseconds_of_a_key(rows, arguments.repeats)
        seconds = seconds_in_a_pipeline(rows, f"{folder}/pipeline", arguments.repeats)
        reconnect()
    hit = seconds["read"] / seconds["computed"]
    rates = [
        ("vectors written, rows/s", f"{written:,.0f}", ">= 20,000", written >= GOAL_WRITTEN),
        ("vectors read in random order, rows/s", f"{read:,.0f}", ">= 50,000", read >= GOAL_READ),
        ("key of an AG News row, µs", f"{key:.2f}", "<= 3", key <= GOAL_HASH),
        ("pipeline: all rows read / all computed", f"{hit:.2%}", "<= 3 %", hit <= GOAL_HIT),
    ]
    table = [(what, measured, goal, verdict(met)) for what, measured, goal, met in rates]
    speed, file, whole, kept = limited
    table.append(("over a limit of a fifth: rows/s written", f"{speed:,.0f}", "", ""))
    table.append(("  largest file / limit", f"{file:.3f}", "<= 1.1", verdict(file <= 1.1)))
    table.append(("  largest folder, with journals / limit", f"{whole:.3f}", "", ""))
    share = (f"{kept:.0%}", ">= 60 %", verdict(kept >= 0.6))
    table.append(("  newest rows kept, of those that fit", *share))
    table.append(("on disk, bytes a row (the vector: 1,536)", f"{size:,.0f}", "", ""))
    for name, value in seconds.items():
        table.append((f"pipeline, rows {name}, s", f"{value:.3f}", "", ""))
    print_table(["what", "measured", "goal", ""], table)


if __name__ == "__main__":
    main()
