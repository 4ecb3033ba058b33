"""Graphs that are built from a model's files, beside those that torch exports: MiniLM.

"difference" is the largest difference of the mean-pooled vectors of `--rows` rows of AG News from
those of the export in float32. Speeds are of one thread, medians of `--repeats` interleaved runs.
"first vector" is the time of a new process, without torch, with an empty and with a filled cache
folder.

    python benchmarks/bench_native.py [--rows 200] [--repeats 5] [--parts graphs start]
"""

import os
import subprocess
import sys
import tempfile
import time
from dataclasses import replace

import numpy as np
from _common import machine, minilm, parser, print_table
from bench_learning import rows_of

START = """
import sys, time
from skembed import BertEmbedder
BertEmbedder({model!r}).fit_transform(["a text"])
assert "torch" not in sys.modules
"""


def specs(precision):
    """Return the networks whose graphs are exported and built."""
    from skembed import BertEmbedder
    from skembed.network._load import with_export

    embedder = BertEmbedder(minilm(), precision=precision, cache=None, n_threads=1).fit(["a text"])
    network = embedder._network
    return embedder, {"exported": with_export(replace(network, native=False)), "built": network}


def graphs(texts, n_repeats):
    table, reference = [], None
    for precision in ("float32", "int8"):
        embedder, networks = specs(precision)
        seconds = {name: [] for name in networks}
        vectors = {}
        for _ in range(n_repeats):
            for name in networks:
                embedder._network = networks[name]
                start = time.perf_counter()
                vectors[name] = embedder.transform(texts)
                seconds[name].append(time.perf_counter() - start)
        if reference is None:
            reference = vectors["exported"]
        for name in networks:
            speed = len(texts) / np.median(seconds[name])
            of_exported = np.median(seconds["exported"]) / np.median(seconds[name])
            difference = np.abs(vectors[name] - reference).max()
            table.append(
                (precision, name, f"{speed:.1f}", f"{of_exported:.3f}", f"{difference:.1e}")
            )
    print_table(("precision", "graph", "rows/s", "of exported", "difference"), table)


def start():
    table = []
    with tempfile.TemporaryDirectory() as folder:
        for name in ("with an empty cache folder", "afterwards"):
            environment = dict(os.environ, SKEMBED_CACHE=folder)
            begin = time.perf_counter()
            code = START.format(model=str(minilm()))
            subprocess.run([sys.executable, "-c", code], env=environment, check=True)
            table.append((name, f"{time.perf_counter() - begin:.2f}"))
    print_table(("first vector", "s"), table)


def main():
    arguments = parser(__doc__)
    arguments.add_argument("--rows", type=int, default=200)
    arguments.add_argument("--repeats", type=int, default=5)
    arguments.add_argument("--parts", nargs="+", default=["graphs", "start"])
    options = arguments.parse_args()
    print(machine("onnxruntime", "torch", "transformers"), "\n")
    if "graphs" in options.parts:
        texts, _ = rows_of(options.data)
        graphs(list(texts[: options.rows]), options.repeats)
        print()
    if "start" in options.parts:
        start()


if __name__ == "__main__":
    main()
