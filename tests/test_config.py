"""Settings of the process, of a thread, and of a worker."""

import multiprocessing as mp
import os
import pickle
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

import skembed
from skembed import _config


@pytest.fixture(autouse=True)
def _settings_put_back():
    before, names = dict(_config._shared), set(_config._set_here)
    yield
    _config._shared.update(before)
    _config._set_here.clear()
    _config._set_here.update(names)


def test_settings_not_given_stay_as_they_are():
    """Each call changes what it names and nothing else."""
    skembed.set_config(n_threads=3)
    skembed.set_config(progress=True)
    config = skembed.get_config()
    assert config["n_threads"] == 3
    assert config["progress"] is True
    assert _config.own_settings() == {**_config._DEFAULTS, "n_threads": 3, "progress": True}


def test_the_answer_is_a_copy():
    """Whoever changes it changes no setting."""
    skembed.get_config()["n_threads"] = 99
    assert skembed.get_config()["n_threads"] is None


@pytest.mark.parametrize(
    ("variables", "folder"),
    [
        ({"SKEMBED_CACHE": "/some/where", "XDG_CACHE_HOME": "/xdg"}, "/some/where"),
        ({"SKEMBED_CACHE": "~/vectors"}, "/home/me/vectors"),
        ({"SKEMBED_CACHE": "", "XDG_CACHE_HOME": "/xdg"}, "/xdg/skembed"),
        ({"XDG_CACHE_HOME": "/xdg"}, "/xdg/skembed"),
        ({}, "/home/me/.cache/skembed"),
    ],
)
def test_the_cache_folder_comes_from_the_environment(monkeypatch, variables, folder):
    """SKEMBED_CACHE, else skembed under XDG_CACHE_HOME, else under ~/.cache."""
    for name in ("SKEMBED_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", "/home/me")
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert skembed.get_config()["cache_folder"] == folder


def test_a_given_cache_folder_is_absolute_and_wins(monkeypatch, tmp_path):
    """A relative path is resolved when it is set, not when it is used."""
    monkeypatch.chdir(tmp_path)
    skembed.set_config(cache_folder=Path("vectors"))
    monkeypatch.chdir("/")
    assert skembed.get_config()["cache_folder"] == str(tmp_path / "vectors")
    skembed.set_config(cache_folder=None)
    assert skembed.get_config()["cache_folder"] != str(tmp_path / "vectors")


@pytest.mark.parametrize(
    ("value", "offline"),
    [("1", True), ("on", True), ("Yes", True), ("true", True), ("0", False), ("", False)],
)
def test_offline_comes_from_the_hubs_variable(monkeypatch, value, offline):
    """HF_HUB_OFFLINE is read as the hub's client reads it; a setting wins over it."""
    monkeypatch.setenv("HF_HUB_OFFLINE", value)
    assert skembed.get_config()["offline"] is offline
    with skembed.config_context(offline=not offline):
        assert skembed.get_config()["offline"] is not offline


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"n_threads": 0}, "n_threads must be a positive int or None, got 0."),
        ({"n_threads": True}, "n_threads must be a positive int or None, got True."),
        ({"n_threads": "two"}, "n_threads must be a positive int or None, got 'two'."),
        ({"offline": 1}, "offline must be a bool or None, got 1."),
        ({"progress": None}, "progress must be a bool, got None."),
        ({"cache_folder": ""}, "cache_folder must be a path or None, got ''."),
        ({"cache_folder": "a\0b"}, "cache_folder must be a path or None, got 'a\\x00b'."),
    ],
)
def test_wrong_values_are_refused_and_change_nothing(setting, message):
    """By both ways of setting; what was right in the same call is not set either."""
    for change in (skembed.set_config, lambda **s: skembed.config_context(**s).__enter__()):
        with pytest.raises(ValueError) as raised:  # noqa: PT011
            change(**{"cache_folder": "/elsewhere"} | setting)
        assert str(raised.value) == message
        assert _config.own_settings() == _config._DEFAULTS


def test_numbers_of_numpy_are_numbers():
    """They become Python's, which ONNX Runtime's options take."""
    with skembed.config_context(n_threads=np.int64(2)):
        assert type(skembed.get_config()["n_threads"]) is int


