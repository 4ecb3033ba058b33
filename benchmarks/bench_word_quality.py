"""What word vectors are good for: word similarity, accuracy in a pipeline, a search.

1. Trained on the novels: Spearman on WordSim-353 and SimLex-999, accuracy on questions-words,
   beside random vectors of the same words. Goal: each clearly above it (0.1 of Spearman).
2. A pipeline with LogisticRegression on AG News, 5 folds of 5,000 rows, beside TF-IDF. The vectors
   are trained on the training folds alone.
3. GridSearchCV over vector_size, window, sg and pooling on TREC, twice, with n_jobs 1 and 2. Goal:
   the same scores to the bit.

Takes about a quarter of an hour.

    python benchmarks/bench_word_quality.py [--only similarity news search]
"""

import csv
import time

import numpy as np
from _common import machine, parser, print_table, verdict
from bench_words import novels
from gensim.models import KeyedVectors
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from skembed import FastTextVectorizer, GloVeVectorizer, Word2VecVectorizer
from skembed.evaluation import word_analogies, word_similarity

ABOVE = 0.1
_PARTS = ("similarity", "news", "search")


def bench_similarity(arguments):
    """Print the table of word similarity."""
    texts = novels(arguments.data)
    embedders = {
        "Word2Vec, skip-gram": Word2VecVectorizer(sg=1, window=10, random_state=0),
        "Word2Vec, CBOW": Word2VecVectorizer(window=10, random_state=0),
        "FastText, skip-gram": FastTextVectorizer(sg=1, window=10, random_state=0, oov="ignore"),
        "GloVe": GloVeVectorizer(random_state=0),
    }
    table, untrained = [], None
    for name, embedder in embedders.items():
        start = time.perf_counter()
        embedder.fit(texts)
        seconds = f"{time.perf_counter() - start:.0f}"
        if untrained is None:
            random = KeyedVectors(100)
            vectors = np.random.default_rng(0).standard_normal(embedder.vectors_.shape)
            random.add_vectors(list(embedder.vocabulary_), vectors)
            untrained = _scores(Word2VecVectorizer(vectors=random).fit(["none"]))
            table.append(["untrained", "", *_shown(untrained), ""])
        scores = _scores(embedder)
        met = all(scores[i].spearman > untrained[i].spearman + ABOVE for i in (0, 1))
        table.append([name, seconds, *_shown(scores), verdict(met)])
    heads = ["trained on the novels", "s", "WordSim-353", "SimLex-999", "analogies", "of family"]
    print_table([*heads, ""], table)
    known = ", ".join(
        f"{share:.0%}" for share in (scores[0].known, scores[1].known, scores[2].known)
    )
    print(f"known pairs and questions: {known}")


def _scores(embedder):
    sections = {row.section: row for row in word_analogies(embedder)}
    pairs = [word_similarity(embedder, name) for name in ("wordsim353", "simlex999")]
    return [*pairs, sections["all"], sections["family"]]


def _shown(scores):
    return [f"{scores[0].spearman:.3f}", f"{scores[1].spearman:.3f}"] + [
        f"{row.accuracy:.1%}" for row in scores[2:]
    ]


def _labeled(path, text):
    """Return the texts and labels of a file, `text` naming the columns that make a text."""
    with open(path, encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    return [" ".join(row[name] for name in text) for row in rows], [row["label"] for row in rows]


def bench_news(arguments):
    """Print the accuracies of pipelines on AG News."""
    X, y = _labeled(arguments.data / "text" / "ag_news.csv", ["title", "description"])
    longer = {"sg": 1, "epochs": 20, "window": 10, "min_count": 2, "random_state": 0}
    embedders = {
        "TF-IDF": TfidfVectorizer(),
        "Word2Vec, defaults": Word2VecVectorizer(random_state=0),
        "Word2Vec, sif": Word2VecVectorizer(pooling="sif", **longer),
        "Word2Vec, mean": Word2VecVectorizer(**longer),
        "FastText, sif": FastTextVectorizer(pooling="sif", **longer),
        "GloVe, sif": GloVeVectorizer(pooling="sif", min_count=2, random_state=0),
    }
    table = []
    for name, embedder in embedders.items():
        scaler = [] if name == "TF-IDF" else [StandardScaler()]
        model = make_pipeline(embedder, *scaler, LogisticRegression(max_iter=2000))
        start = time.perf_counter()
        scores = cross_val_score(model, X, y, cv=5)
        seconds = time.perf_counter() - start
        table.append([name, f"{scores.mean():.3f}", f"{scores.std():.3f}", f"{seconds:.0f}"])
        print(table[-1], flush=True)
    print_table(["features", "accuracy", "its deviation over folds", "s"], table)


def bench_search(arguments):
    """Print whether a search in one and in two processes gives the same."""
    X, y = _labeled(arguments.data / "text" / "trec_train.csv", ["text"])
    grid = {
        "word2vecvectorizer__vector_size": [25, 50],
        "word2vecvectorizer__window": [2, 5],
        "word2vecvectorizer__sg": [0, 1],
        "word2vecvectorizer__pooling": ["mean", "sif"],
    }
    model = make_pipeline(
        Word2VecVectorizer(min_count=2, random_state=0),
        StandardScaler(),
        LogisticRegression(max_iter=2000),
    )
    table, found = [], []
    for n_jobs in (1, 2):
        start = time.perf_counter()
        # The classifier's matrix products round otherwise on several threads, of which processes of
        # a search have one each; the embeddings are the same bits on any number.
        with threadpool_limits(1):
            search = GridSearchCV(model, grid, cv=3, n_jobs=n_jobs).fit(X, y)
        seconds = time.perf_counter() - start
        found.append(search.cv_results_["mean_test_score"])
        best = {name.partition("__")[2]: value for name, value in search.best_params_.items()}
        table.append([n_jobs, f"{seconds:.0f}", f"{search.best_score_:.4f}", best])
    print(f"{len(X)} questions, {len(found[0])} candidates, 3 folds")
    print_table(["n_jobs", "s", "best accuracy", "of"], table)
    print(f"the same scores to the bit: {verdict(np.array_equal(*found))}")


def main():
    arguments = parser(__doc__)
    arguments.add_argument("--only", nargs="+", choices=_PARTS, default=_PARTS)
    arguments = arguments.parse_args()
    print(machine("skembed", "gensim", "numba", "scikit-learn", "numpy"))
    run = {"similarity": bench_similarity, "news": bench_news, "search": bench_search}
    for part in arguments.only:
        print()
        run[part](arguments)


if __name__ == "__main__":
    main()
