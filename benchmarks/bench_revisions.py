"""This revision beside an older one: speed, memory, import time, sizes of pickles.

Each revision runs in a process of its own; the two do the same task in turn, so that noise of the
machine meets both. The ratio is new to old, of medians.

    python benchmarks/bench_revisions.py --old CHECKOUT [--repeats 9]

CHECKOUT is a folder with another revision of skembed, such as one made by ``git worktree add``.
"""

import json
import os
import pickle
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

from _common import ag_news, machine, parser, print_table

HERE = Path(__file__).resolve()
GOAL = 1.03


# -- the worker, in a process of each revision ----------------------------------------------------


def _tasks(data):
    """Return functions by name; each is called many times."""
    import numpy as np
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import GridSearchCV
    from sklearn.pipeline import make_pipeline

    from skembed import AudioEmbedder, BertEmbedder, CNNImageEmbedder, MemoryCache

    random = np.random.default_rng(0)
    texts = ag_news(data, 2000)
    images = [random.integers(0, 256, (240, 320, 3), dtype=np.uint8) for _ in range(24)]
    sounds = [random.normal(size=32_000).astype(np.float32) / 8 for _ in range(16)]
    text = BertEmbedder(cache=None, n_threads=1).fit(texts[:2])
    image = CNNImageEmbedder(
        "mobilenet-v2", pretrained=False, random_state=0, cache=None, n_threads=1
    ).fit(images[:2])
    audio = AudioEmbedder(
        "cnn-small", pretrained=False, random_state=0, sampling_rate=16_000, cache=None, n_threads=1
    ).fit(sounds[:2])
    cached = BertEmbedder(cache=MemoryCache(), n_threads=1).fit(texts[:2])
    short = [t[:40] for t in texts]
    cached.transform(short)
    search = GridSearchCV(
        make_pipeline(cached, LogisticRegression(max_iter=50)),
        {"logisticregression__C": [0.1, 1, 10]},
        cv=3,
    )
    labels = np.arange(600) % 2
    return {
        "text: 100 rows of AG News": lambda: text.transform(texts[:100]),
        "text: 2,000 rows from the cache, 20 times": lambda: [
            cached.transform(short) for _ in range(20)
        ],
        "search: 9 fits on cached rows": lambda: search.fit(short[:600], labels),
        "image: mobilenet-v2, 24 arrays": lambda: image.transform(images),
        "audio: cnn-small, 16 x 2 s": lambda: audio.transform(sounds),
    }, {"text": text, "image": image, "audio": audio}


def _work(data):
    tasks, embedders = _tasks(Path(data))
    for function in tasks.values():
        function()
    sizes = {name: len(pickle.dumps(embedder)) for name, embedder in embedders.items()}
    print(json.dumps([list(tasks), sizes]), flush=True)
    for line in sys.stdin:
        start = time.perf_counter()
        tasks[line.strip()]()
        print(time.perf_counter() - start, flush=True)
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024, flush=True)


# -- the driver ----------------------------------------------------------------------------------


def _environment(checkout, cache):
    paths = [str(checkout), str(HERE.parent)]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "SKEMBED_CACHE": cache}


def _start(checkout, data, cache):
    command = [sys.executable, "-W", "ignore", str(HERE), "--worker", str(data)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    return subprocess.Popen(command, env=_environment(checkout, cache), **pipes)


def _import_seconds(checkout, statement, cache):
    code = (
        f"import sklearn, time; s = time.perf_counter(); {statement}; print(time.perf_counter()-s)"
    )
    command = [sys.executable, "-c", code]
    environment = _environment(checkout, cache)
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return float(done.stdout)


def main():
    given = parser(__doc__)
    given.add_argument("--old", type=Path, help="folder of the other revision")
    given.add_argument("--repeats", type=int, default=9)
    given.add_argument("--worker", help="used by the script itself")
    options = given.parse_args()
    if options.worker:
        return _work(options.worker)
    checkouts = {"old": options.old.resolve(), "new": HERE.parents[1]}
    print(machine("onnxruntime", "torch", "scikit-learn"), end="\n\n")
    rows = []

    def add(name, seconds, scale=1e3, unit="ms"):
        old, new = (median(seconds[revision]) * scale for revision in ("old", "new"))
        rows.append((name, f"{old:,.1f} {unit}", f"{new:,.1f} {unit}", f"{new / old:.3f}"))

    with tempfile.TemporaryDirectory() as folder:
        workers = {
            name: _start(path, options.data, f"{folder}/{name}") for name, path in checkouts.items()
        }
        known = {n: json.loads(worker.stdout.readline()) for n, worker in workers.items()}
        for task in known["new"][0]:
            seconds = {"old": [], "new": []}
            for turn in range(options.repeats):
                for name in ("old", "new") if turn % 2 else ("new", "old"):
                    workers[name].stdin.write(f"{task}\n")
                    workers[name].stdin.flush()
                    seconds[name].append(float(workers[name].stdout.readline()))
            add(task, seconds)
        peaks = {n: [float(worker.communicate()[0])] for n, worker in workers.items()}
        add("peak memory of all these", peaks, 1 / 2**20, "MiB")
        for kind in known["new"][1]:
            add(f"pickle: {kind}", {n: [known[n][1][kind]] for n in known}, 1, "bytes")
        for statement in ("import skembed", "from skembed import BertEmbedder"):
            seconds = {"old": [], "new": []}
            for _ in range(options.repeats + 1):
                for name, path in checkouts.items():
                    seconds[name].append(_import_seconds(path, statement, folder))
            add(statement, {name: values[1:] for name, values in seconds.items()})
    print_table(("", "old", "new", "new / old"), rows)


if __name__ == "__main__":
    main()
