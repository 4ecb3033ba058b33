"""The one table of embedders that the common checks run on.

An estimator joins with one line: how to make it, and twelve rows of its kind.
"""

from typing import Any, NamedTuple

from skembed import BertEmbedder

TEXTS = [
    "The cat sat on the mat.",
    "A dog ran over the hill and down to the river, while the cat sat.",
    "",
    "naïve café",
    "The cat sat on the mat.",
    "to town",
    "a b c d e f g h i j k l m n o p q r s t u v",
    "over and over and over",
    "Who ran to the bank?",
    "river",
    "on a hill",
    "dog, cat; cat, dog",
]


class Case(NamedTuple):
    """An embedder to check: its class, its parameters ("{name}" is a fixture), its rows."""

    name: str
    estimator_class: type
    parameters: dict
    rows: list
    # The bound on what a row's vector may owe to its neighbours.
    tolerance: float
    # A parameter, and a value of it that changes the vectors.
    changing: tuple[str, Any]


CASES = [
    Case(
        "bert-onnx",
        BertEmbedder,
        {"model": "{tiny_bert}", "backend": "onnx"},
        TEXTS,
        1e-6,
        ("pooling", "max"),
    ),
    Case(
        "bert-torch",
        BertEmbedder,
        {"model": "{tiny_bert}", "backend": "torch"},
        TEXTS,
        1e-6,
        ("pooling", "max"),
    ),
    Case(
        "bert-uncached",
        BertEmbedder,
        {"model": "{tiny_bert}", "cache": None, "long_texts": "chunk", "max_length": 8},
        TEXTS,
        1e-6,
        ("layers", [0, -1]),
    ),
    Case(
        "bert-int8",
        BertEmbedder,
        {"model": "{tiny_bert}", "precision": "int8"},
        TEXTS,
        1e-6,
        ("pooling", "max"),
    ),
    Case(
        "bert-bfloat16",
        BertEmbedder,
        {"model": "{tiny_bert}", "precision": "bfloat16", "normalize": True},
        TEXTS,
        2e-3,
        ("truncate_dim", 8),
    ),
]
