"""What all networks share: each row computed once, slim pickles, fallbacks, exported folders."""

import json
import os
import pickle
import re
import shutil
import subprocess
import sys
import textwrap
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
from sklearn.base import clone
from tiny import add_modules, save_tiny_bert

import skembed
from skembed import AudioEmbedder, BertEmbedder, CNNImageEmbedder, MemoryCache
from skembed.embedder import _neural
from skembed.exceptions import (
    ExportError,
    ModelFormatError,
    ModelNotFoundError,
    NetworkChangedError,
    RuntimeFallbackWarning,
)
from skembed.models import _storage
from skembed.network import _load, _spec
from skembed.runtime._export_folder import write_standalone
from skembed.runtime._precisions import PRECISIONS
from skembed.text import _tokens
from skembed.text._bert import TEXTS


def counts(cache=None):
    info = (cache or skembed.memory_cache()).info()
    return info["computed"], info["from_cache"]


def run_python(code, **environment):
    """Run code in a new process; return what it printed."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(code)],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


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
    answers = _neural.NeuralEmbedder._answers

    def counted(self, network, inputs):
        n_windows.append(len(inputs))
        return answers(self, network, inputs)

    monkeypatch.setattr(_neural.NeuralEmbedder, "_answers", counted)
    for head, vectors in zip(heads, expected, strict=True):
        embedder = clone(base).set_params(**head).fit(texts)
        np.testing.assert_array_equal(embedder.transform(texts), vectors)
    if long_texts == "truncate":
        assert sum(n_windows) == len(set(texts))
    assert sum(n > 0 for n in n_windows) == 1


@pytest.mark.parametrize(
    "value",
    [{}, {"pool": ["mean"]}, {"pooling": "mean"}, {"pooling": []}, {"layers": -1}],
    ids=str,
)
def test_what_precompute_must_be(tiny_bert, value):
    with pytest.raises(ValueError, match="'precompute' parameter of BertEmbedder must be None or"):
        BertEmbedder(tiny_bert, precompute=value).fit(["a"])


def test_heads_that_precompute_names_are_checked(tiny_bert):
    with pytest.raises(ValueError, match=r"'pooling' parameter .* Got 'median' instead"):
        BertEmbedder(tiny_bert, precompute={"pooling": ["median"]}).fit(["a"])
    with pytest.raises(ValueError, match=r"'layers' parameter .* Got 7 instead"):
        BertEmbedder(tiny_bert, precompute={"layers": [7]}).fit(["a"])


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


def test_threads_that_want_the_same_rows_compute_each_once(tiny_bert, texts, monkeypatch):
    monkeypatch.setattr(BertEmbedder, "_modality", replace(TEXTS, chunk=4))
    embedder = BertEmbedder(tiny_bert).fit(texts)
    expected = clone(embedder).set_params(cache=None).fit_transform(texts)
    with ThreadPoolExecutor(4) as pool:
        for vectors in pool.map(embedder.transform, [texts] * 8):
            np.testing.assert_array_equal(vectors, expected)
    assert counts()[0] == len(set(texts))


def test_more_rows_than_a_chunk(tiny_bert, texts, monkeypatch):
    expected = BertEmbedder(tiny_bert, cache=None).fit_transform(texts)
    monkeypatch.setattr(BertEmbedder, "_modality", replace(TEXTS, chunk=3))
    np.testing.assert_array_equal(BertEmbedder(tiny_bert).fit_transform(texts), expected)


def test_a_failure_leaves_no_claim_behind(tiny_bert, texts, monkeypatch):
    """Whoever comes next computes the rows, and does not wait for ever."""
    embedder = BertEmbedder(tiny_bert).fit(texts)

    def fail(*_):
        raise MemoryError("no room")

    with monkeypatch.context() as patch:
        patch.setattr(BertEmbedder, "_run", fail)
        with pytest.raises(MemoryError, match="no room"):
            embedder.transform(texts)
    assert embedder.transform(texts).shape == (len(texts), 16)


def test_bad_rows_are_never_cached(tiny_bert):
    BertEmbedder(tiny_bert, bad_rows="zero").fit_transform(["a", None, 3.5])
    assert skembed.memory_cache().info()["rows"] == 1


# -- networks -------------------------------------------------------------------------------------


def test_clones_share_one_network(tiny_bert, texts):
    one = BertEmbedder(tiny_bert).fit(texts)
    other = clone(one).fit(texts)
    assert _load.runner_of(one._network) is _load.runner_of(other._network)


def test_two_heads_share_the_files_of_one_backbone(tmp_path, texts):
    folder = save_tiny_bert(tmp_path / "model", seed=5)
    with skembed.config_context(cache_folder=tmp_path / "cache"):
        for pooling in ("mean", "max"):
            BertEmbedder(folder, pooling=pooling, cache=None).fit_transform(texts)
    files = [path.name for path in (tmp_path / "cache").rglob("*") if path.is_file()]
    assert files.count("backbone.onnx.data") == 1
    assert files.count("export.json") == 1
    assert len([name for name in files if name.endswith(".onnx")]) == 3  # and the backbone's


def test_a_changed_network_is_noticed(tmp_path, texts):
    folder = save_tiny_bert(tmp_path / "model", seed=6)
    fitted = BertEmbedder(folder, backend="torch").fit(texts)
    content = pickle.dumps(fitted)
    save_tiny_bert(folder, seed=7)
    _load._runners.clear()
    _load._backbones.clear()
    with pytest.raises(NetworkChangedError, match="holds another network now"):
        pickle.loads(content).transform(texts)
    vectors = fitted.fit_transform(texts)
    assert np.isfinite(vectors).all()


def test_one_bit_of_the_weights_is_another_fingerprint(tmp_path):
    folder = save_tiny_bert(tmp_path / "model", seed=8)
    before = BertEmbedder(folder, backend="torch").fit(["a"]).fingerprint_
    weights = folder / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    assert BertEmbedder(folder, backend="torch").fit(["a"]).fingerprint_ != before


@pytest.mark.parametrize("damaged", ["backbone.onnx.data", "graph", "report"])
def test_a_damaged_export_is_made_again(tiny_bert, tmp_path, texts, damaged):
    """A flipped bit of an exported network costs time, and no wrong vector is served or kept."""
    with skembed.config_context(cache_folder=tmp_path):
        embedder = BertEmbedder(tiny_bert, cache=None).fit(texts)
        _load._runners.clear()
        expected = embedder.transform(texts)
        (report,) = tmp_path.rglob("export.json")
        (graph,) = set(tmp_path.rglob("*.onnx")) - set(tmp_path.rglob("backbone.onnx"))
        files = {
            "backbone.onnx.data": report.with_name("backbone.onnx.data"),
            "graph": graph,
            "report": report,
        }
        content = bytearray(files[damaged].read_bytes())
        content[len(content) // 2] ^= 255
        files[damaged].write_bytes(content)
        _load._runners.clear()
        np.testing.assert_array_equal(clone(embedder).fit(texts).transform(texts), expected)


def test_changed_dense_weights_are_noticed(tmp_path, texts):
    dense = {"in_features": 16, "out_features": 4, "bias": True}
    folder = add_modules(save_tiny_bert(tmp_path), dense=dense)
    fitted = BertEmbedder(folder, backend="torch").fit(texts)
    weights = folder / "2_Dense" / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    _load._runners.clear()
    with pytest.raises(NetworkChangedError, match="holds another network now"):
        fitted.transform(texts)


def test_a_pickle_finds_its_files_where_the_model_is_now(tmp_path, texts, monkeypatch):
    """As in another environment, where the same model lies in another place."""
    dense = {"in_features": 16, "out_features": 4, "bias": True}
    before = add_modules(save_tiny_bert(tmp_path / "before"), dense=dense)
    texts = [text for text in texts if len(text.split()) < 8]
    fitted = BertEmbedder(before, backend="torch", cache=None).fit(texts)
    expected = fitted.transform(texts)
    content = pickle.dumps(fitted)
    before.rename(tmp_path / "after")
    _load._runners.clear()
    _load._backbones.clear()
    _tokens._tokenizers.clear()
    monkeypatch.setattr(_spec, "locate", lambda *_: tmp_path / "after")
    np.testing.assert_array_equal(pickle.loads(content).transform(texts), expected)


def test_a_read_only_folder_with_a_ready_export_is_used(tiny_bert, tmp_path, texts, monkeypatch):
    with skembed.config_context(cache_folder=tmp_path):
        BertEmbedder(tiny_bert, cache=None).fit(texts)

        def fail(*_, **__):
            raise OSError("read-only file system")

        monkeypatch.setattr(_storage.tempfile, "TemporaryFile", fail)
        BertEmbedder(tiny_bert, cache=None).fit(texts).transform(texts)


def test_a_lost_cache_folder_costs_only_time(tiny_bert, tmp_path, texts):
    with skembed.config_context(cache_folder=tmp_path / "cache"):
        embedder = BertEmbedder(tiny_bert).fit(texts)
        expected = embedder.transform(texts)
        shutil.rmtree(tmp_path / "cache")
        _load._runners.clear()
        skembed.memory_cache().clear()
        np.testing.assert_array_equal(embedder.transform(texts), expected)


def test_an_unwritable_cache_folder_warns_and_goes_on(tiny_bert, tmp_path, texts):
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    with skembed.config_context(cache_folder=blocked / "cache"):
        with pytest.warns(RuntimeFallbackWarning, match="cannot be written"):
            vectors = BertEmbedder(tiny_bert, cache=None).fit_transform(texts)
    np.testing.assert_array_equal(vectors, BertEmbedder(tiny_bert).fit_transform(texts))


def test_an_export_that_differs_is_not_used(tiny_bert, tmp_path, texts, monkeypatch):
    """auto warns and uses torch; onnx raises."""
    monkeypatch.setitem(PRECISIONS, "float32", replace(PRECISIONS["float32"], max_difference=-1.0))
    with skembed.config_context(cache_folder=tmp_path):
        with pytest.warns(RuntimeFallbackWarning, match=r"differs from torch by .* Using torch\."):
            embedder = BertEmbedder(tiny_bert).fit(texts)
        assert embedder.show_runtime()["backend"] == "torch"
        with pytest.raises(ExportError, match="Set backend='torch'"):
            BertEmbedder(tiny_bert, backend="onnx").fit(texts)


def test_show_runtime(tiny_bert, texts):
    runtime = BertEmbedder(tiny_bert, n_threads=1).fit(texts).show_runtime()
    assert runtime["backend"] == "onnx"
    assert runtime["n_threads"] == 1
    assert runtime["n_dims"] == 16
    assert runtime["max_difference"] <= 1e-4
    assert runtime["library"].startswith("onnxruntime ")


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


# -- exported folders -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def exported(tiny_bert, tmp_path_factory):
    folder = tmp_path_factory.mktemp("exported") / "model"
    embedder = BertEmbedder(
        tiny_bert, pooling=["mean", "max"], truncate_dim=20, prompt="query: ", max_length=40
    )
    assert embedder.fit(["a"]).export(folder) == folder
    return embedder, folder


def test_an_exported_folder_gives_the_same_vectors(exported, texts):
    embedder, folder = exported
    loaded = BertEmbedder(folder).fit(texts)
    np.testing.assert_allclose(loaded.transform(texts), embedder.transform(texts), atol=1e-6)
    assert loaded.n_features_out_ == 20
    assert {path.name for path in folder.iterdir()} == {
        "model.onnx",
        "manifest.json",
        "tokenizer.json",
    }
    assert json.loads((folder / "manifest.json").read_text())["parity"]["agrees"]


def test_an_exported_folder_runs_without_torch_and_transformers(exported, texts):
    embedder, folder = exported
    code = f"""
    import sys

    class NotInstalled:
        def find_spec(self, name, path=None, target=None):
            if name.partition(".")[0] in ("torch", "transformers", "onnx", "onnxscript"):
                raise ModuleNotFoundError(name)

    sys.meta_path.insert(0, NotInstalled())
    from skembed import BertEmbedder
    vectors = BertEmbedder({str(folder)!r}).fit_transform({texts!r})
    print(vectors.astype(float).tolist())
    """
    vectors = np.array(json.loads(run_python(code)))
    np.testing.assert_allclose(vectors, embedder.transform(texts), atol=1e-6)


def test_an_exported_folder_is_what_it_is(exported):
    _, folder = exported
    with pytest.raises(ValueError, match="so pooling and layers cannot be set"):
        BertEmbedder(folder, pooling="max", layers=0).fit(["a"])
    with pytest.raises(ValueError, match=re.escape("an ONNX graph in float32 and run as it")):
        BertEmbedder(folder, backend="torch").fit(["a"])
    with pytest.raises(ValueError, match="one vector a text"):
        BertEmbedder(folder).fit(["a"]).embed_tokens(["a"])


def test_export_overwrites_nothing(exported, tiny_bert):
    _, folder = exported
    with pytest.raises(FileExistsError, match="is not an empty folder"):
        BertEmbedder(tiny_bert).fit(["a"]).export(folder)
    with pytest.raises(ExportError, match="Fit it with backend='onnx'"):
        BertEmbedder(tiny_bert, backend="torch").fit(["a"]).export(folder / "new")
    assert not (folder / "new").exists()


def test_a_graph_made_elsewhere(tiny_bert, tmp_path, texts):
    """With a mask and token types among its inputs, as optimum and others export it."""
    import warnings

    import torch
    import transformers

    model = transformers.AutoModel.from_pretrained(tiny_bert).eval()

    class Mean(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.model = model

        def forward(self, input_ids, attention_mask, token_type_ids):
            states = self.model(input_ids, attention_mask, token_type_ids).last_hidden_state
            mask = attention_mask[:, :, None].float()
            return (states * mask).sum(1) / mask.sum(1)

    shutil.copy(tiny_bert / "tokenizer.json", tmp_path)
    ids = torch.ones((2, 5), dtype=torch.long)
    sizes = {0: torch.export.Dim.DYNAMIC, 1: torch.export.Dim.DYNAMIC}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            Mean().eval(),
            (ids, ids.clone(), torch.zeros_like(ids)),
            dynamo=True,
            input_names=["input_ids", "attention_mask", "token_type_ids"],
            dynamic_shapes=(sizes,) * 3,
            verbose=False,
        )
    program.save(tmp_path / "mine.onnx")
    vectors = BertEmbedder(tmp_path / "mine.onnx", max_length=32).fit_transform(texts)
    expected = BertEmbedder(tiny_bert, backend="torch").fit_transform(texts)
    np.testing.assert_allclose(vectors, expected, atol=1e-5)
    with pytest.raises(ValueError, match="does not define a maximum length: set max_length"):
        BertEmbedder(tmp_path / "mine.onnx").fit(texts)


def test_a_graph_without_pooling_is_refused(tiny_bert, tmp_path):
    shutil.copy(tiny_bert / "tokenizer.json", tmp_path)
    spec = BertEmbedder(tiny_bert).fit(["a"])._network
    states = _load.with_export(replace(spec, head=spec.head.for_tokens()))

    write_standalone(_load.graph_of(states), tmp_path / "states.onnx")
    with pytest.raises(ModelFormatError, match="its graph must end in a pooling"):
        BertEmbedder(tmp_path / "states.onnx", max_length=32).fit(["a"])


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


@pytest.mark.parametrize(
    ("estimator", "row"),
    [(AudioEmbedder, (np.zeros(800), 8000)), (CNNImageEmbedder, np.zeros((8, 8), np.uint8))],
)
def test_models_that_are_not_found_name_random_weights(estimator, row):
    with skembed.config_context(offline=True), pytest.raises(ModelNotFoundError) as raised:
        estimator("acme/none").fit([row])
    assert f"{estimator.__name__}(" in str(raised.value)
    assert "pretrained=False" in str(raised.value)


def test_texts_have_no_random_weights():
    with skembed.config_context(offline=True), pytest.raises(ModelNotFoundError) as raised:
        BertEmbedder("acme/none").fit(["row"])
    assert "pretrained" not in str(raised.value)


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


@pytest.mark.parametrize("values", [range(-2, 0), np.array([-2, -1]), (np.int64(-2), -1)])
def test_precompute_takes_any_sequence(tiny_bert, values):
    """`range` and arrays are what a grid is written with."""
    embedder = BertEmbedder(tiny_bert, precompute={"layers": values}).fit(["a"])
    listed = BertEmbedder(tiny_bert, precompute={"layers": [-2, -1]}).fit(["a"])
    assert embedder._network.pieces == listed._network.pieces


@pytest.mark.parametrize("pooling", [None, 3, [["mean"]], [None]])
def test_precompute_names_the_value_that_is_wrong(tiny_bert, pooling):
    """Values that are not names are refused as unknown names are."""
    with pytest.raises(ValueError, match=r"^precompute=.* parameter of BertEmbedder must be"):
        BertEmbedder(tiny_bert, precompute={"pooling": [pooling]}).fit(["a"])
