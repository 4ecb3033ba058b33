"""CacheInfo: a list of dicts that sums by name."""

import pytest

from skembed.cache import CacheInfo

LINES = [
    {"fingerprint": "f", "model": "a", "rows": 1, "bytes": 10, "hits": 100, "misses": 1000},
    {"fingerprint": "g", "model": "b", "rows": 2, "bytes": 20, "hits": 200, "misses": 2000},
]


def test_it_is_a_list():
    info = CacheInfo(LINES)
    assert info == LINES
    assert info[1]["model"] == "b"
    assert info[:1] == LINES[:1]


@pytest.mark.parametrize(
    ("name", "total"),
    [
        *[("rows", 3), ("bytes", 30), ("hits", 300), ("misses", 3000)],
        *[("computed", 3000), ("from_cache", 300)],
    ],
)
def test_names_give_sums(name, total):
    assert CacheInfo(LINES)[name] == total
    assert CacheInfo()[name] == 0


@pytest.mark.parametrize("name", ["model", "fingerprint", "other"])
def test_other_names_have_no_sum(name):
    with pytest.raises(KeyError, match=name):
        CacheInfo(LINES)[name]
