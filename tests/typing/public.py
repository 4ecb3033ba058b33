"""What a type checker sees of the public names: mypy checks this file, nothing runs it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from typing_extensions import assert_type

import skembed
from skembed import (
    AudioEmbedder,
    BadRow,
    BertEmbedder,
    CNNImageEmbedder,
    EmbeddingCache,
    FastTextVectorizer,
    GloVeVectorizer,
    MemoryCache,
    Neighbor,
    StaticEmbedder,
    TokenEmbeddings,
    Word2VecVectorizer,
)
from skembed.cache import Store
from skembed.evaluation import AnalogyAccuracy, WordSimilarity, word_analogies, word_similarity
from skembed.exceptions import BadRowsError

TEXTS = ["a text", "another"]

# Estimators keep their class through `fit`, and give arrays of float32.
bert = BertEmbedder(pooling=["mean", "max"], layers=[-1, -2], cache=EmbeddingCache("folder"))
assert_type(bert.fit(TEXTS), BertEmbedder)
assert_type(bert.transform(TEXTS), NDArray[np.float32])
assert_type(bert.fit_transform(pd.Series(TEXTS)), NDArray[np.float32])
assert_type(bert.find_bad_rows(np.array(TEXTS)), list[BadRow])
assert_type(bert.get_feature_names_out(), NDArray[np.object_])
assert_type(bert.n_features_out_, int)
assert_type(bert.fingerprint_, str)
assert_type(bert.warm(TEXTS), BertEmbedder)
assert_type(bert.relocate(Path("folder")), BertEmbedder)
assert_type(bert.export("folder"), Path)
assert_type(bert.export("folder", format="transformers"), Path)
assert_type(bert.show_runtime(), dict[str, Any])
tokens = bert.embed_tokens(TEXTS)
assert_type(tokens, list[TokenEmbeddings])
assert_type(tokens[0].tokens, list[str])

static = StaticEmbedder(truncate_dim=64, cache="memory")
assert_type(static.fit(TEXTS), StaticEmbedder)
assert_type(static.transform(TEXTS), NDArray[np.float32])
assert_type(static.export(Path("folder")), Path)
assert_type(StaticEmbedder.distill(bert, "folder", TEXTS, int8=True), StaticEmbedder)

images = CNNImageEmbedder("resnet-18", pretrained=False, image_size=(32, 32), random_state=0)
assert_type(images.fit(np.zeros((2, 32, 32), np.uint8)), CNNImageEmbedder)
sounds = AudioEmbedder("cnn-small", front_end={"preset": "panns", "n_mels": 32})
assert_type(sounds.fit([(np.zeros(9), 16_000)]), AudioEmbedder)

# Word vectors.
words = Word2VecVectorizer(50, sg=1, stop_words="english", vectors=Path("vectors.txt"))
assert_type(words.fit(TEXTS), Word2VecVectorizer)
assert_type(words.vocabulary_, dict[str, int])
assert_type(words.vectors_, NDArray[np.float32])
assert_type(words.most_similar("a"), list[Neighbor])
assert_type(words.analogy(["king", np.zeros(50)], ["man"], method="3cosmul"), list[Neighbor])
assert_type(words.similarity("a", "b"), float)
assert_type(FastTextVectorizer(oov="ignore").fit([["a", "b"]]), FastTextVectorizer)
assert_type(GloVeVectorizer(tokenizer=str.split).fit(TEXTS).loss_curve_, list[float] | None)
assert_type(word_similarity(words, [("a", "b", 1.0)]), WordSimilarity)
assert_type(word_analogies(words), list[AnalogyAccuracy])

# Caches, settings, errors.
assert_type(skembed.memory_cache(), MemoryCache)
assert_type(skembed.memory_cache().info()["rows"], int)
assert_type(EmbeddingCache().info()[0], dict[str, Any])
assert_type(EmbeddingCache(max_bytes=None).verify(), dict[str, int])
assert_type(skembed.get_config()["n_threads"], int | None)
assert_type(skembed.exceptions.BadRowsError, type[BadRowsError])
with skembed.config_context(offline=True, cache_folder=Path("folder")):
    assert_type(skembed.set_config(progress=True), None)


class DictStore(Store):
    def __init__(self) -> None:
        self.rows: dict[tuple[str, bytes], bytes] = {}

    def read(self, fingerprint: str, keys: Sequence[bytes]) -> list[bytes | None]:
        return [self.rows.get((fingerprint, key)) for key in keys]

    def write(self, fingerprint: str, keys: Sequence[bytes], values: Sequence[bytes]) -> None:
        self.rows.update(((fingerprint, key), v) for key, v in zip(keys, values, strict=True))


BertEmbedder(cache=DictStore())


def chosen(bad_rows: Literal["raise", "zero", "nan"], device: str) -> BertEmbedder:
    return BertEmbedder(bad_rows=bad_rows, device=device)
