"""What caches keep of a row: packed and unpacked to the bit, for one window and for many."""

import numpy as np
import pytest

from skembed import MemoryCache
from skembed.embedder._kept import KeptPieces, Windows, n_windows_of, packed, unpacked

random = np.random.default_rng(0)


def windows_of(counts, widths=(3, 5)):
    counts = np.array(counts, dtype=np.intp)
    vectors = [random.standard_normal((counts.sum(), n), dtype=np.float32) for n in widths]
    weights = np.concatenate(
        [np.empty(0), *(random.random(n) if n != 1 else [1.0] for n in counts)]
    )
    return Windows(vectors, counts, weights, random.random(len(counts)) < 0.5)


@pytest.mark.parametrize("counts", [[1, 1, 1], [1, 3, 1, 2], [2], [0, 1], [0], []])
def test_windows_come_back_to_the_bit(counts):
    windows = windows_of(counts)
    values = [packed(v, *windows[1:]) for v in windows.vectors]
    for found, expected in zip(unpacked(values, [3, 5]), windows, strict=True):
        if isinstance(found, list):
            for one, other in zip(found, expected, strict=True):
                np.testing.assert_array_equal(one, other)
        else:
            np.testing.assert_array_equal(found, expected)


def test_a_value_of_another_length_is_damage():
    sizes = {n: n_windows_of(n, 3) for n in range(70)}
    assert {n: found for n, found in sizes.items() if found is not None} == {
        **{1: 0, 13: 1},
        **{41: 2, 61: 3},
    }


class Piece:
    def __init__(self, name):
        self.name = name


class Network:
    """Two pieces, of which a head needs some."""

    model = "a model"
    pieces = (Piece("a"), Piece("b"))
    fingerprints = ("a", "b")
    widths = (3, 5)

    def __init__(self, needed):
        self.head_pieces = [piece for piece in self.pieces if piece.name in needed]


def computed(kept, keys):
    """Compute the rows that nobody has; return how many these were."""
    hits, _, missing, damaged = kept.read(keys)
    rest = [key for key, hit in zip(keys, hits, strict=True) if not hit]
    _, mine, held = kept.claim(rest, missing := missing[:, ~hits], damaged[~hits])
    assert not held
    kept.write(rest, windows_of([1] * len(rest)), missing)
    return int(mine.sum())


KEYS = [b"1", b"2", b"3"]


def test_one_run_keeps_all_pieces_and_writes_only_what_is_missing():
    store = MemoryCache()
    assert computed(KeptPieces(store, Network("a")), KEYS[:2]) == 2
    assert store.info()["computed"] == 4
    for needed in ("a", "b", "ab"):
        assert computed(KeptPieces(store, Network(needed)), KEYS[:2]) == 0
    store.write("b", KEYS[2:], [b"\0" * 21])
    assert computed(KeptPieces(store, Network("b")), KEYS) == 0
    assert computed(KeptPieces(store, Network("ab")), KEYS) == 1
    assert store.info()["computed"] == 6


def test_who_needs_another_piece_of_a_claimed_row_waits_for_it():
    """Searches over heads in several processes compute each row once."""
    first, second = (KeptPieces(MemoryCacheOfThreads, Network(n)) for n in "ab")
    MemoryCacheOfThreads.thread = 1
    _, _, missing, damaged = first.read(KEYS)
    claims, mine, _ = first.claim(KEYS, missing, damaged)
    assert mine.all()
    MemoryCacheOfThreads.thread = 2
    _, _, theirs, damaged = second.read(KEYS)
    _, mine, held = second.claim(KEYS, theirs, damaged)
    assert not mine.any()
    ((fingerprint, rows),) = held
    assert (fingerprint, rows.tolist()) == ("a", [0, 1, 2])
    assert claims == [("a", KEYS)]
    first.write(KEYS, windows_of([1, 1, 1]), missing)
    assert MemoryCacheOfThreads.written == ["b", "a"]  # what is claimed comes last
    assert second.read(KEYS)[0].all()


class MemoryCacheOfThreads:
    """A store whose claims belong to `thread`."""

    thread, rows, claims, written = 0, {}, {}, []

    @classmethod
    def describe(cls, fingerprint, model):
        pass

    @classmethod
    def read(cls, fingerprint, keys):
        return [cls.rows.get((fingerprint, key)) for key in keys]

    @classmethod
    def claim(cls, fingerprint, keys):
        names = [(fingerprint, key) for key in keys]
        return [
            name not in cls.rows and cls.claims.setdefault(name, cls.thread) == cls.thread
            for name in names
        ]

    @classmethod
    def write(cls, fingerprint, keys, values):
        cls.written.append(fingerprint)
        cls.rows.update(((fingerprint, k), v) for k, v in zip(keys, values, strict=True))


def test_damaged_rows_are_computed_again():
    """A value of a wrong length, and pieces that disagree about the number of windows."""
    store = MemoryCache()
    kept = KeptPieces(store, Network("ab"))
    assert computed(kept, KEYS) == 3
    store.write("a", KEYS[:1], [b"half"])
    store.write("b", KEYS[1:2], [packed(*windows_of([2], (5,))[0], *windows_of([2])[1:])[0]])
    assert kept.read(KEYS)[0].tolist() == [False, False, True]
    assert computed(kept, KEYS) == 2
    assert kept.read(KEYS)[0].all()
