"""The one table of embedders that the common checks run on.

An estimator joins with one line: how to make it, and twelve rows of its kind.
"""

from io import BytesIO
from typing import Any, NamedTuple

import numpy as np
from PIL import Image
from time_series import SeriesEmbedder
from tiny_sounds import encoded, sound

from skembed import (
    AudioEmbedder,
    BertEmbedder,
    CNNImageEmbedder,
    FastTextVectorizer,
    GloVeVectorizer,
    StaticEmbedder,
    Word2VecVectorizer,
)

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

WORDS = [
    "the cat sat on the mat",
    "A dog ran over the hill, and the cat sat on a mat.",
    ["the", "dog", "sat"],
    "naïve café",
    "the cat sat on the mat",
    "to town",
    ("over", "and", "over"),
    "over and over and over",
    "Who ran to the bank?",
    "river",
    "on the hill",
    "dog, cat; cat, dog",
]


def _images():
    """Return twelve small images as bytes of files: of all formats, two of them equal."""
    random = np.random.default_rng(0)
    sizes = [(9, 7), (32, 32), (1, 1), (40, 12), (9, 7), (5, 33), (8, 8), (20, 21), (3, 50), (2, 2)]
    files = []
    for i, size in enumerate([*sizes, (16, 30), (31, 17)]):
        shape = size if i % 3 == 1 else (*size, 4 if i % 3 == 2 else 3)
        image = Image.fromarray(random.integers(0, 256, shape, dtype=np.uint8))
        form = ["PNG", "BMP", "WebP", "JPEG", "PNG", "GIF", "TIFF"][i % 7]
        file = BytesIO()
        image.convert("RGB" if form in ("BMP", "JPEG") else image.mode).save(file, form)
        files.append(file.getvalue())
    files[4] = files[0]
    return files


def _sounds():
    """Return twelve short sounds as bytes of files, of many lengths and rates, two equal."""
    files = []
    for i, rate in enumerate([8000, 16000, 22050, 44100, 11025, 48000] * 2):
        kind, subtype = [("WAV", "FLOAT"), ("FLAC", "PCM_16"), ("OGG", "VORBIS")][i % 3]
        files.append(encoded(sound(0.2 + 0.15 * i, rate, seed=i), rate, kind, subtype))
    files[4] = files[0]
    return files


def _series():
    """Return twelve series of many lengths, two of them equal."""
    random = np.random.default_rng(0)
    series = [tuple(random.normal(size=5 + 7 * (i % 5)).cumsum()) for i in range(12)]
    series[4] = series[0]
    return series


IMAGES = _images()
SOUNDS = _sounds()
SERIES = _series()
SMALL = {"vector_size": 8, "min_count": 1, "random_state": 0}


class Case(NamedTuple):
    """An embedder to check: its class, its parameters ("{name}" is a fixture), its rows."""

    name: str
    estimator_class: type
    parameters: dict
    rows: list
    # The bound on what a row's vector may owe to its neighbors.
    tolerance: float
    # A parameter, and a value of it that changes the vectors.
    changing: tuple[str, Any]
    # Whether fit learns from the rows: after other rows, a row has another vector.
    learns: bool = False


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
        "bert-no-special-tokens",
        BertEmbedder,
        {"model": "{tiny_plain}", "backend": "torch", "pooling": ["max", "mean"]},
        TEXTS,
        1e-6,
        ("normalize", True),
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
        "bert-external-graph",
        BertEmbedder,
        {"model": "{tiny_graph}"},
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
    Case(
        "cnn-onnx",
        CNNImageEmbedder,
        {"model": "{tiny_cnn}", "backend": "onnx"},
        IMAGES,
        1e-6,
        ("pooling", "avg_max"),
    ),
    Case(
        "cnn-torch",
        CNNImageEmbedder,
        {"model": "{tiny_cnn}", "backend": "torch"},
        IMAGES,
        1e-6,
        ("layers", [0, -1]),
    ),
    Case(
        "cnn-random",
        CNNImageEmbedder,
        {
            "model": "resnet-small-32",
            "pretrained": False,
            "random_state": 0,
            "image_size": 16,
            "normalize": True,
        },
        IMAGES,
        1e-6,
        ("random_state", 1),
    ),
    Case(
        "cnn-bfloat16",
        CNNImageEmbedder,
        {"model": "{tiny_cnn}", "precision": "bfloat16", "normalize": True, "cache": None},
        IMAGES,
        2e-3,
        ("pooling", "gem"),
    ),
    Case(
        "audio-onnx",
        AudioEmbedder,
        {"model": "{tiny_hearing}", "backend": "onnx"},
        SOUNDS,
        1e-6,
        ("pooling", "max"),
    ),
    Case(
        "audio-torch",
        AudioEmbedder,
        {"model": "{tiny_hearing}", "backend": "torch", "window_pooling": "mean_max"},
        SOUNDS,
        1e-6,
        ("layers", [0, -1]),
    ),
    Case(
        "audio-random",
        AudioEmbedder,
        {
            "model": "cnn-small",
            "pretrained": False,
            "random_state": 0,
            "window_seconds": 0.5,
            "normalize": True,
        },
        SOUNDS,
        1e-6,
        ("hop_seconds", 0.25),
    ),
    Case(
        "audio-bfloat16",
        AudioEmbedder,
        {"model": "{tiny_hearing}", "precision": "bfloat16", "normalize": True, "cache": None},
        SOUNDS,
        2e-3,
        ("pooling", "max"),
    ),
    *(
        Case(
            f"series-{backend}",
            SeriesEmbedder,
            {"backend": backend, "random_state": 0},
            SERIES,
            1e-6,
            ("pooling", "max"),
        )
        for backend in ("onnx", "torch")
    ),
    Case(
        "static",
        StaticEmbedder,
        {"model": "{tiny_static}"},
        TEXTS,
        1e-6,
        ("normalize", False),
    ),
    Case(
        "static-cached",
        StaticEmbedder,
        {"model": "{tiny_static_sentence}", "cache": "memory", "prompt": "a "},
        TEXTS,
        1e-6,
        ("truncate_dim", 3),
    ),
    Case("static-shipped", StaticEmbedder, {}, TEXTS, 1e-6, ("truncate_dim", 64)),
    Case("word2vec", Word2VecVectorizer, SMALL | {"pooling": "sif"}, WORDS, 1e-6, ("sg", 1), True),
    Case("fasttext", FastTextVectorizer, SMALL | {"bucket": 99}, WORDS, 1e-6, ("max_n", 4), True),
    Case("glove", GloVeVectorizer, SMALL, WORDS, 1e-6, ("window", 1), True),
    Case(
        "word2vec-file",
        Word2VecVectorizer,
        {"vectors": "{word_file}"},
        WORDS,
        1e-6,
        ("pooling", "min_max"),
    ),
]
