"""Correctness: BertEmbedder against other implementations, and against itself in other batches.

On both backends, all with cache=None, all-MiniLM-L6-v2 in float32:

- Spearman correlation of cosines with the scores of STS-B dev;
- vectors against Sentence Transformers, on AG News;
- embed_tokens against the last hidden state of transformers' AutoModel, one text at a time;
- the same rows in another order, in batches of other sizes, one by one, on other numbers of
  threads: the greatest difference to the default's vectors.

    python benchmarks/bench_accuracy.py
"""

import numpy as np
from _common import ag_news, machine, minilm, parser, print_table, sts_b, verdict

GOALS = {"spearman": 0.866, "vectors": 1e-4, "tokens": 1e-5, "invariance": 1e-6}
BACKENDS = ("onnx", "torch")


def embedder(backend, **parameters):
    """Return a fitted BertEmbedder that caches nothing."""
    from skembed import BertEmbedder

    made = BertEmbedder(minilm(), backend=backend, device="cpu", cache=None, **parameters)
    return made.fit(["a row"])


def difference(one, other):
    """Return the greatest difference of two arrays."""
    return float(np.abs(one.astype(np.float64) - other).max())


def spearman(data):
    """Yield table rows: the correlation of cosines with people's scores."""
    from scipy.stats import spearmanr

    first, second, scores = sts_b(data)
    for backend in BACKENDS:
        made = embedder(backend)
        a, b = made.transform(first).astype(np.float64), made.transform(second).astype(np.float64)
        lengths = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
        value = spearmanr((a * b).sum(axis=1) / lengths, scores).statistic
        what = f"Spearman on STS-B dev, {len(scores)} pairs"
        yield what, backend, f"{value:.4f}", ">= 0.866", verdict(value >= GOALS["spearman"])


def against_sentence_transformers(rows):
    """Yield table rows: vectors against those of Sentence Transformers."""
    from sentence_transformers import SentenceTransformer

    reference = SentenceTransformer(minilm(), device="cpu").encode(rows, show_progress_bar=False)
    for backend in BACKENDS:
        value = difference(embedder(backend).transform(rows), reference)
        what = f"vectors against sentence-transformers, {len(rows)} rows"
        yield what, backend, f"{value:.1e}", "<= 1e-4", verdict(value <= GOALS["vectors"])


def against_transformers(rows):
    """Yield table rows: the vectors of tokens against those of transformers."""
    import torch
    from transformers import AutoModel, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(minilm())
    model = AutoModel.from_pretrained(minilm(), use_safetensors=True).eval()
    reference = []
    for row in rows:
        inputs = tokenizer(row, return_tensors="pt", truncation=True, max_length=256)
        with torch.inference_mode():
            states = model(**inputs).last_hidden_state[0].numpy()
        tokens = tokenizer.convert_ids_to_tokens(inputs["input_ids"][0])
        reference.append((tokens[1:-1], states[1:-1]))  # without [CLS] and [SEP]
    for backend in BACKENDS:
        embedded = embedder(backend).embed_tokens(rows)
        if [item.tokens for item in embedded] != [tokens for tokens, _ in reference]:
            raise SystemExit(f"{backend}: embed_tokens has other tokens than transformers")
        value = max(
            difference(item.vectors, states)
            for item, (_, states) in zip(embedded, reference, strict=True)
        )
        what = f"embed_tokens against transformers, {len(rows)} rows"
        yield what, backend, f"{value:.1e}", "<= 1e-5", verdict(value <= GOALS["tokens"])


def invariance(rows):
    """Yield table rows: the same rows otherwise arranged, against the default's vectors."""
    order = np.random.default_rng(0).permutation(len(rows))
    shuffled = [rows[i] for i in order]
    for backend in BACKENDS:
        plain = embedder(backend)
        reference = plain.transform(rows)
        ways = {
            "again": lambda plain=plain: plain.transform(rows),
            "another order": lambda plain=plain: plain.transform(shuffled)[np.argsort(order)],
            "one by one": lambda plain=plain: np.vstack([plain.transform([row]) for row in rows]),
        }
        for name, value in [("batch_size", 1), ("batch_size", 7), ("batch_size", "auto")]:
            ways[f"{name}={value}"] = lambda backend=backend, name=name, value=value: embedder(
                backend, **{name: value}
            ).transform(rows)
        for value in (1, 2):
            ways[f"n_threads={value}"] = lambda backend=backend, value=value: embedder(
                backend, n_threads=value
            ).transform(rows)
        for way, vectors in ways.items():
            answer = vectors()
            value = difference(answer, reference)
            shown = "0, bit-identical" if np.array_equal(answer, reference) else f"{value:.1e}"
            met = verdict(value <= GOALS["invariance"])
            yield f"{way}, {len(rows)} rows", backend, shown, "<= 1e-6", met


def main():
    arguments = parser(__doc__).parse_args()
    print(machine("skembed", "onnxruntime", "torch", "transformers", "sentence-transformers"))
    print("AG News: the first distinct rows\n")
    rows = ag_news(arguments.data, 1000)
    table = [
        *spearman(arguments.data),
        *against_sentence_transformers(rows),
        *against_transformers(rows[:50]),
        *invariance(rows[:500]),
    ]
    print_table(["what", "backend", "measured", "goal", ""], table)


if __name__ == "__main__":
    main()
