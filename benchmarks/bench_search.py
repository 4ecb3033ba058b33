"""A grid search over the classifier of a text pipeline: rows computed, and time, against peers.

5 folds x 8 values of LogisticRegression's C on AG News, refitted on all rows at the end, with
``n_jobs`` 1 and 2 (loky). skembed keeps vectors in a folder, which is empty at the start of each
search. Two goals: rows computed / unique rows = 1.00, and the search's time at most 1.15 times the
time of one plain transform without a cache plus the same search over the ready vectors with the
same ``n_jobs``.

The peers search the same grid, with the same network, on the first ``--peer-rows`` rows: a search
embeds 5 * 8 + 1 times, so they would take hours on all. Their times are scaled linearly, as the
last column says: by the line through the times of half of those rows and of all of them, so that
what does not grow with the rows (loading a network, starting processes) is not multiplied.

- skembed without a cache;
- ``Pipeline(memory=...)`` around BertEmbedder(cache=None);
- skrub's TextEncoder, n_components=None; embetter's SentenceEncoder, if they are installed.

Rows that skembed computed are counted by its cache; for the others the figure is what follows from
how they work. Each search is a fresh process, whose clock starts after its imports.

    python benchmarks/bench_search.py [--rows 2000] [--peer-rows 100] [--jobs 1 2] [--peers ...]
"""

import argparse
import csv
import json
import subprocess
import sys
import tempfile
import time
import warnings
from importlib.util import find_spec

import numpy as np
from _common import machine, minilm, parser, print_table, verdict

N_FOLDS = 5
C = np.logspace(-2, 1.5, 8)
GOAL_ROWS, GOAL_TIME = 1.0, 1.15
SKEMBED, FIRST = "skembed, cache=folder", "skembed"
PEERS = {
    "uncached": "skembed, cache=None",
    "memory": "Pipeline(memory=folder)",
    "skrub": "skrub TextEncoder",
    "embetter": "embetter SentenceEncoder",
}


