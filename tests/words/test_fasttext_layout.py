"""The layout of ``.bin`` files: settings in both directions, the size that a header states."""

import pytest

from skembed.words._fasttext_layout import (
    SETTINGS,
    START,
    Settings,
    settings_from_gensim,
    stated_size,
)
from skembed.words._files import read_vectors


@pytest.mark.parametrize("hs", [0, 1])
@pytest.mark.parametrize("sg", [0, 1])
def test_settings_in_both_directions(hs, sg):
    given = {"window": 3, "epochs": 9, "min_count": 2, "negative": 7, "sample": 0.5}
    given |= {"hs": hs, "sg": sg}
    settings = settings_from_gensim(given, n_dims=4, n_buckets=50, min_n=2, max_n=6)
    assert settings.for_gensim(123) == given | {"n_tokens": 123}
    again = Settings(*SETTINGS.unpack(SETTINGS.pack(*settings)))
    assert again == settings
    assert (again.dim, again.bucket, again.minn, again.maxn) == (4, 50, 2, 6)


@pytest.mark.parametrize(
    ("min_n", "max_n", "expected"), [(3, 6, True), (3, 3, True), (5, 3, False), (0, 0, False)]
)
def test_has_ngrams(min_n, max_n, expected):
    settings = settings_from_gensim({}, n_dims=4, n_buckets=50, min_n=min_n, max_n=max_n)
    assert settings.has_ngrams is expected


def test_the_stated_size_is_that_of_the_file_without_the_letters_of_words(fasttext_file):
    content = fasttext_file.read_bytes()
    n_letters = sum(len(word.encode()) for word in read_vectors(fasttext_file).words)
    assert stated_size(content[:START]) == len(content) - n_letters
    assert stated_size(content[: START - 1]) == 0
