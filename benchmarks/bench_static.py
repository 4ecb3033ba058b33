"""StaticEmbedder: rows a second beside MiniLM and model2vec, and accuracy.

- Speed on AG News, in one process, in turn: MiniLM on a few rows; model2vec's `encode`, on the same
  folder and on the same table without weights, which it pools faster; skembed for new words (the
  memory of words is emptied before) and for words that it has met.
- Spearman correlation of cosines with the scores of STS-B dev.
- AG News, the first 2,000 rows, 5 folds, LogisticRegression: TF-IDF, MiniLM, the table and its
  first dimensions.
- `StaticEmbedder.distill` on rows of AG News that are not among the 2,000.

One thread: run it as

    OMP_NUM_THREADS=1 TOKENIZERS_PARALLELISM=false taskset -c 0 python benchmarks/bench_static.py
"""

import csv
import tempfile
import time
from pathlib import Path

import numpy as np
from _common import ag_news, interleaved, machine, minilm, parser, print_table, sts_b, verdict

N_EVALUATED = 2000
MINILM = 0.8685  # accuracy of MiniLM on AG News that the goal refers to, measured earlier


def speeds(rows, n_minilm, repeats):
    """Return rows a second of each, and print them."""
    from model2vec import StaticModel

    from skembed import BertEmbedder, StaticEmbedder
    from skembed.text._static_names import DEFAULT_MODEL, SHIPPED

    bert = BertEmbedder(minilm(), cache=None, n_threads=1).fit(rows[:1])
    static = StaticEmbedder(n_threads=1).fit(rows[:1])
    tokens, vectors = static._table.loaded()
    theirs = StaticModel.from_pretrained(SHIPPED[DEFAULT_MODEL])
    unweighted = StaticModel(vectors, theirs.tokenizer, normalize=True, max_length=None)
    difference = np.abs(theirs.encode(rows) - static.transform(rows)).max()

    def new_words():
        tokens._words.clear()
        static.transform(rows)

    some = rows[:n_minilm]
    bert.transform(some)
    functions = {
        "MiniLM": lambda: bert.transform(some),
        "model2vec": lambda: theirs.encode(rows),
        "model2vec, without weights": lambda: unweighted.encode(rows),
        "StaticEmbedder, new words": new_words,
        "StaticEmbedder, words met before": lambda: static.transform(rows),
    }
    seconds = interleaved(functions, repeats)
    counts = {name: n_minilm if name == "MiniLM" else len(rows) for name in seconds}
    per_second = {name: counts[name] / value for name, value in seconds.items()}
    best_peer = max(value for name, value in per_second.items() if name.startswith("model2vec"))
    print_table(
        ["who", "rows/s", "times MiniLM", "times model2vec's faster"],
        [
            [n, f"{v:,.0f}", f"{v / per_second['MiniLM']:.0f}", f"{v / best_peer:.2f}"]
            for n, v in per_second.items()
        ],
    )
    new = per_second["StaticEmbedder, new words"]
    goals = [
        [">= 50 times MiniLM", verdict(new >= 50 * per_second["MiniLM"])],
        [">= 1.5 times model2vec", verdict(new >= 1.5 * best_peer)],
        [f"vectors equal to model2vec's: {difference:.1e} <= 1e-6", verdict(difference <= 1e-6)],
    ]
    print()
    print_table(["goal, for new words", ""], goals)


def correlation(embedder, data):
    """Return the Spearman correlation on STS-B dev."""
    from scipy.stats import spearmanr

    first, second, scores = sts_b(data)
    a, b = (embedder.fit(part).transform(part) for part in (first, second))
    lengths = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    return spearmanr((a * b).sum(axis=1) / np.maximum(lengths, 1e-12), scores).statistic


def labels(data, n_rows):
    """Return the labels of the first distinct rows of AG News."""
    with open(data / "text" / "ag_news.csv", encoding="utf-8", newline="") as file:
        rows = {
            f"{row['title']} {row['description']}": row["label"] for row in csv.DictReader(file)
        }
    return list(rows.values())[:n_rows]


def accuracies(rows, y, data):
    """Print STS-B dev and AG News of each."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import cross_val_score
    from sklearn.pipeline import make_pipeline

    from skembed import BertEmbedder, StaticEmbedder

    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        own = StaticEmbedder.distill(minilm(), Path(folder) / "own", rows[N_EVALUATED:])
        seconds = time.perf_counter() - start
        estimators = {
            "TF-IDF, words and pairs": TfidfVectorizer(ngram_range=(1, 2)),
            "MiniLM": BertEmbedder(minilm()),
            "StaticEmbedder": StaticEmbedder(),
            "StaticEmbedder, 128 dimensions": StaticEmbedder(truncate_dim=128),
            "StaticEmbedder, 64 dimensions": StaticEmbedder(truncate_dim=64),
            f"distilled on AG News in {seconds:.0f} s": own,
        }
        found = []
        for name, estimator in estimators.items():
            pipeline = make_pipeline(estimator, LogisticRegression(max_iter=1000))
            accuracy = cross_val_score(pipeline, rows[:N_EVALUATED], y, cv=5).mean()
            stsb = "" if name.startswith("TF") else f"{correlation(estimator, data):.4f}"
            found.append([name, stsb, f"{accuracy:.4f}"])
        print_table(["who", "STS-B dev", "AG News"], found)
    scores = {name: values for name, *values in found}
    stsb, accuracy = map(float, scores["StaticEmbedder"])
    lost = float(scores["MiniLM"][1]) - accuracy
    goals = [
        [f"STS-B dev {stsb:.4f} >= 0.79", verdict(stsb >= 0.79)],
        [f"AG News {accuracy:.4f} >= {MINILM} - 0.015", verdict(accuracy >= MINILM - 0.015)],
        [f"AG News {lost:.4f} below MiniLM in this run <= 0.015", verdict(lost <= 0.015)],
    ]
    print()
    print_table(["goal", ""], goals)


def main():
    made = parser(__doc__)
    made.add_argument("--rows", type=int, default=4500)
    made.add_argument("--minilm-rows", type=int, default=100)
    made.add_argument("--repeats", type=int, default=7)
    arguments = made.parse_args()
    print(machine("model2vec", "tokenizers", "scipy", "numpy", "scikit-learn"), "\n")
    rows = ag_news(arguments.data, arguments.rows)
    speeds(rows, arguments.minilm_rows, arguments.repeats)
    print()
    accuracies(rows, labels(arguments.data, N_EVALUATED), arguments.data)


if __name__ == "__main__":
    main()
