"""Few labels: a frozen embedder beside ones that learn in `fit`, with the same classifier behind.

For each draw, some rows of each class of AG News are training rows, and others are scored. All
variants see the same rows.

    python benchmarks/bench_learning.py [--draws 10] [--per-class 8] [--scored 2000]
"""

import csv
import time
import warnings

import numpy as np
from _common import machine, parser, print_table
from sklearn.linear_model import LogisticRegression

VARIANTS = {
    "frozen": None,
    "classification, last:3": ("classification", {"trainable": "last:3"}),
    "supcon, last:3": ("supcon", {"trainable": "last:3"}),
    "supcon, all": ("supcon", {"trainable": "all"}),
}


def rows_of(data):
    """Return texts and labels of AG News."""
    with open(data / "text" / "ag_news.csv", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    label = next(name for name in rows[0] if name not in ("title", "description"))
    texts = [f"{row['title']} {row['description']}" for row in rows]
    return np.array(texts, dtype=object), np.array([row[label] for row in rows])


def main():
    from skembed import BertEmbedder, MemoryCache, Training

    given = parser(__doc__)
    given.add_argument("--draws", type=int, default=10)
    given.add_argument("--per-class", type=int, default=8)
    given.add_argument("--scored", type=int, default=2000)
    options = given.parse_args()
    print(machine("torch", "transformers", "scikit-learn"), end="\n\n")
    texts, labels = rows_of(options.data)
    cache = MemoryCache()
    scores, seconds = ({name: [] for name in VARIANTS} for _ in range(2))
    for draw in range(options.draws):
        random = np.random.default_rng(draw)
        order = random.permutation(len(texts))
        train = np.concatenate(
            [[i for i in order if labels[i] == c][: options.per_class] for c in np.unique(labels)]
        ).astype(int)
        scored = np.setdiff1d(order, train, assume_unique=True)[: options.scored]
        for name, variant in VARIANTS.items():
            training = variant and Training(variant[0], **variant[1])
            start = time.perf_counter()
            embedder = BertEmbedder(
                training=training, random_state=draw, cache=None if variant else cache
            )
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                vectors = embedder.fit_transform(list(texts[train]), labels[train])
                seconds[name].append(time.perf_counter() - start)
                head = LogisticRegression(max_iter=1000).fit(vectors, labels[train])
                scores[name].append(
                    head.score(embedder.transform(list(texts[scored])), labels[scored])
                )
    print_table(
        (f"{options.per_class} rows a class", "accuracy", "deviation", "fit, s"),
        [
            (name, f"{np.mean(s):.3f}", f"{np.std(s):.3f}", f"{np.median(seconds[name]):.1f}")
            for name, s in scores.items()
        ],
    )


if __name__ == "__main__":
    main()
