"""What training costs: rows a second of each `trainable`, beside a plain PyTorch loop.

All train a classifier on the same rows of AG News with the same batch size. The plain loop is what
one writes with Sentence Transformers' model and torch: shuffled batches, padded to the longest
text, AdamW, cross-entropy. `--mixed` runs both in bfloat16. "first epoch" includes the states or
vectors that are kept; "later epochs" do not.

    python benchmarks/bench_learning_cost.py [--rows 512] [--threads 2] [--repeats 3] [--mixed]
"""

import time
import warnings

import numpy as np
import torch
from _common import machine, minilm, parser, print_table
from bench_learning import rows_of

PARTS = ("head", "last:1", "last:2", "lora", "all")
BATCH = 32


def plain_loop(model, texts, labels, mixed):
    """Return the seconds of an epoch of a plain loop, tokenization included."""
    start = time.perf_counter()
    head = torch.nn.Linear(model.get_sentence_embedding_dimension(), labels.max() + 1)
    parameters = [*model.parameters(), *head.parameters()]
    optimizer = torch.optim.AdamW(parameters, lr=2e-5)
    model.train()
    order = np.random.default_rng(0).permutation(len(texts))
    for first in range(0, len(order), BATCH):
        rows = order[first : first + BATCH]
        with torch.autocast("cpu", torch.bfloat16, enabled=mixed):
            vectors = model(model.preprocess([texts[i] for i in rows]))["sentence_embedding"]
        loss = torch.nn.functional.cross_entropy(
            head(vectors.float()), torch.from_numpy(labels[rows])
        )
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
    return time.perf_counter() - start


def ours(trainable, texts, labels, mixed, n_threads):
    """Return the seconds of the first epoch with all that comes before it, and of a later one."""
    from skembed import BertEmbedder, Training

    training = Training(trainable=trainable, epochs=2, batch_size=BATCH, mixed_precision=mixed)
    embedder = BertEmbedder(training=training, random_state=0, cache=None, n_threads=n_threads)
    embedder.set_params(backend="torch")  # no export: only training is measured
    start = time.perf_counter()
    embedder.fit(texts, labels)
    whole = time.perf_counter() - start
    first, last = (epoch["seconds"] for epoch in embedder.training_history_["epochs"])
    return whole - (last - first), last - first


def main():
    from sentence_transformers import SentenceTransformer

    given = parser(__doc__)
    given.add_argument("--rows", type=int, default=512)
    given.add_argument("--threads", type=int, default=2)
    given.add_argument("--repeats", type=int, default=3)
    given.add_argument("--mixed", action="store_true")
    options = given.parse_args()
    print(machine("torch", "transformers", "sentence-transformers"), end="\n\n")
    texts, classes = rows_of(options.data)
    texts = list(texts[: options.rows])
    labels = np.unique(classes[: options.rows], return_inverse=True)[1]
    torch.set_num_threads(options.threads)
    warnings.simplefilter("ignore")
    folder = str(minilm())
    plain, found = [], {name: [] for name in PARTS}
    for _ in range(options.repeats):
        model = SentenceTransformer(folder, device="cpu")
        plain.append(plain_loop(model, texts, labels, options.mixed))
        for name, seconds in found.items():
            seconds.append(ours(name, texts, labels, options.mixed, options.threads))
    theirs = options.rows / np.median(plain)
    rows = [("plain loop", f"{theirs:.1f}", f"{theirs:.1f}", "1.00")]
    for name, seconds in found.items():
        first, later = options.rows / np.median(seconds, axis=0)
        rows.append((name, f"{first:.1f}", f"{later:.1f}", f"{later / theirs:.2f}"))
    print_table(("trainable", "first epoch, rows/s", "later epochs, rows/s", "of plain"), rows)


if __name__ == "__main__":
    main()
