"""What every store promises, tested on ours and on a store that a user might write."""

import copy
import pickle
import threading
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeoutError  # the builtin since 3.11

import numpy as np
import pytest
from numpydoc.validate import validate
from sklearn.base import clone
from sklearn.utils._param_validation import InvalidParameterError

from skembed import BertEmbedder
from skembed.cache import CacheInfo, EmbeddingCache, MemoryCache, NoCache, Store
from skembed.cache._store import METHODS, missing_methods

KEYS = [bytes([number]) * 32 for number in range(60)]
VALUES = [key * 2 for key in KEYS]
F, G = "f" * 64, "a" * 64


class OwnStore:
    """A store in a dict, with claims; it inherits nothing."""

    def __init__(self):
        self.models, self.values, self.claims = {}, {}, {}
        self.changed = threading.Condition()

    def __deepcopy__(self, memo):
        return self

    def describe(self, fingerprint, model):
        self.models[fingerprint] = model

    def read(self, fingerprint, keys):
        return [self.values.get((fingerprint, key)) for key in keys]

    def claim(self, fingerprint, keys):
        me, names = threading.get_ident(), [(fingerprint, key) for key in keys]
        with self.changed:
            free = [n not in self.values and self.claims.get(n, me) == me for n in names]
            self.claims.update((n, me) for n, granted in zip(names, free, strict=True) if granted)
        return free

    def write(self, fingerprint, keys, values):
        self.values.update(((fingerprint, k), v) for k, v in zip(keys, values, strict=True))
        self.release(fingerprint, keys)

    def release(self, fingerprint, keys):
        with self.changed:
            for key in keys:
                if self.claims.get((fingerprint, key)) == threading.get_ident():
                    del self.claims[fingerprint, key]
            self.changed.notify_all()

    def wait(self, fingerprint, keys):
        with self.changed:
            self.changed.wait_for(lambda: any((fingerprint, k) not in self.claims for k in keys))

    def info(self):
        kept = [fingerprint for fingerprint, _ in self.values]
        more = {"bytes": 0, "hits": 0, "misses": 0}
        lines = ((f, model, kept.count(f)) for f, model in self.models.items())
        return CacheInfo(dict(fingerprint=f, model=m, rows=n, **more) for f, m, n in lines)


class LeastStore(Store):
    """What a user must write at least."""

    def __init__(self):
        self.values = {}

    def read(self, fingerprint, keys):
        return [self.values.get((fingerprint, key)) for key in keys]

    def write(self, fingerprint, keys, values):
        self.values.update(((fingerprint, k), v) for k, v in zip(keys, values, strict=True))


KEEPING = ["memory", "disk", "own", "least"]
CLAIMING = ["memory", "disk", "own"]


@pytest.fixture
def store(request, tmp_path):
    return {
        "memory": MemoryCache,
        "disk": lambda: EmbeddingCache(tmp_path / "cache"),
        "own": OwnStore,
        "least": LeastStore,
        "none": NoCache,
    }[request.param]()


def stores(*names):
    return pytest.mark.parametrize("store", names, indirect=True)


