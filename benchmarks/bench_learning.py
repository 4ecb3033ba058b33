"""Few labels: a frozen embedder beside ones that learn in `fit`, with the same classifier behind.

For each draw, some rows of each class of AG News are training rows, and others are scored. All
variants see the same rows. The classifier is a LogisticRegression with its defaults.

    python benchmarks/bench_learning.py [--draws 10] [--per-class 8 16 64] [--scored 2000]
        [--variants frozen supcon ...] [--csv FILE]

With `--csv`, a line is added to the file for each draw, and draws in the file are not run again.
"""

import csv
import time
import warnings
from pathlib import Path

import numpy as np
from _common import machine, parser, print_table
from sklearn.linear_model import LogisticRegression

VARIANTS = {
    "frozen": None,
    "classification": {"objective": "classification"},
    "supcon": {"objective": "supcon"},
    "cosine": {"objective": "cosine"},
    "classification, last:3": {"objective": "classification", "trainable": "last:3"},
    "supcon, last:3": {"objective": "supcon", "trainable": "last:3"},
    "cosine, last:3": {"objective": "cosine", "trainable": "last:3"},
    "supcon, all": {"objective": "supcon", "trainable": "all"},
    "cosine, all": {
        "objective": "cosine",
        "trainable": "all",
        "learning_rate": 4e-5,
        "batch_size": 16,
    },
}


def rows_of(data):
    """Return texts and labels of AG News."""
    with open(data / "text" / "ag_news.csv", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    label = next(name for name in rows[0] if name not in ("title", "description"))
    texts = [f"{row['title']} {row['description']}" for row in rows]
    return np.array(texts, dtype=object), np.array([row[label] for row in rows])


def drawn(labels, draw, n_per_class, n_scored):
    """Return the training rows and the scored rows of a draw."""
    order = np.random.default_rng(draw).permutation(len(labels))
    train = np.concatenate(
        [[i for i in order if labels[i] == c][:n_per_class] for c in np.unique(labels)]
    ).astype(int)
    return train, np.setdiff1d(order, train, assume_unique=True)[:n_scored]


def scored(embedder, texts, labels, train, test):
    """Return the accuracy on the test rows, and the seconds of `fit_transform`."""
    start = time.perf_counter()
    vectors = embedder.fit_transform(list(texts[train]), labels[train])
    seconds = time.perf_counter() - start
    classifier = LogisticRegression(max_iter=1000).fit(vectors, labels[train])
    return classifier.score(embedder.transform(list(texts[test])), labels[test]), seconds


def known_results(path):
    """Return the (accuracy, seconds) of each (rows a class, draw, variant) in a file."""
    if path is None or not path.exists():
        return {}
    with open(path, encoding="utf-8", newline="") as file:
        return {
            (int(n_per_class), int(draw), name): (float(score), float(seconds))
            for n_per_class, draw, name, score, seconds in csv.reader(file)
        }


def main():
    from skembed import BertEmbedder, MemoryCache, Training

    given = parser(__doc__)
    given.add_argument("--draws", type=int, default=10)
    given.add_argument("--per-class", type=int, nargs="+", default=[8])
    given.add_argument("--scored", type=int, default=2000)
    given.add_argument("--variants", nargs="+", default=list(VARIANTS), choices=list(VARIANTS))
    given.add_argument("--csv", type=Path)
    options = given.parse_args()
    print(machine("torch", "transformers", "scikit-learn"), flush=True)
    known = known_results(options.csv)
    texts, labels = rows_of(options.data)
    cache = MemoryCache()
    for n_per_class in options.per_class:
        found = {name: [] for name in options.variants}
        for draw in range(options.draws):
            train, test = drawn(labels, draw, n_per_class, options.scored)
            for name in options.variants:
                if (n_per_class, draw, name) in known:
                    found[name].append(known[n_per_class, draw, name])
                    continue
                variant = VARIANTS[name]
                embedder = BertEmbedder(
                    training=variant and Training(**variant),
                    random_state=draw,
                    cache=None if variant else cache,
                )
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    found[name].append(scored(embedder, texts, labels, train, test))
                if options.csv:
                    with open(options.csv, "a", encoding="utf-8", newline="") as file:
                        csv.writer(file).writerow([n_per_class, draw, name, *found[name][-1]])
        print()
        print_table(
            (f"{n_per_class} rows a class", "accuracy", "deviation", "fit, s", "of each draw"),
            [
                (
                    name,
                    f"{s.mean():.3f}",
                    f"{s.std():.3f}",
                    f"{np.median(seconds):.1f}",
                    " ".join(f"{score:.4f}" for score in s),
                )
                for name, (s, seconds) in ((n, np.array(v).T) for n, v in found.items())
            ],
        )


if __name__ == "__main__":
    main()
