"""Mistakes that a type checker must find: mypy fails on a `type: ignore` that hides none."""

import skembed
from skembed import BertEmbedder, CNNImageEmbedder, EmbeddingCache, GloVeVectorizer
from skembed.evaluation import word_analogies

found = skembed.BertEmbeder  # type: ignore[attr-defined]
found = skembed.text.BertEmbeder  # type: ignore[attr-defined]
BertEmbedder(poling="mean")  # type: ignore[call-arg]
BertEmbedder(pooling=3)  # type: ignore[arg-type]
BertEmbedder(layers=0.5)  # type: ignore[arg-type]
BertEmbedder("model", "revision")  # type: ignore[call-arg]
BertEmbedder(bad_rows="skip")  # type: ignore[arg-type]
BertEmbedder(cache=3)  # type: ignore[arg-type]
BertEmbedder().fit(None)  # type: ignore[arg-type]
BertEmbedder().transform(3)  # type: ignore[arg-type]
BertEmbedder().transform(text for text in ("a", "b"))  # type: ignore[arg-type]
found = BertEmbedder().transform(["a"]).nonsense  # type: ignore[attr-defined]
CNNImageEmbedder(image_size="small")  # type: ignore[arg-type]
GloVeVectorizer(pooling="cls")  # type: ignore[arg-type]
GloVeVectorizer(tokenizer=len)  # type: ignore[arg-type]
GloVeVectorizer().most_similar("cat", topn="ten")  # type: ignore[arg-type]
found = GloVeVectorizer().most_similar("cat")[0].nearness  # type: ignore[attr-defined]
word_analogies(GloVeVectorizer(), method="3cos")  # type: ignore[arg-type]
EmbeddingCache(max_bytes="1 GB")  # type: ignore[arg-type]
skembed.memory_cache().read("fingerprint", ["key"])  # type: ignore[list-item]
skembed.set_config(ofline=True)  # type: ignore[call-arg]
skembed.set_config(n_threads="all")  # type: ignore[arg-type]
with skembed.config_context(ofline=True):  # type: ignore[call-arg]
    found = skembed.get_config()["ofline"]  # type: ignore[typeddict-item]