def test_unknown_settings_are_refused():
    """A misspelt setting is not stored in silence."""
    with pytest.raises(TypeError, match=r"unknown settings \['threads'\]; the settings are"):
        skembed.config_context(threads=2).__enter__()
    with pytest.raises(TypeError, match="threads"):
        skembed.set_config(threads=2)


def test_contexts_nest_and_are_put_back_after_an_error():
    """Inner settings are laid over outer ones and end with their block."""

    def fail_inside():
        with skembed.config_context(n_threads=4):
            assert skembed.get_config()["n_threads"] == 4
            assert skembed.get_config()["offline"] is True
            raise KeyError("inside")

    with skembed.config_context(n_threads=2, offline=True):
        with pytest.raises(KeyError, match="inside"):
            fail_inside()
        assert skembed.get_config()["n_threads"] == 2
    assert _config.own_settings() == _config._DEFAULTS


def test_set_config_inside_a_context_ends_with_it():
    """It changes the settings in force, which are the block's."""
    with skembed.config_context(offline=True):
        skembed.set_config(n_threads=5)
        assert skembed.get_config()["n_threads"] == 5
    assert skembed.get_config()["n_threads"] is None


def test_a_context_holds_in_its_thread_alone():
    """Another thread sees what was set for the process."""
    seen = []
    skembed.set_config(n_threads=7)
    with skembed.config_context(n_threads=2):
        other = threading.Thread(target=lambda: seen.append(skembed.get_config()["n_threads"]))
        other.start()
        other.join()
        assert skembed.get_config()["n_threads"] == 2
    assert seen == [7]


def run_with_home(home, code, **variables):
    """Run code in a process whose home is `home` and which says nothing of telemetry itself."""
    environment = {k: v for k, v in os.environ.items() if "TELEMETRY" not in k}
    environment |= {"HOME": str(home), "XDG_CACHE_HOME": str(home), **variables}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def telemetry_files(home):
    return [path for path in home.rglob("*") if "onnxruntime" in path.name]


def test_onnxruntime_sends_no_usage_data(tiny_bert, tmp_path):
    """Its telemetry would leave a database and a device's id in the user's cache folder."""
    code = f"""
import skembed
vectors = skembed.BertEmbedder({str(tiny_bert)!r}, cache=None).fit_transform(["a"])
assert vectors.shape == (1, 16)
"""
    run_with_home(tmp_path, code)
    assert telemetry_files(tmp_path) == []


@pytest.mark.parametrize("name", ["ORT_DISABLE_TELEMETRY", "HF_HUB_DISABLE_TELEMETRY"])
def test_the_users_choice_of_telemetry_is_kept(tmp_path, name):
    code = f"import os, skembed; print(os.environ[{name!r}])"
    assert run_with_home(tmp_path, code).strip() == "1"
    assert run_with_home(tmp_path, code, **{name: "0"}).strip() == "0"


@pytest.mark.parametrize(("variables", "n_calls"), [({}, 1), ({"ORT_DISABLE_TELEMETRY": "0"}, 0)])
def test_an_onnxruntime_imported_before_is_told_to_stop(tmp_path, variables, n_calls):
    code = """
import sys, types
calls = []
sys.modules["onnxruntime"] = types.SimpleNamespace(disable_telemetry_events=lambda: calls.append(1))
import skembed
print(len(calls))
"""
    assert run_with_home(tmp_path, code, **variables).strip() == str(n_calls)


# -- worker processes -----------------------------------------------------------------------------

