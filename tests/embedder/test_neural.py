"""What all networks share: each row computed once, slim pickles, fallbacks, exported folders."""

import os
import pickle
import re

import numpy as np
import pytest
from processes import run_python
from sklearn.base import clone
from time_series import SERIES

import skembed
from skembed import AudioEmbedder, BertEmbedder, CNNImageEmbedder, MemoryCache
from skembed.embedder import _neural
from skembed.embedder._neural import NeuralEmbedder
from skembed.network import _load


def counts(cache=None):
    info = (cache or skembed.memory_cache()).info()
    return info["computed"], info["from_cache"]


# -- the cache ------------------------------------------------------------------------------------


def test_each_row_is_computed_once(tiny_bert, texts):
    n_unique = len(set(texts))
    embedder = BertEmbedder(tiny_bert)
    embedder.fit_transform(texts)
    assert counts() == (n_unique, 0)
    clone(embedder).fit_transform(texts[::-1])
    assert counts() == (n_unique, n_unique)
    embedder.transform([*texts, "one more"])
    assert counts() == (n_unique + 1, 2 * n_unique)


def test_another_network_shares_no_row(tiny_bert, texts):
    BertEmbedder(tiny_bert).fit_transform(texts)
    BertEmbedder(tiny_bert, pooling="max").fit_transform(texts)
    assert counts() == (2 * len(set(texts)), 0)


def no_run(*_):
    raise AssertionError("rows went through the backbone")


def test_heads_of_kept_pieces_are_arithmetic(tiny_bert, texts, monkeypatch, tmp_path):
    """No row goes through the backbone, no torch and no graph is loaded; equal to the bit."""
    own = MemoryCache()
    for layers in (-1, -2):
        for pooling in ("mean", "max"):
            BertEmbedder(tiny_bert, pooling=pooling, layers=layers, cache=own).fit_transform(texts)
    heads = [
        {"truncate_dim": 5},
        {"normalize": True},
        {"truncate_dim": 5, "normalize": True},
        {"layers": [-1, -2]},
        {"layers": [1, 2, -1]},
        {"pooling": ["mean", "max"]},
        {"pooling": "mean_max", "layers": [-2, -1], "truncate_dim": 40, "normalize": True},
    ]
    expected = [BertEmbedder(tiny_bert, cache=None, **head).fit_transform(texts) for head in heads]
    monkeypatch.setattr(_load, "_load", no_run)
    monkeypatch.setattr(_load, "torch_network", no_run)
    _load._runners.clear()
    before = own.info()["computed"]
    for head, vectors in zip(heads, expected, strict=True):
        embedder = BertEmbedder(tiny_bert, cache=own, **head)
        np.testing.assert_array_equal(embedder.fit_transform(texts), vectors)
    assert own.info()["computed"] == before


@pytest.mark.parametrize("backend", ["onnx", "torch"])
@pytest.mark.parametrize("long_texts", ["truncate", "chunk"])
@pytest.mark.filterwarnings("ignore::skembed.exceptions.TruncationWarning")
def test_a_search_over_heads_is_one_pass(tiny_bert, texts, monkeypatch, backend, long_texts):
    """All heads that `precompute` names, on the first of them; equal to the bit."""
    given = {"backend": backend, "long_texts": long_texts, "max_length": 9, "normalize": True}
    base = BertEmbedder(tiny_bert, **given)
    poolings, layers = ["mean", "max", ["cls", "mean"]], [-1, 0, [1, 2]]
    heads = [
        {"pooling": pooling, "layers": layer, "truncate_dim": n_dims}
        for pooling in poolings
        for layer in layers
        for n_dims in (None, 7)
    ]
    expected = [clone(base).set_params(cache=None, **head).fit_transform(texts) for head in heads]
    base.set_params(precompute={"pooling": poolings, "layers": layers})
    n_windows = []
    outputs = _neural.NeuralEmbedder._outputs

    def counted(self, network, inputs):
        n_windows.append(len(inputs))
        return outputs(self, network, inputs)

    monkeypatch.setattr(_neural.NeuralEmbedder, "_outputs", counted)
    for head, vectors in zip(heads, expected, strict=True):
        embedder = clone(base).set_params(**head).fit(texts)
        np.testing.assert_array_equal(embedder.transform(texts), vectors)
    if long_texts == "truncate":
        assert sum(n_windows) == len(set(texts))
    assert sum(n > 0 for n in n_windows) == 1


