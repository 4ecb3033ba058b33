"""Parameters and attributes of one name are described in the same words by all estimators."""

import inspect
import re
from collections import defaultdict

import pytest
from numpydoc.docscrape import ClassDoc

import skembed

ESTIMATORS = [
    cls
    for cls in (getattr(skembed, name) for name in skembed.__all__)
    if inspect.isclass(cls) and hasattr(cls, "fit")
]
# Names whose meaning differs -> how many texts there are, and why.
DIFFERENT = {
    "model": (4, "each modality has its own files and families; static models are no networks"),
    "max_value": (2, "white in images, full scale in sounds"),
    "pooling": (4, "tokens, maps, windows and words have different poolings"),
    "layers": (3, "layers of transformers, stages of convolutional networks, states of both"),
    "normalize": (3, "folders of Sentence Transformers say it, others do not"),
    "truncate_dim": (4, "folders of Sentence Transformers say it; sounds have windows"),
    "precision": (3, "each kind of network loses something else in 8-bit integers"),
    "random_state": (3, "random weights, training, nothing"),
    "epochs": (2, "passes over texts or over counts of pairs"),
    "vectors": (2, "only FastTextVectorizer uses the n-grams of a file"),
    "fine_tune": (3, "gensim and GloVe continue from other parts of a file"),
}


def texts_by_name():
    """Return {name: {text: classes}} of parameters and attributes, defaults aside."""
    found = defaultdict(lambda: defaultdict(list))
    for cls in ESTIMATORS:
        doc = ClassDoc(cls)
        for item in doc["Parameters"] + doc["Attributes"]:
            text = " ".join(item.desc)
            text = re.sub(r"\s+", " ", re.sub(r" \[\d+\]_", "", text))  # citations are numbered
            found[item.name][text].append(cls.__name__)
    return found


TEXTS = texts_by_name()


@pytest.mark.parametrize("name", [name for name in TEXTS if name not in DIFFERENT])
def test_equal_parameters_are_described_in_equal_words(name):
    assert len(TEXTS[name]) == 1, dict(TEXTS[name])


@pytest.mark.parametrize("name", DIFFERENT)
def test_texts_that_differ_are_no_more_than_their_meanings(name):
    n_texts, _ = DIFFERENT[name]
    assert len(TEXTS[name]) == n_texts, dict(TEXTS[name])
