"""After training: ONNX Runtime beside torch, int8, the size of a pickle, serving without torch.

A classifier is trained on 64 rows of each class of AG News, for each `trainable`.

    python benchmarks/bench_learning_after.py [--scored 1000]
"""

import pickle
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path

import numpy as np
from _common import machine, parser, print_table
from bench_learning import rows_of
from sklearn.linear_model import LogisticRegression

PARTS = ("head", "last:2", "lora", "all")
SERVED = """
import sys
import numpy as np
from skembed import BertEmbedder
texts = open(sys.argv[2], encoding="utf-8").read().split("\\0")
np.save(sys.argv[3], BertEmbedder(sys.argv[1]).fit(texts).transform(texts))
assert not {"torch", "transformers"} & set(sys.modules)
"""


def served(embedder, texts, folder):
    """Return the vectors of a new process without torch, from the exported folder."""
    embedder.export(folder / "served")
    (folder / "texts").write_text("\0".join(texts), encoding="utf-8")
    paths = [str(folder / name) for name in ("served", "texts", "vectors.npy")]
    subprocess.run([sys.executable, "-c", SERVED, *paths], check=True)
    return np.load(paths[2])


def run_by_torch(embedder, texts, folder):
    """Return the vectors that torch computes with the same learned weights."""
    from skembed import BertEmbedder

    embedder.export(folder / "torch", format="transformers")
    return BertEmbedder(folder / "torch", backend="torch", cache=None).fit_transform(texts)


def main():
    from skembed import BertEmbedder, Training

    given = parser(__doc__)
    given.add_argument("--scored", type=int, default=1000)
    options = given.parse_args()
    print(machine("torch", "onnxruntime", "transformers"), end="\n\n")
    warnings.simplefilter("ignore")
    texts, labels = rows_of(options.data)
    order = np.random.default_rng(0).permutation(len(texts))
    train = np.concatenate([[i for i in order if labels[i] == c][:64] for c in np.unique(labels)])
    scored = np.setdiff1d(order, train, assume_unique=True)[: options.scored]
    X, y, other = list(texts[train]), labels[train], list(texts[scored])
    table = []
    for trainable in PARTS:
        found = {}
        for precision in ("float32", "int8"):
            embedder = BertEmbedder(
                training=Training(trainable=trainable, epochs=3),
                backend="onnx",
                precision=precision,
                random_state=0,
                n_threads=1,
                cache=None,
            )
            vectors = embedder.fit_transform(X, y)
            classifier = LogisticRegression(max_iter=1000).fit(vectors, y)
            answers = embedder.transform(other)
            found[precision] = f"{classifier.score(answers, labels[scored]):.3f}"
            if precision == "float32":
                size = f"{len(pickle.dumps(embedder)) / 1e6:.1f}"
                with tempfile.TemporaryDirectory() as folder:
                    again = {
                        "torch": run_by_torch(embedder, other, Path(folder)),
                        "served": served(embedder, other[:50], Path(folder)),
                    }
                differences = [
                    f"{np.abs(vectors - answers[: len(vectors)]).max():.1e}"
                    for vectors in again.values()
                ]
        table.append((trainable, *differences, *found.values(), size))
    columns = ("trainable", "torch - ONNX", "served - ONNX", "accuracy", "int8", "pickle, MB")
    print_table(columns, table)


if __name__ == "__main__":
    main()
