"""A search over trainings with ``trainable="last:2"``: what kept states save.

GridSearchCV of 5 folds and 4 candidates on rows of AG News, MiniLM, the same seed in each variant:

- "whole network": all layers run in each step (a function as `augment` keeps no states);
- "kept in each fit": ``cache=None``, states are computed once in each fit;
- "kept in memory", "kept on disk": all fits share them;
- "kept in memory, float16": as it is done by itself above 256 MiB.

Only fits are timed: the score is the last loss, so no row is embedded.

    python benchmarks/bench_kept_states.py [--rows 400] [--backend torch]
"""

import tempfile
import time

import numpy as np
from _common import machine, parser, print_table
from bench_learning import rows_of
from sklearn.model_selection import GridSearchCV

GRID = {"training__epochs": [1, 2], "training__learning_rate": [1e-4, 2e-4]}


def unchanged(batch):
    return batch


def search(texts, labels, cache, augment, backend):
    """Return the seconds of all fits, and all their losses, step by step."""
    from skembed import BertEmbedder, Training

    training = Training("classification", trainable="last:2", augment=augment)
    embedder = BertEmbedder(training=training, cache=cache, backend=backend, random_state=0)
    losses = []

    def score(fitted, X, y):
        found = [step["loss"] for step in fitted.training_history_["steps"]]
        losses.append(found)
        return -found[-1]

    start = time.perf_counter()
    GridSearchCV(embedder, GRID, cv=5, scoring=score, refit=False).fit(texts, labels)
    return time.perf_counter() - start, np.concatenate(losses)


def main():
    from skembed import EmbeddingCache, MemoryCache
    from skembed.training import _kept

    given = parser(__doc__)
    given.add_argument("--rows", type=int, default=400)
    given.add_argument("--backend", default="torch")
    options = given.parse_args()
    print(machine("torch", "transformers", "scikit-learn"), end="\n\n")
    texts, labels = rows_of(options.data)
    chosen = np.random.default_rng(0).permutation(len(texts))[: options.rows]
    texts, labels = list(texts[chosen]), labels[chosen]
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        variants = [
            ("whole network", None, unchanged),
            ("kept in each fit", None, None),
            ("kept in memory", MemoryCache(), None),
            ("kept on disk", EmbeddingCache(folder), None),
            ("kept in memory, float16", MemoryCache(), None),
        ]
        for name, cache, augment in variants:
            limit = _kept._HALF_BYTES
            _kept._HALF_BYTES = 0 if "float16" in name else limit
            seconds, losses = search(texts, labels, cache, augment, options.backend)
            _kept._HALF_BYTES = limit
            rows.append((name, seconds, losses))
            print(f"{name}: {seconds:.1f} s", flush=True)
    expected = rows[0][2]
    print_table(
        ("20 fits", "seconds", "largest difference of a loss"),
        [(name, f"{s:.1f}", f"{np.abs(found - expected).max():.1e}") for name, s, found in rows],
    )


if __name__ == "__main__":
    main()