WORK = """
import multiprocessing as mp, sys
from concurrent.futures import ProcessPoolExecutor
import joblib, skembed
from skembed import BertEmbedder, Word2VecVectorizer

def ask(embedder):
    config = skembed.get_config()
    return config["n_threads"], config["cache_folder"], config["offline"], config["progress"]

def ask_in_child(embedder):
    with mp.get_context("spawn").Pool(1) as pool:
        return pool.apply(ask, (BertEmbedder(),))

def put(queue, embedder):
    queue.put(ask(embedder))

def set_then_ask(embedder):
    skembed.set_config(n_threads=9)
    return ask(pickled_again(embedder))

def pickled_again(embedder):
    skembed._config.apply_settings(dict(n_threads=5, offline=False, newer_setting=1))
    return embedder

if __name__ == "__main__":
    how = sys.argv[1]
    if how == "loky" or how == "multiprocessing":
        with joblib.parallel_config(how):
            run = lambda f, e: joblib.Parallel(n_jobs=2)([joblib.delayed(f)(e)] * 2)[0]
            skembed.set_config(n_threads=3, cache_folder="/a", offline=True, progress=True)
            print(run(ask, BertEmbedder()), run(ask, Word2VecVectorizer()))
            skembed.set_config(n_threads=None, progress=False)
            print(run(ask, BertEmbedder()), run(set_then_ask, BertEmbedder()))
    else:
        context = mp.get_context(how)
        with ProcessPoolExecutor(1, mp_context=context) as pool:
            pool.submit(ask, 0).result()  # started before anything is set
            skembed.set_config(n_threads=3, cache_folder="/a", offline=True, progress=True)
            queue = context.Queue()
            process = context.Process(target=put, args=(queue, BertEmbedder()), daemon=True)
            process.start()
            run = lambda f, e: pool.submit(f, e).result()
            print(run(ask, BertEmbedder()), queue.get(timeout=60))
            assert run(ask_in_child, BertEmbedder()) == (3, "/a", True, True)
            skembed.set_config(n_threads=None, progress=False)
            print(run(ask, BertEmbedder()), run(set_then_ask, BertEmbedder()))
"""


def run_program(folder, code, *arguments, name="program.py", before=()):
    path = folder / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(code)
    package = str(Path(skembed.__file__).parents[1])
    done = subprocess.run(
        [sys.executable, *before, *([] if before else [str(path)]), *arguments],
        capture_output=True,
        text=True,
        timeout=300,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(folder), package])},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@pytest.mark.parametrize("how", ["loky", "multiprocessing", "spawn", "forkserver", "fork"])
def test_settings_reach_the_workers_that_estimators_are_sent_to(tmp_path, how):
    """However they were started, before or after; what a worker sets itself holds there."""
    if how not in ("loky", "multiprocessing") and how not in mp.get_all_start_methods():
        pytest.skip(f"the system has no {how}")
    lines = run_program(tmp_path, WORK, how)
    assert lines[0] == "(3, '/a', True, True) (3, '/a', True, True)"
    assert lines[1] == "(None, '/a', True, False) (9, '/a', False, False)"


UNPICKLE = """
import pickle, skembed
with open("embedder.pkl", "rb") as file:
    pickle.load(file)
print(skembed.get_config()["n_threads"])
"""


def test_unpickling_changes_no_settings_of_a_main_process(tmp_path):
    """As of a file that another session wrote, or of this one's own pickles."""
    skembed.set_config(n_threads=3)
    pickled = pickle.dumps(skembed.BertEmbedder())
    (tmp_path / "embedder.pkl").write_bytes(pickled)
    assert run_program(tmp_path, UNPICKLE) == ["None"]
    skembed.set_config(n_threads=4)
    pickle.loads(pickled)
    assert skembed.get_config()["n_threads"] == 4


@pytest.mark.parametrize(
    ("name", "before", "arguments"),
    [
        ("pyspark/daemon.py", ["-m", "pyspark.daemon"], []),
        ("pyspark/worker.py", ["-m", "pyspark.worker"], []),
        ("distributed/cli/dask_worker.py", ["-m", "distributed.cli.dask_worker"], []),
        ("dask-worker", [], []),
        ("dask", [], ["worker"]),
        ("default_worker.py", [], []),  # Ray's
    ],
)
def test_workers_of_spark_dask_and_ray_apply_settings(tmp_path, name, before, arguments):
    """They are told by the programs that they run, for which files of their names stand in."""
    skembed.set_config(n_threads=3)
    (tmp_path / "embedder.pkl").write_bytes(pickle.dumps(skembed.BertEmbedder()))
    (tmp_path / name).parent.parent.mkdir(exist_ok=True)
    assert run_program(tmp_path, UNPICKLE, *arguments, name=name, before=before) == ["3"]


def test_dasks_client_is_no_worker(tmp_path):
    skembed.set_config(n_threads=3)
    (tmp_path / "embedder.pkl").write_bytes(pickle.dumps(skembed.BertEmbedder()))
    assert run_program(tmp_path, UNPICKLE, "scheduler", name="dask") == ["None"]


def test_settings_of_a_context_do_not_travel():
    """They hold in one thread; which thread pickles an estimator is an accident."""
    with skembed.config_context(n_threads=2):
        assert _config.own_settings() == _config._DEFAULTS