def labelled(data, n_rows):
    """Return the first distinct rows of AG News and their labels."""
    labels = {}
    with open(data / "text" / "ag_news.csv", encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            labels.setdefault(f"{row['title']} {row['description']}", row["label"])
    return list(labels)[:n_rows], list(labels.values())[:n_rows]


# -- in a process of its own ----------------------------------------------------------------------


def embedder_of(who, folder):
    """Return an embedder; the imports it needs are done with it."""
    if who in (FIRST, "uncached", "memory"):
        from skembed import BertEmbedder

        return BertEmbedder(minilm(), cache=folder if who == FIRST else None)
    if who == "skrub":
        from skrub import TextEncoder

        return TextEncoder(minilm(), n_components=None, device="cpu")
    from embetter.text import SentenceEncoder

    return SentenceEncoder(minilm())


def search(embedder, X, y, n_jobs, memory=None):
    """Return the seconds of a search."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import GridSearchCV
    from sklearn.pipeline import Pipeline

    steps = [("classify", LogisticRegression(max_iter=1000))]
    if embedder is not None:
        steps.insert(0, ("embed", embedder))
    grid = {"classify__C": C}
    found = GridSearchCV(
        Pipeline(steps, memory=memory), grid, cv=N_FOLDS, n_jobs=n_jobs, error_score="raise"
    )
    start = time.perf_counter()
    found.fit(X, y)
    return time.perf_counter() - start, found.best_score_


def one_search(who, n_rows, n_jobs, data):
    """Search in this process; print the result as JSON."""
    import pandas as pd

    warnings.simplefilter("ignore")
    rows, y = labelled(data, n_rows)
    result = {}
    with tempfile.TemporaryDirectory() as folder:
        if who == "parts":
            embedder = embedder_of("uncached", None).fit(rows)
            start = time.perf_counter()
            vectors = embedder.transform(rows)
            result["transform"] = time.perf_counter() - start
            result["seconds"], result["score"] = search(None, vectors, y, n_jobs)
        else:
            X = pd.Series(rows, name="text") if who == "skrub" else rows
            memory = folder if who == "memory" else None
            embedder = embedder_of(who, folder)
            result["seconds"], result["score"] = search(embedder, X, y, n_jobs, memory)
        if who == FIRST:
            from skembed import EmbeddingCache

            (line,) = EmbeddingCache(folder).info()
            result["computed"] = line["misses"]
    print(json.dumps(result))


# -- the measurement ------------------------------------------------------------------------------


def measured(who, n_rows, n_jobs, data):
    """Search in a fresh process."""
    command = [sys.executable, __file__, "--one", who, "--rows", str(n_rows)]
    command += ["--jobs", str(n_jobs), "--data", str(data)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{who}: {done.stderr}")
    return json.loads(done.stdout.splitlines()[-1])


def passes(who):
    """Return how often each row is computed: a pass over all rows is the unit.

    A candidate's fold embeds its training rows and its test rows; joblib's memory keeps what
    fit_transform gave for a fold, and not what transform gives.
    """
    n_candidates = len(C)
    if who == "memory":
        return (N_FOLDS - 1) + n_candidates + 1
    return N_FOLDS * n_candidates + 1


def of_skembed(n_rows, n_jobs, data):
    """Return table rows, the search and its parts, and the seconds of the parts."""
    parts = measured("parts", n_rows, n_jobs, data)
    found = measured(FIRST, n_rows, n_jobs, data)
    floor = parts["transform"] + parts["seconds"]
    ratio, share = found["seconds"] / floor, found["computed"] / n_rows
    if found["score"] != parts["score"]:
        raise SystemExit(f"The scores differ: {found['score']} and {parts['score']}.")
    what = f"{parts['transform']:.1f} + {parts['seconds']:.1f}"
    met = f"rows {verdict(share == GOAL_ROWS)}, time {verdict(ratio <= GOAL_TIME)}"
    lines = [
        (n_jobs, "one transform + search over vectors", n_rows, "1.00", what, "1.00", ""),
        (
            *(n_jobs, SKEMBED, n_rows, f"{share:.2f}"),
            *(f"{found['seconds']:.1f}", f"{ratio:.2f}", met),
        ),
    ]
    return lines, floor


def of_peer(who, n_rows, n_peer_rows, n_jobs, floor, data):
    """Return a table row, scaled to all rows."""
    if who in ("skrub", "embetter") and find_spec(who) is None:
        return n_jobs, PEERS[who], "", "", "", "", "not installed"
    half, found = (
        measured(who, n, n_jobs, data)["seconds"] for n in (n_peer_rows // 2, n_peer_rows)
    )
    slope = (found - half) / (n_peer_rows - n_peer_rows // 2)
    seconds = found + slope * (n_rows - n_peer_rows)
    note = f"scaled: {half:.1f} s for {n_peer_rows // 2} rows, {found:.1f} s for {n_peer_rows}"
    return (
        *(n_jobs, PEERS[who], n_peer_rows, f"{passes(who):.2f}"),
        *(f"{seconds:.1f}", f"{seconds / floor:.1f}", note),
    )


def main():
    arguments = parser(__doc__)
    arguments.add_argument("--rows", type=int, default=2000)
    arguments.add_argument("--peer-rows", type=int, default=100)
    arguments.add_argument("--jobs", type=int, nargs="+", default=[1, 2])
    arguments.add_argument("--peers", nargs="*", choices=list(PEERS), default=list(PEERS))
    arguments.add_argument("--one", help=argparse.SUPPRESS)
    arguments = arguments.parse_args()
    if arguments.one:
        one_search(arguments.one, arguments.rows, arguments.jobs[0], arguments.data)
        return
    peers = [name for name in ("skrub", "embetter") if find_spec(name)]
    print(machine("skembed", "scikit-learn", "onnxruntime", *peers))
    print(f"{arguments.rows} rows of AG News, {N_FOLDS} folds x {len(C)} values of C\n")
    table = []
    for n_jobs in arguments.jobs:
        lines, floor = of_skembed(arguments.rows, n_jobs, arguments.data)
        table += lines
        for who in arguments.peers:
            table.append(
                of_peer(who, arguments.rows, arguments.peer_rows, n_jobs, floor, arguments.data)
            )
    heads = ["n_jobs", "who", "rows", "computed / unique", "s", "s / (one transform + fits)", ""]
    print_table(heads, table)
    print("\ngoals: computed / unique 1.00; time <= 1.15")


if __name__ == "__main__":
    main()
