"""In the tools that people put embedders into: searches, pipelines, column transformers."""

import joblib
import numpy as np
import pandas as pd
import pytest
from imblearn.over_sampling import RandomOverSampler
from imblearn.pipeline import make_pipeline as make_imblearn_pipeline
from sklearn.base import clone
from sklearn.compose import ColumnTransformer, make_column_selector
from sklearn.experimental import enable_halving_search_cv  # noqa: F401 - scikit-learn asks for it
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, HalvingGridSearchCV, cross_val_score
from sklearn.pipeline import FeatureUnion, make_pipeline
from sklearn.preprocessing import StandardScaler
from skrub import TableVectorizer

import skembed
from skembed import BertEmbedder

# What a text is about stands in a few of its words.
ANIMALS, PLACES = ["cat", "dog"], ["river", "town"]


@pytest.fixture(scope="module")
def labeled():
    random = np.random.default_rng(0)
    words = "the a on over and to while sat ran mat hill".split()
    y = np.array(["animal", "place"] * 30)
    X = [
        " ".join([*random.choice(words, random.integers(1, 4)), *random.choice(last, 4)])
        for last in (ANIMALS, PLACES) * 30
    ]
    return X, y


@pytest.fixture(scope="module")
def exported(tiny_bert):
    """The network with the heads of these tests already exported, in the session's folder."""
    for pooling in ("mean", "cls", "max"):
        BertEmbedder(tiny_bert, pooling=pooling).fit(["a"])
    return tiny_bert


@pytest.fixture
def pipeline(exported):
    return make_pipeline(
        BertEmbedder(exported, pooling="mean"), LogisticRegression(C=10, max_iter=5000)
    )


@pytest.mark.parametrize(
    ("n_jobs", "backend"), [(1, "loky"), (2, "loky"), (2, "threading")], ids=str
)
def test_grid_search_over_pooling_and_C(pipeline, labeled, n_jobs, backend):
    grid = {"bertembedder__pooling": ["mean", "cls", "max"], "logisticregression__C": [1e-4, 10]}
    with joblib.parallel_config(backend):
        search = GridSearchCV(pipeline, grid, cv=3, n_jobs=n_jobs, error_score="raise")
        search.fit(*labeled)
    scores = {
        (candidate["bertembedder__pooling"], candidate["logisticregression__C"]): score
        for candidate, score in zip(
            search.cv_results_["params"], search.cv_results_["mean_test_score"], strict=True
        )
    }
    assert len({scores[pooling, 10] for pooling in ("mean", "cls", "max")}) > 1
    assert scores["mean", 10] > scores["mean", 1e-4]
    assert search.best_score_ > 0.65  # half of them are animals
    assert search.predict(labeled[0][:5]).shape == (5,)


def test_a_search_computes_each_row_once_for_each_network(pipeline, labeled):
    """5 folds x 6 candidates and a refit, in threads: as many rows as there are, thrice."""
    grid = {
        "bertembedder__pooling": ["mean", "cls", "max"],
        "logisticregression__C": [1, 100],
    }
    with joblib.parallel_config("threading"):
        GridSearchCV(pipeline, grid, cv=5, n_jobs=2, error_score="raise").fit(*labeled)
    info = skembed.memory_cache().info()
    assert info["computed"] == 3 * len(set(labeled[0]))
    assert info["from_cache"] > 20 * len(set(labeled[0]))


def test_a_search_gives_the_same_with_and_without_the_cache(pipeline, labeled):
    scores = []
    for cache in ("memory", None):
        search = GridSearchCV(
            clone(pipeline).set_params(bertembedder__cache=cache),
            {"logisticregression__C": [0.1, 10]},
            cv=4,
        ).fit(*labeled)
        scores.append(search.cv_results_["mean_test_score"])
    np.testing.assert_array_equal(*scores)


@pytest.mark.parametrize(
    ("n_jobs", "backend"),
    [(1, "loky"), (2, "loky"), (2, "threading"), (2, "multiprocessing")],
    ids=str,
)
def test_cross_val_score(pipeline, labeled, n_jobs, backend, recwarn):
    with joblib.parallel_config(backend):
        scores = cross_val_score(pipeline, *labeled, cv=4, n_jobs=n_jobs)
    np.testing.assert_array_equal(scores, cross_val_score(pipeline, *labeled, cv=4))


def test_halving_search(pipeline, labeled):
    search = HalvingGridSearchCV(
        pipeline, {"logisticregression__C": [1e-4, 1, 100]}, cv=2, random_state=0
    ).fit(*labeled)
    assert search.best_params_["logisticregression__C"] > 1e-4


def test_feature_union_and_column_transformer(exported, labeled):
    X, y = labeled
    frame = pd.DataFrame({"text": X, "length": [len(text) for text in X], "n": np.arange(len(X))})
    union = FeatureUnion(
        [("mean", BertEmbedder(exported)), ("max", BertEmbedder(exported, pooling="max"))]
    )
    features = ColumnTransformer(
        [
            ("text", union, "text"),
            ("numbers", StandardScaler(), make_column_selector(dtype_include="number")),
        ]
    ).set_output(transform="pandas")
    table = features.fit_transform(frame)
    assert table.shape == (len(X), 34)
    assert table.columns[0] == "text__mean__text_0"
    assert table.columns[-1] == "numbers__n"
    np.testing.assert_array_equal(
        table.iloc[:, :16].to_numpy(np.float32), BertEmbedder(exported).fit_transform(X)
    )
    model = make_pipeline(features, LogisticRegression(C=10, max_iter=5000)).fit(frame, y)
    assert model.score(frame, y) > 0.8


def test_skrubs_table_vectorizer(exported, labeled):
    X, y = labeled
    frame = pd.DataFrame({"text": X, "n": np.arange(len(X))})
    vectorizer = TableVectorizer(cardinality_threshold=5, high_cardinality=BertEmbedder(exported))
    table = vectorizer.fit_transform(frame)
    assert table.shape == (len(X), 17)
    np.testing.assert_array_equal(
        table.filter(like="text_").to_numpy(np.float32), BertEmbedder(exported).fit_transform(X)
    )
    assert (
        make_pipeline(vectorizer, LogisticRegression(C=10, max_iter=5000))
        .fit(frame, y)
        .score(frame, y)
    )


def test_imbalanced_learns_pipeline(exported, labeled):
    """Rows are embedded, then sampled; the same as by hand."""
    X, y = labeled[0][:45], np.array(["a"] * 35 + ["b"] * 10)
    embedder, sampler = BertEmbedder(exported), RandomOverSampler(random_state=0)
    model = make_imblearn_pipeline(embedder, sampler, LogisticRegression(max_iter=5000)).fit(X, y)
    vectors = embedder.fit_transform(X)
    by_hand = LogisticRegression(max_iter=5000).fit(*sampler.fit_resample(vectors, y))
    np.testing.assert_array_equal(model.predict(X), by_hand.predict(vectors))
    assert set(model.predict(X)) == {"a", "b"}