def test_rows_of_long_texts_are_kept_window_by_window(tiny_bert, texts):
    """So that truncating and normalizing windows stays arithmetic."""
    own = MemoryCache()
    base = BertEmbedder(tiny_bert, long_texts="chunk", max_length=6, cache=own)
    base.fit_transform(texts)
    for head in ({"truncate_dim": 5, "normalize": True}, {"normalize": True}):
        expected = clone(base).set_params(cache=None, **head).fit_transform(texts)
        vectors = clone(base).set_params(**head).fit_transform(texts)
        np.testing.assert_array_equal(vectors, expected)
    assert counts(own)[0] == len(set(texts))


def test_no_cache_and_a_cache_of_ones_own(tiny_bert, texts):
    own = MemoryCache()
    expected = BertEmbedder(tiny_bert, cache=None).fit_transform(texts)
    vectors = BertEmbedder(tiny_bert, cache=own).fit_transform(texts)
    np.testing.assert_array_equal(vectors, expected)
    assert counts() == (0, 0)
    assert counts(own) == (len(set(texts)), 0)


def test_a_full_cache_costs_only_time(tiny_bert, texts):
    expected = BertEmbedder(tiny_bert, cache=None).fit_transform(texts)
    embedder = BertEmbedder(tiny_bert, cache=MemoryCache(max_bytes=1000))
    for _ in range(2):
        np.testing.assert_array_equal(embedder.fit_transform(texts), expected)
    assert embedder.cache.info()["bytes"] <= 1000


def test_bad_rows_are_never_cached(tiny_bert):
    BertEmbedder(tiny_bert, bad_rows="zero").fit_transform(["a", None, 3.5])
    assert skembed.memory_cache().info()["rows"] == 1


# -- networks -------------------------------------------------------------------------------------


def test_show_runtime(tiny_electra, texts):
    runtime = BertEmbedder(tiny_electra, n_threads=1).fit(texts).show_runtime()
    assert runtime["backend"] == "onnx"
    assert runtime["n_threads"] == 1
    assert runtime["n_dims"] == 16
    assert runtime["max_difference"] <= 1e-4
    assert runtime["library"].startswith("onnxruntime ")


def test_the_first_run_talks_if_asked_to(tmp_path, capsys, caplog):
    """One line for each step, with its seconds; quiet: only a record of each."""
    images = np.zeros((2, 32, 32, 3), dtype=np.uint8)
    embedder = CNNImageEmbedder("resnet-small-32", pretrained=False, random_state=0, cache=None)
    steps = [
        "building resnet-small-32 with random weights",
        "exporting resnet-small-32 to ONNX",
    ]
    with (
        skembed.config_context(cache_folder=tmp_path / "quiet"),
        caplog.at_level("INFO", "skembed"),
    ):
        embedder.fit(images).transform(images)
    assert capsys.readouterr() == ("", "")
    ends = [record for record in caplog.records if record.getMessage().endswith(" s")]
    assert [record.getMessage().rpartition(":")[0] for record in ends] == steps
    assert {(record.name, record.levelname) for record in ends} == {("skembed", "INFO")}
    with skembed.config_context(cache_folder=tmp_path / "verbose"):
        embedder.set_params(verbose=1).fit(images)
        lines = capsys.readouterr().err.splitlines()
        embedder.fit(images)
    for line, title in zip(lines, steps, strict=True):
        assert re.fullmatch(rf"CNNImageEmbedder: {title} \.\.\. \d+\.\d s", line)
    assert capsys.readouterr().err == ""  # they are done once


def test_the_first_run_of_a_process_prints_nothing(tiny_bert, tmp_path):
    """Torch's exporter warns; warnings are errors in that process, and stderr is read, too."""
    code = f"""
    import os
    os.dup2(1, 2)
    from skembed import BertEmbedder
    BertEmbedder({str(tiny_bert)!r}).fit_transform(["a cat", "a dog"])
    """
    assert run_python(code, SKEMBED_CACHE=str(tmp_path)) == ""
    assert list(tmp_path.glob("networks/*/export.json"))


