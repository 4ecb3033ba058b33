"""The cache on disk: found again by other processes, used by embedders, shared by them."""

import copy
import os
import pickle
import subprocess
import sys
import textwrap

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sklearn.base import clone

import skembed
from cache.on_disk import KEYS, VALUES, fill, path_of, reopen, run_python
from skembed import BertEmbedder, EmbeddingCache


def test_rows_are_found_again_by_another_process(cache):
    fill(cache)
    reopen()
    assert cache.read("f", [*KEYS, b"x" * 32]) == [*VALUES, None]
    assert cache.read("g", KEYS) == [None] * len(KEYS)


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(rows=st.dictionaries(st.binary(min_size=1, max_size=64), st.binary(max_size=100)))
def test_what_is_written_is_read(cache, rows):
    fingerprint = str(abs(hash(frozenset(rows.items()))))
    cache.write(fingerprint, list(rows), list(rows.values()))
    assert cache.read(fingerprint, list(rows)) == list(rows.values())


def test_the_folder_is_for_its_owner_alone(cache):
    fill(cache)
    assert os.stat(os.path.join(cache.folder, "vectors")).st_mode & 0o777 == 0o700


def test_info_verify_and_clear(cache):
    cache.describe("f", "a model")
    fill(cache)
    cache.read("f", KEYS[:3])
    (line,) = cache.info()
    size = os.path.getsize(path_of(cache))
    assert line == {
        "fingerprint": "f",
        "model": "a model",
        "rows": 40,
        "bytes": size,
        "hits": 3,
        "misses": 40,
    }
    assert (cache.info()["rows"], cache.info()["computed"]) == (40, 40)
    assert cache.verify() == {"rows": 40, "damaged": 0}
    cache.clear()
    assert cache.info() == []
    assert cache.read("f", KEYS[:1]) == [None]


def test_clones_and_pickles_are_the_same_cache(cache):
    fill(cache)
    for other in (copy.deepcopy(cache), pickle.loads(pickle.dumps(cache))):
        assert other == cache
        assert other.read("f", KEYS[:1]) == VALUES[:1]
    assert len(pickle.dumps(cache)) < 500


def test_an_embedder_keeps_its_vectors_in_a_folder(tiny_bert, texts, tmp_path):
    n_unique = len(set(texts))
    expected = BertEmbedder(tiny_bert, cache=None).fit_transform(texts)
    for cache in (str(tmp_path), tmp_path, EmbeddingCache(tmp_path)):
        vectors = BertEmbedder(tiny_bert, cache=cache).fit_transform(texts)
        np.testing.assert_array_equal(vectors, expected)
        reopen()
    (line,) = EmbeddingCache(tmp_path).info()
    assert line["model"] == str(tiny_bert)
    assert (line["misses"], line["hits"]) == (n_unique, 2 * n_unique)
    assert skembed.memory_cache().info()["rows"] == 0


def test_set_config_makes_a_folder_the_default(tiny_bert, texts, tmp_path):
    with skembed.config_context(cache_folder=tmp_path):
        BertEmbedder(tiny_bert).fit_transform(texts)
        (line,) = EmbeddingCache().info()
    assert line["rows"] == len(set(texts))


def test_warm_computes_what_is_missing(tiny_bert, texts, tmp_path, capsys):
    embedder = BertEmbedder(tiny_bert, cache=tmp_path, verbose=1)
    assert embedder.warm(texts) is embedder
    assert "BertEmbedder: 100%" in capsys.readouterr().err
    BertEmbedder(tiny_bert, cache=tmp_path).fit(texts).transform(texts)
    (line,) = EmbeddingCache(tmp_path).info()
    assert line["misses"] == len(set(texts))
    with pytest.raises(ValueError, match=r"warm\(\) fills a cache, but cache=None"):
        BertEmbedder(tiny_bert, cache=None).warm(texts)


def test_a_process_whose_rows_are_all_there_loads_no_network(tiny_bert, texts, tmp_path):
    for backend in ("onnx", "torch"):
        embedder = BertEmbedder(tiny_bert, backend=backend, cache=tmp_path).warm(texts)
        expected = embedder.transform(texts)
        np.save(tmp_path / "expected.npy", expected)
        done = run_python(
            f"""
            import sys
            import numpy as np
            from skembed import BertEmbedder
            from skembed.network._load import _runners
            parameters = {{"backend": {backend!r}, "cache": {str(tmp_path)!r}}}
            vectors = BertEmbedder({str(tiny_bert)!r}, **parameters).fit_transform({texts!r})
            assert np.array_equal(vectors, np.load({str(tmp_path / "expected.npy")!r}))
            assert "transformers" not in sys.modules
            print(len(_runners._items), "torch" in sys.modules)
            """
        )
        assert done.stdout.split()[0] == "0", done.stderr
        if backend == "onnx":
            assert done.stdout.split()[1] == "False"


def test_racing_processes_compute_each_row_once(tiny_bert, tmp_path):
    code = f"""
    import sys
    from dataclasses import replace
    from skembed import BertEmbedder
    BertEmbedder._modality = replace(BertEmbedder._modality, chunk=16)
    rows = [f"the {{i}} cat" for i in range(200)]
    BertEmbedder({str(tiny_bert)!r}, cache={str(tmp_path)!r}, n_threads=1).fit_transform(rows)
    """
    racers = [
        subprocess.Popen([sys.executable, "-c", textwrap.dedent(code)], stderr=subprocess.PIPE)
        for _ in range(3)
    ]
    for racer in racers:
        _, errors = racer.communicate(timeout=240)
        assert racer.returncode == 0, errors.decode()
    (line,) = EmbeddingCache(tmp_path).info()
    assert (line["rows"], line["misses"]) == (200, 200)


def test_a_search_with_worker_processes_computes_each_row_once(tiny_bert, texts, tmp_path):
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import GridSearchCV
    from sklearn.pipeline import make_pipeline

    rows = list(dict.fromkeys(texts))
    y = np.arange(len(rows)) % 2
    pipeline = make_pipeline(BertEmbedder(tiny_bert, cache=tmp_path), LogisticRegression())
    grid = {"logisticregression__C": [0.1, 1, 10]}
    search = GridSearchCV(pipeline, grid, cv=3, n_jobs=2, error_score="raise").fit(rows, y)
    (line,) = EmbeddingCache(tmp_path).info()
    assert line["misses"] == len(rows)
    uncached = clone(pipeline).set_params(bertembedder__cache=None)
    plain = GridSearchCV(uncached, grid, cv=3).fit(rows, y)
    for name in ("mean_test_score", "std_test_score"):
        np.testing.assert_array_equal(search.cv_results_[name], plain.cv_results_[name])
    np.testing.assert_array_equal(search.best_estimator_[-1].coef_, plain.best_estimator_[-1].coef_)