def elsewhere(function, *args):
    """Call a function in another thread."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(function, *args).result(30)


def in_two_threads(function, *arguments):
    """Call a function in two threads at once, with one argument each; return its results."""
    start = threading.Barrier(2)

    def work(argument):
        start.wait(30)
        return function(argument)

    with ThreadPoolExecutor(2) as pool:
        return [future.result(120) for future in [pool.submit(work, a) for a in arguments]]


# -- keeping rows ---------------------------------------------------------------------------------


@stores(*KEEPING)
def test_rows_are_kept_under_their_network(store):
    store.write(F, KEYS[:2], VALUES[:2])
    store.write(G, KEYS[:1], [b"other"])
    assert store.read(F, KEYS[:3]) == [*VALUES[:2], None]
    assert store.read(G, KEYS[:2]) == [b"other", None]


@stores(*KEEPING)
def test_a_row_written_again_is_replaced(store):
    store.write(F, KEYS[:1], [b"old"])
    store.write(F, KEYS[:1], [b"new, and longer"])
    assert store.read(F, KEYS[:1]) == [b"new, and longer"]


@stores(*KEEPING, "none")
def test_no_keys(store):
    assert store.read(F, []) == []
    assert list(store.claim(F, [])) == []
    store.write(F, [], [])
    store.release(F, [])


@stores(*KEEPING, "none")
def test_info_has_one_shape(store):
    store.describe(F, "a model")
    store.write(F, KEYS[:2], VALUES[:2])
    store.read(F, KEYS[:3])
    info = store.info()
    assert isinstance(info, CacheInfo)
    for line in info:
        assert list(line) == ["fingerprint", "model", "rows", "bytes", "hits", "misses"]
        assert [type(value) for value in line.values()] == [str, str, int, int, int, int]
    assert info["rows"] == (0 if isinstance(store, (LeastStore, NoCache)) else 2)


# -- claims ---------------------------------------------------------------------------------------


@stores(*CLAIMING)
def test_a_row_is_claimed_once(store):
    """Until it is written or released; never while it is kept."""
    assert store.claim(F, KEYS[:3]) == [True, True, True]
    assert elsewhere(store.claim, F, KEYS[:4]) == [False, False, False, True]
    assert store.claim(G, KEYS[:1]) == [True]
    store.write(F, KEYS[:1], VALUES[:1])
    store.release(F, KEYS[:2])  # also of a row that was written
    assert elsewhere(store.claim, F, KEYS[:3]) == [False, True, False]
    assert store.read(F, KEYS[:1]) == VALUES[:1]


@stores(*CLAIMING)
def test_a_claim_left_by_an_interrupt_is_granted_to_its_thread_again(store):
    assert store.claim(F, KEYS[:1]) == [True]
    assert store.claim(F, KEYS[:1]) == [True]


@stores(*CLAIMING)
def test_release_ends_claims_of_the_calling_thread_only(store):
    store.claim(F, KEYS[:1])
    elsewhere(store.release, F, KEYS[:1])
    assert elsewhere(store.claim, F, KEYS[:1]) == [False]
    store.release(F, KEYS[:1])
    assert elsewhere(store.claim, F, KEYS[:1]) == [True]


@stores("least", "none")
def test_stores_without_claims_grant_all_and_wait_for_nobody(store):
    for _ in range(2):
        assert store.claim(F, KEYS[:2]) == [True, True]
    assert elsewhere(store.claim, F, KEYS[:2]) == [True, True]
    store.release(F, KEYS[:2])
    store.wait(F, KEYS[:2])


@stores(*KEEPING, "none")
def test_wait_returns_at_once_if_nobody_computes_a_row(store):
    elsewhere(store.wait, F, KEYS[:2])


@stores(*CLAIMING)
@pytest.mark.parametrize("end", ["write", "release"])
def test_wait_ends_when_one_row_is_written_or_released(store, end):
    store.claim(F, KEYS[:2])
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(store.wait, F, KEYS[:2])
        with pytest.raises(FutureTimeoutError):
            waiting.result(0.2)
        store.claim(F, KEYS[2:3])
        store.release(F, KEYS[2:3])  # a row that the thread does not wait for
        with pytest.raises(FutureTimeoutError):
            waiting.result(0.1)
        store.write(F, KEYS[1:2], VALUES[1:2]) if end == "write" else store.release(F, KEYS[1:2])
        waiting.result(30)


@stores(*CLAIMING)
def test_two_threads_compute_each_row_once(store):
    """Both need all rows, in opposite orders."""
    computed = []

    def compute_all(missing):
        while missing:
            part = missing[:5]
            granted = store.claim(F, part)
            mine = [key for key, is_mine in zip(part, granted, strict=True) if is_mine]
            computed.extend(mine)
            store.write(F, mine, [key * 2 for key in mine])
            if not mine:
                store.wait(F, part)
            values = store.read(F, missing)
            missing = [key for key, value in zip(missing, values, strict=True) if value is None]
        return store.read(F, KEYS)

    assert in_two_threads(compute_all, KEYS, KEYS[::-1]) == [VALUES, VALUES]
    assert sorted(computed) == KEYS


# -- embedders ------------------------------------------------------------------------------------


@pytest.fixture
def embedder(tiny_bert, store):
    return BertEmbedder(tiny_bert, backend="torch", cache=store, n_threads=1)


def counting(monkeypatch):
    """Return a list that receives the number of rows of each run of the network."""
    runs, run = [], BertEmbedder._run

    def counted(self, network, prepared):
        runs.append(len(prepared))
        return run(self, network, prepared)

    monkeypatch.setattr(BertEmbedder, "_run", counted)
    return runs


@stores(*KEEPING, "none")
def test_embedders_use_a_store(embedder, store, monkeypatch):
    """Each text is computed once, if the store keeps it; vectors do not depend on the store."""
    runs = counting(monkeypatch)
    texts = [f"the cat sat on {number}" for number in range(20)]
    expected = clone(embedder).set_params(cache=None).fit_transform(texts)
    runs.clear()
    for _ in range(2):
        np.testing.assert_array_equal(clone(embedder).fit_transform(texts), expected)
    assert sum(runs) == (40 if isinstance(store, NoCache) else 20)


@stores(*KEEPING)
def test_clones_share_a_store(embedder, store):
    assert clone(embedder).cache is store
    assert copy.deepcopy(store) is store


@stores(*CLAIMING)
def test_embedders_in_two_threads_compute_each_text_once(embedder, monkeypatch):
    runs = counting(monkeypatch)
    texts = [f"the cat sat on {number}" for number in range(40)]
    one, other = in_two_threads(embedder.fit(texts).transform, texts, texts[::-1])
    np.testing.assert_array_equal(one, other[::-1])
    assert sum(runs) == 40


@stores("least")
def test_two_threads_without_claims_get_equal_vectors(embedder):
    texts = [f"the cat sat on {number}" for number in range(40)]
    one, other = in_two_threads(embedder.fit(texts).transform, texts, texts)
    np.testing.assert_array_equal(one, other)


@stores(*CLAIMING)
def test_claims_are_released_when_computing_fails(embedder, monkeypatch):
    """Another thread then computes the rows instead of waiting for ever."""
    embedder.fit(["a"])
    with monkeypatch.context() as patch:
        patch.setattr(BertEmbedder, "_run", lambda *args: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            embedder.transform(["the cat"])
    assert elsewhere(embedder.transform, ["the cat"]).shape == (1, 16)


@stores("own")
def test_a_store_learns_which_model_a_fingerprint_stands_for(embedder, store, tiny_bert):
    embedder.fit_transform(["a"])
    assert set(store.models.values()) == {str(tiny_bert)}
    for fingerprint, key in store.values:
        assert len(fingerprint) == 64
        assert (type(key), len(key)) == (bytes, 32)


@stores("least")
def test_damaged_values_are_computed_again(embedder, store):
    """Values of a wrong length are; a store must detect other damage itself."""
    expected = embedder.fit_transform(["a", "b"])
    for name in store.values:
        store.values[name] = b"short"
    np.testing.assert_array_equal(embedder.transform(["a", "b"]), expected)
    assert b"short" not in store.values.values()


@stores("least")
def test_errors_of_a_store_are_passed_on(embedder, store):
    embedder.fit(["a"])
    store.read = lambda fingerprint, keys: 1 / 0
    with pytest.raises(ZeroDivisionError):
        embedder.transform(["a"])


@stores("memory", "disk", "least", "none")
def test_stores_that_can_be_pickled_travel_with_their_embedder(embedder):
    other = pickle.loads(pickle.dumps(embedder.fit(["a"])))
    np.testing.assert_array_equal(other.transform(["b"]), embedder.transform(["b"]))


# -- what is no store -----------------------------------------------------------------------------


def test_store_has_seven_methods():
    assert [name for name in vars(Store) if not name.startswith("_")] == list(METHODS)
    for cls in (MemoryCache, EmbeddingCache, NoCache, LeastStore):
        assert issubclass(cls, Store)
    assert missing_methods(OwnStore()) == []


@pytest.mark.parametrize("name", ["", *(f".{name}" for name in METHODS)])
def test_the_docstrings_of_store_follow_numpydoc(name):
    """Those of its subclasses refer to them."""
    left_out = {"GL01", "GL02", "GL03", "SS06", "ES01", "SA01", "SA04", "EX01"}
    errors = validate(f"skembed.cache._store.Store{name}")["errors"]
    assert [error for error in errors if error[0] not in left_out] == []


def test_a_store_must_read_and_write():
    class Half(Store):
        def read(self, fingerprint, keys):
            return [None] * len(keys)

    with pytest.raises(TypeError, match=r"abstract method.*write"):
        Half()


def test_missing_methods_are_listed(tiny_bert):
    class Half:
        def read(self, fingerprint, keys):
            return [None] * len(keys)

        def write(self, fingerprint, keys, values):
            pass

        info = None

    with pytest.raises(InvalidParameterError) as raised:
        BertEmbedder(tiny_bert, cache=Half()).fit(["a"])
    assert str(raised.value) == (
        "The 'cache' parameter must be a store. Half lacks describe(), claim(), release(), wait(), "
        "info(). Inherit from skembed.cache.Store, which has defaults for all methods but read() "
        "and write()."
    )


@pytest.mark.parametrize("cache", [3, {}, MemoryCache, True], ids=str)
def test_other_values_are_refused_with_the_message_of_scikit_learn(tiny_bert, cache):
    message = (
        r"The 'cache' parameter of BertEmbedder must be .* a store \(see skembed.cache.Store\)"
    )
    with pytest.raises(InvalidParameterError, match=message):
        BertEmbedder(tiny_bert, cache=cache).fit(["a"])