def test_settings_reach_a_worker_process(tiny_bert, tmp_path):
    """What set_config said where an estimator was pickled holds where joblib unpickles it."""
    code = f"""
    import joblib, skembed
    from skembed import BertEmbedder

    def folder(embedder):
        return skembed.get_config()["cache_folder"]

    if __name__ == "__main__":
        skembed.set_config(cache_folder={str(tmp_path)!r})
        print(*joblib.Parallel(n_jobs=2)(
            joblib.delayed(folder)(BertEmbedder()) for _ in range(2)
        ), sep="|")
    """
    assert run_python(code).strip() == f"{tmp_path}|{tmp_path}"


def test_torchs_threads_and_random_state_stay_as_they_are(tiny_bert, texts):
    import torch

    torch.manual_seed(3)
    before = torch.get_num_threads(), torch.random.get_rng_state()
    BertEmbedder(tiny_bert, backend="torch", n_threads=1, cache=None).fit_transform(texts)
    assert torch.get_num_threads() == before[0]
    assert torch.equal(torch.random.get_rng_state(), before[1])


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork on this system")
@pytest.mark.parametrize("backend", ["onnx", "torch"])
def test_a_forked_child_computes(tiny_bert, backend):
    """After the parent has computed on all its threads, and with its network loaded."""
    code = f"""
    import os, sys, warnings
    import numpy as np
    from skembed import BertEmbedder

    warnings.simplefilter("ignore", DeprecationWarning)  # fork with threads: the point of this
    texts = ["the cat sat on a mat " * (i % 3 + 1) for i in range(64)]
    embedder = BertEmbedder({str(tiny_bert)!r}, backend={backend!r}, cache=None).fit(texts)
    expected = embedder.transform(texts)
    child = os.fork()
    if not child:
        same = np.allclose(embedder.transform(texts), expected, atol=1e-6)
        os._exit(0 if same else 1)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    """
    assert run_python(code).strip() == "0"


# -- names that all network embedders share --------------------------------------------------------


@pytest.mark.parametrize("estimator", [AudioEmbedder, BertEmbedder, CNNImageEmbedder])
def test_poolings_have_the_same_names(estimator):
    """A search over poolings can be moved from one estimator to another."""
    shared = {"mean": ("mean",), "max": ("max",), "mean_max": ("mean", "max")}
    assert {name: estimator._modality.poolings[name] for name in shared} == shared


def test_mean_and_maximum_of_texts_side_by_side(tiny_bert):
    texts = ["the cat sat", "a dog"]
    mean, both = (BertEmbedder(tiny_bert, pooling=p).fit(texts) for p in ("mean", "mean_max"))
    listed = BertEmbedder(tiny_bert, pooling=["mean", "max"]).fit(texts)
    assert both.fingerprint_ == listed.fingerprint_
    n_dims = mean.transform(texts).shape[1]
    np.testing.assert_allclose(both.transform(texts)[:, :n_dims], mean.transform(texts), atol=1e-6)


# -- parameters -----------------------------------------------------------------------------------


@pytest.mark.parametrize("backend", ["onnx", "torch"])
def test_numbers_of_numpy_are_numbers(tiny_bert, backend, tmp_path):
    """A search over ``np.arange(...)`` hands them in, and results are those of Python's numbers."""
    texts = ["a cat", "dogs"]
    plain = {"truncate_dim": 3, "layers": -2, "normalize": True, "max_length": 32, "batch_size": 1}
    plain |= {"n_threads": 1, "random_state": 0, "layers": [-2, -1]}
    given = {name: np.array(value)[()] for name, value in plain.items()}
    given |= {"pooling": [np.str_("max")], "layers": [np.int64(-2), np.int8(-1)]}
    expected = BertEmbedder(tiny_bert, backend=backend, pooling=["max"], **plain)
    embedder = BertEmbedder(tiny_bert, backend=backend, **given)
    np.testing.assert_array_equal(
        pickle.loads(pickle.dumps(clone(embedder).fit(texts))).transform(texts),
        expected.fit_transform(texts),
    )
    assert embedder.fit(texts).fingerprint_ == expected.fingerprint_
    if backend == "onnx":
        folder = embedder.export(tmp_path / "exported.onnx")
        again = BertEmbedder(folder).fit(texts)
        np.testing.assert_allclose(again.transform(texts), embedder.transform(texts), atol=1e-6)


def test_messages_say_what_the_modality_embeds():
    """A subclass states its modality only once."""

    class Series(NeuralEmbedder):
        _modality = SERIES

    class Own(BertEmbedder):
        pass

    assert (Series._kind, Own._kind, NeuralEmbedder._kind) == ("series", "texts", "rows")
