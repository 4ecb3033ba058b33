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

With ``--heads`` instead: a search over heads of the network, pooling x layers x truncate_dim x
normalize (36 candidates, 5 folds), with ``precompute`` set. Two goals: rows through the backbone /
unique rows = 1.00, and the search's time at most 1.3 times the time of one pass over the rows plus
the fits of all candidates over ready vectors. The backbone is exported before the clock starts.
``--old`` names a checkout of an earlier revision, whose search over the same grid stands beside it.

    python benchmarks/bench_search.py --heads [--rows 600] [--old FOLDER]
"""

import argparse
import csv
import json
import os
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
GOAL_ROWS, GOAL_TIME, GOAL_TIME_HEADS = 1.0, 1.15, 1.3
HEADS = {"pooling": ["mean", "max", "cls"], "layers": [-1, -2, [-1, -2]]}
FINISHES = {"truncate_dim": [None, 128], "normalize": [True, False]}
SKEMBED, FIRST = "skembed, cache=folder", "skembed"
PEERS = {
    "uncached": "skembed, cache=None",
    "memory": "Pipeline(memory=folder)",
    "skrub": "skrub TextEncoder",
    "embetter": "embetter SentenceEncoder",
}


def labeled(data, n_rows):
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
    rows, y = labeled(data, n_rows)
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


def count_rows():
    """Return a list that receives how many rows each run of a backbone takes."""
    from skembed.embedder import _neural

    outputs, counts = _neural.NeuralEmbedder._outputs, []

    def counted(self, network, inputs):
        counts.append(len(inputs))
        return outputs(self, network, inputs)

    _neural.NeuralEmbedder._outputs = counted
    return counts


def one_search_over_heads(who, n_rows, data):
    """Search over heads in this process, or do its parts; print the result as JSON."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import GridSearchCV, ParameterGrid, cross_val_score
    from sklearn.pipeline import Pipeline

    import skembed

    warnings.simplefilter("ignore")
    rows, y = labeled(data, n_rows)
    embedder = skembed.BertEmbedder(minilm())
    if "precompute" in embedder.get_params():
        embedder.set_params(precompute=HEADS)
    grid = {**HEADS, **FINISHES}
    classify = LogisticRegression(max_iter=1000)
    with tempfile.TemporaryDirectory() as folder:
        os.environ["SKEMBED_CACHE"] = folder  # of the export; vectors stay in memory
        embedder.fit_transform(["a row that is not among the others"])  # exports
        skembed.memory_cache().clear()
        counts = count_rows()
        start = time.perf_counter()
        if who == "parts":
            embedder.fit_transform(rows)
            result = {"pass": time.perf_counter() - start}
            ready = [embedder.set_params(**p).fit_transform(rows) for p in ParameterGrid(grid)]
            start = time.perf_counter()
            scores = [cross_val_score(classify, X, y, cv=N_FOLDS).mean() for X in ready]
            classify.fit(ready[int(np.argmax(scores))], y)
            result |= {"score": max(scores)}
        else:
            found = GridSearchCV(
                Pipeline([("embed", embedder), ("classify", classify)]),
                {f"embed__{name}": values for name, values in grid.items()},
                cv=N_FOLDS,
                error_score="raise",
            ).fit(rows, y)
            result = {"score": found.best_score_}
        result |= {"seconds": time.perf_counter() - start, "computed": sum(counts)}
    print(json.dumps(result))


# -- the measurement ------------------------------------------------------------------------------


def measured(who, n_rows, n_jobs, data, *options, old=None):
    """Search in a fresh process; `old` is the checkout whose skembed it imports."""
    command = [sys.executable, __file__, "--one", who, "--rows", str(n_rows)]
    command += ["--jobs", str(n_jobs), "--data", str(data), *options]
    environment = os.environ | ({"PYTHONPATH": str(old)} if old else {})
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
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


def over_heads(n_rows, old, data):
    """Print the table of a search over heads."""
    parts = measured("parts", n_rows, 1, data, "--heads")
    floor = parts["pass"] + parts["seconds"]
    what = f"{parts['pass']:.1f} + {parts['seconds']:.1f}"
    table = [("one pass + fits over vectors", "1.00", what, "1.00", "")]
    searches = {"skembed, precompute": None} | ({f"skembed of {old}": old} if old else {})
    for name, folder in searches.items():
        found = measured("search", n_rows, 1, data, "--heads", old=folder)
        share, ratio = found["computed"] / n_rows, found["seconds"] / floor
        met = f"rows {verdict(share == GOAL_ROWS)}, time {verdict(ratio <= GOAL_TIME_HEADS)}"
        if not folder and found["score"] != parts["score"]:
            raise SystemExit(f"The scores differ: {found['score']} and {parts['score']}.")
        seconds = f"{found['seconds']:.1f}"
        table.append((name, f"{share:.2f}", seconds, f"{ratio:.2f}", "" if folder else met))
    print_table(["who", "through the backbone / unique", "s", "s / (one pass + fits)", ""], table)
    print(f"\ngoals: through the backbone / unique 1.00; time <= {GOAL_TIME_HEADS}")


def main():
    arguments = parser(__doc__)
    arguments.add_argument("--rows", type=int)
    arguments.add_argument("--heads", action="store_true")
    arguments.add_argument("--old", help="a checkout of an earlier revision")
    arguments.add_argument("--peer-rows", type=int, default=100)
    arguments.add_argument("--jobs", type=int, nargs="+", default=[1, 2])
    arguments.add_argument("--peers", nargs="*", choices=list(PEERS), default=list(PEERS))
    arguments.add_argument("--one", help=argparse.SUPPRESS)
    arguments = arguments.parse_args()
    if arguments.rows is None:
        arguments.rows = 600 if arguments.heads else 2000
    if arguments.one and arguments.heads:
        one_search_over_heads(arguments.one, arguments.rows, arguments.data)
        return
    if arguments.one:
        one_search(arguments.one, arguments.rows, arguments.jobs[0], arguments.data)
        return
    if arguments.heads:
        print(machine("scikit-learn", "onnxruntime"))
        print(f"{arguments.rows} rows of AG News, {N_FOLDS} folds x 36 heads\n")
        over_heads(arguments.rows, arguments.old, arguments.data)
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
