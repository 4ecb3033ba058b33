"""Many labels: texts whose embedder learns in `fit`, beside the same one frozen.

Tasks: "trec" and "sst2" train on the official training rows and score on the official test or
development rows, with a LogisticRegression behind the embedder; "stsb" learns from the scored pairs
of the training part and gives Spearman's correlation on the development part; "tables" compares
vectors and their 30 principal components before two classifiers, with TF-IDF beside them, over
folds of AG News, SST-2 and TREC.

    python benchmarks/bench_learning_text.py [--tasks trec sst2 stsb tables] [--folds 5]
        [--tables ag_news sst2 trec] [--rows N] [--seed 0]
"""

import csv
import time
import warnings

import numpy as np
from _common import machine, parser, print_table, sts_b
from bench_learning import rows_of
from scipy.sparse import issparse
from scipy.stats import spearmanr
from sklearn.decomposition import PCA, TruncatedSVD
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold
from sklearn.pipeline import make_pipeline

TRAINING = {
    "trec": {
        "objective": "classification",
        "trainable": "all",
        "epochs": 4,
        "learning_rate": 1e-4,
    },
    "sst2": {"objective": "classification", "trainable": "last:3", "epochs": 2},
    "stsb": {"trainable": "last:3", "epochs": 4},
    "tables": {"objective": "classification", "trainable": "last:3"},
}
N_ROWS = {"ag_news": 2000, "sst2": 3000, "trec": 5452}
N_COMPONENTS = 30


def labeled(data, name):
    """Return the texts and labels of a file with these two columns."""
    with open(data / "text" / f"{name}.csv", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    return [row["text"] for row in rows], np.array([row["label"] for row in rows])


def embedders(task, seed):
    """Return a frozen embedder, and one that learns."""
    from skembed import BertEmbedder, Training

    tuned = BertEmbedder(training=Training(**TRAINING[task]), random_state=seed, cache=None)
    return {"frozen": BertEmbedder(cache=None), "tuned": tuned}


def classified(data, task, n_rows, seed):
    """Return rows for the table: accuracy on the official split."""
    texts, labels = (column[:n_rows] for column in labeled(data, f"{task}_train"))
    test_texts, test_labels = labeled(data, f"{task}_{'test' if task == 'trec' else 'dev'}")
    rows = []
    for name, embedder in embedders(task, seed).items():
        start = time.perf_counter()
        vectors = embedder.fit_transform(texts, labels)
        seconds = time.perf_counter() - start
        classifier = LogisticRegression(max_iter=2000).fit(vectors, labels)
        score = classifier.score(embedder.transform(test_texts), test_labels)
        rows.append((task, name, "accuracy", f"{score:.3f}", f"{seconds:.0f}"))
    return rows


def compared(data, n_rows, seed):
    """Return rows for the table: Spearman's correlation of the development part of STS-B."""
    left, right, scores = (column[:n_rows] for column in sts_b(data, "train"))
    dev_left, dev_right, dev_scores = sts_b(data, "dev")
    rows = []
    for name, embedder in embedders("stsb", seed).items():
        start = time.perf_counter()
        if name == "tuned":
            embedder.fit_pairs(left, right, scores)
        else:
            embedder.fit(left)
        seconds = time.perf_counter() - start
        products = embedder.transform(dev_left) * embedder.transform(dev_right)
        score = spearmanr(products.sum(axis=1), dev_scores)[0]
        rows.append(("stsb", name, "Spearman", f"{score:.4f}", f"{seconds:.0f}"))
    return rows


def table_of(data, name, n_rows, n_folds, seed):
    """Return a row for each kind of columns: mean accuracy of the two classifiers over folds."""
    texts, labels = rows_of(data) if name == "ag_news" else labeled(data, f"{name}_train")
    chosen = np.random.default_rng(0).permutation(len(texts))[:n_rows]
    texts, labels = np.array(texts, dtype=object)[chosen], np.asarray(labels)[chosen]
    found = {}
    folds = StratifiedKFold(n_folds, shuffle=True, random_state=0)
    for train, test in folds.split(texts, labels):
        parts = (list(texts[train]), labels[train], list(texts[test]))
        for columns, (a, b) in _columns(*parts, seed).items():
            found.setdefault(columns, []).append(
                [
                    _classifier(kind, a).fit(a, labels[train]).score(b, labels[test])
                    for kind in ("linear", "trees")
                ]
            )
    means = {columns: np.mean(scores, axis=0) for columns, scores in found.items()}
    return [
        (f"{name}, {len(texts)} rows", columns, f"{linear:.3f}", f"{trees:.3f}")
        for columns, (linear, trees) in means.items()
    ]


def _columns(texts, labels, test_texts, seed):
    """Return the training and test columns of each kind."""
    tfidf = TfidfVectorizer(ngram_range=(1, 2), min_df=2, sublinear_tf=True)
    pairs = {"TF-IDF": (tfidf.fit_transform(texts), tfidf.transform(test_texts))}
    for name, embedder in embedders("tables", seed).items():
        vectors = embedder.fit_transform(texts, labels), embedder.transform(test_texts)
        reducer = PCA(N_COMPONENTS, random_state=0)
        pairs[name] = vectors
        pairs[f"{name} + PCA({N_COMPONENTS})"] = (
            reducer.fit_transform(vectors[0]),
            reducer.transform(vectors[1]),
        )
    return pairs


def _classifier(kind, columns):
    if kind == "linear":
        return LogisticRegression(max_iter=2000)
    trees = HistGradientBoostingClassifier(random_state=0)
    if not issparse(columns):
        return trees
    # Trees take no sparse columns.
    return make_pipeline(TruncatedSVD(min(100, columns.shape[1]), random_state=0), trees)


def main():
    given = parser(__doc__)
    tasks = ("trec", "sst2", "stsb", "tables")
    given.add_argument("--tasks", nargs="+", default=tasks, choices=tasks)
    given.add_argument("--tables", nargs="+", default=list(N_ROWS), choices=list(N_ROWS))
    given.add_argument("--rows", type=int, help="training rows of each task, for a quick try")
    given.add_argument("--folds", type=int, default=5)
    given.add_argument("--seed", type=int, default=0)
    options = given.parse_args()
    print(machine("torch", "transformers", "scikit-learn"), flush=True)
    warnings.simplefilter("ignore")
    rows = []
    for task in options.tasks:
        if task in ("trec", "sst2"):
            rows += classified(options.data, task, options.rows, options.seed)
        elif task == "stsb":
            rows += compared(options.data, options.rows, options.seed)
    if rows:
        print()
        print_table(("task", "embedder", "measure", "score", "fit, s"), rows)
    if "tables" in options.tasks:
        for name in options.tables:
            n_rows = options.rows or N_ROWS[name]
            found = table_of(options.data, name, n_rows, options.folds, options.seed)
            print()
            print_table(("table", "columns", "LogisticRegression", "HistGradientBoosting"), found)


if __name__ == "__main__":
    main()
