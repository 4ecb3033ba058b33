"""Exported folders, and a model's own, with the core dependencies alone; run by ``.ci/run``.

    python tests/serving.py export FOLDER    # where torch is
    python tests/serving.py serve FOLDER     # where it is not

Not a pytest module: the two halves run in two environments.
"""

import importlib.util
import shutil
import sys
from pathlib import Path

import numpy as np

from skembed import AudioEmbedder, BertEmbedder, CNNImageEmbedder

TEXTS = ["A cat sits on the mat.", "Stocks fell sharply.", "", "naïve café " * 200]
IMAGES = np.random.default_rng(0).integers(0, 256, (3, 40, 50, 3), dtype=np.uint8)
SOUNDS = [(np.sin(np.arange(n) / 9).astype(np.float32), 16000) for n in (9000, 20000)]
LEFT_OUT = ("torch", "transformers", "onnxscript", "sentence_transformers", "pandas")


def export(folder):
    """Write a folder for each precision, and the vectors that it must give."""
    for precision in ("float32", "int8"):
        embedder = BertEmbedder(precision=precision, long_texts="chunk").fit(TEXTS)
        embedder.export(folder / precision)
        np.save(folder / f"{precision}.npy", embedder.transform(TEXTS))
    shutil.copytree(embedder.show_runtime()["path"], folder / "weights")
    random = {"pretrained": False, "random_state": 0}
    for name, embedder, rows in (
        ("images", CNNImageEmbedder("resnet-small-32", **random), IMAGES),
        ("sounds", AudioEmbedder("cnn-small", **random), SOUNDS),
    ):
        embedder.fit(rows).export(folder / name)
        np.save(folder / f"{name}.npy", embedder.transform(rows))


def serve(folder):
    """Load the exported folders, build the graph of the model's own folder, and compare."""
    there = [name for name in LEFT_OUT if importlib.util.find_spec(name)]
    if there:
        raise SystemExit(f"not an environment of the core dependencies alone: {there}")
    for precision in ("float32", "int8"):
        embedder = BertEmbedder(folder / precision, long_texts="chunk").fit(TEXTS)
        np.testing.assert_allclose(
            embedder.transform(TEXTS), np.load(folder / f"{precision}.npy"), atol=1e-6
        )
        assert embedder.show_runtime()["precision"] == precision
    for name, estimator_class, rows in (
        ("images", CNNImageEmbedder, IMAGES),
        ("sounds", AudioEmbedder, SOUNDS),
    ):
        vectors = estimator_class(folder / name).fit_transform(rows)
        np.testing.assert_allclose(vectors, np.load(folder / f"{name}.npy"), atol=1e-6)
    assert "onnx" not in sys.modules
    embedder = BertEmbedder(folder / "weights", long_texts="chunk", cache=None).fit(TEXTS)
    vectors, expected = embedder.transform(TEXTS), np.load(folder / "float32.npy")
    np.testing.assert_allclose(vectors, expected, atol=1e-6)
    sys.stdout.write("served without torch and transformers: texts, images and sounds\n")


if __name__ == "__main__":
    {"export": export, "serve": serve}[sys.argv[1]](Path(sys.argv[2]))
