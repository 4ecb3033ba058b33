"""Images: speed against transformers and the machine's limits, memory, bad rows, accuracies.

    python benchmarks/bench_image.py --part speed [--model resnet-50] [--images 100] [--repeats 5]
    python benchmarks/bench_image.py --part memory    # 1,000 and 10,000 images of CIFAR-10's size
    python benchmarks/bench_image.py --part rows      # 2,000 images, one in a hundred damaged
    python benchmarks/bench_image.py --part accuracy  # flowers and digits

Networks have random weights of the published architectures: what they compute costs the same. The
speed of each contender is measured on the same files, in turn, in this process.
"""

import json
import subprocess
import sys
import tempfile
import time
import warnings
import zipfile
from pathlib import Path

import numpy as np
from _common import interleaved, machine, n_cores, parser, print_table, verdict

from skembed import CNNImageEmbedder

PEER = "transformers, torch"
BARE = "limit: the network alone, ONNX Runtime on prepared pixels"
READING = "limit: reading alone, skembed's"
_BATCH = 8  # of the peer


def photos(data, n_images):
    files = sorted((data / "image" / "photos").glob("*.JPEG"))
    if len(files) < n_images:  # an image that comes again is not computed again
        raise SystemExit(f"{data}/image/photos has {len(files)} images; {n_images} were asked for")
    return [str(file) for file in files[:n_images]]


# -- speed ----------------------------------------------------------------------------------------


def transformers_pipeline(folder):
    """AutoImageProcessor and model as their documentation has them, in batches of 8."""
    import torch
    from PIL import Image
    from transformers import AutoImageProcessor, AutoModel

    processor = AutoImageProcessor.from_pretrained(folder)
    model = AutoModel.from_pretrained(folder).eval()

    def embed(files):
        vectors = []
        for start in range(0, len(files), _BATCH):
            images = [Image.open(file).convert("RGB") for file in files[start : start + _BATCH]]
            with torch.inference_mode():
                answer = model(**processor(images, return_tensors="pt"))
            vectors.append(answer.pooler_output.flatten(1).numpy())
        return np.concatenate(vectors)

    return embed


def _bare(embedder, files):
    """Return functions that run prepared pixels: as skembed batches them, and in one session."""
    import onnxruntime

    from skembed.base._threads import same_shape_batches
    from skembed.network._load import graph_of, runner_of

    network = embedder._network
    keys, _ = embedder._check_rows(files)
    prepared, _ = network.preprocessor.prepare(files, keys, n_cores())
    pixels = [row.inputs[0] for row in prepared]
    grouped = same_shape_batches(pixels, "auto", embedder._modality.batch_elements)
    stacked = [np.stack([pixels[i] for i in group]) for group in grouped]
    session = onnxruntime.InferenceSession(str(graph_of(network)))
    name = session.get_inputs()[0].name
    runner = runner_of(network)
    return {
        BARE: lambda: list(runner.run(stacked, n_cores())),
        "the same in one session with threads": lambda: [
            session.run(None, {name: batch}) for batch in stacked
        ],
        READING: lambda: network.preprocessor.prepare(
            files, embedder._check_rows(files)[0], n_cores()
        ),
    }


def speed(arguments):
    files = photos(arguments.data, arguments.images)
    settings = {"pretrained": False, "random_state": 0, "cache": None}
    contenders = {
        "skembed": {"backend": "onnx"},
        "skembed, torch": {"backend": "torch"},
        "skembed, bfloat16": {"precision": "bfloat16"},
        "skembed, int8": {"precision": "int8"},
    }
    embedders = {
        who: CNNImageEmbedder(arguments.model, **settings, **more).fit(files[:64])
        for who, more in contenders.items()
    }
    peer = transformers_pipeline(embedders["skembed"]._network.path)
    reference = peer(files[:16])
    for who, embedder in embedders.items():
        vectors = embedder.transform(files[:16])
        cosine = (vectors * reference).sum(1)
        cosine /= np.linalg.norm(vectors, axis=1) * np.linalg.norm(reference, axis=1)
        scale = np.abs(reference).max()
        print(
            f"{who} against {PEER}: max |difference| {np.abs(vectors - reference).max():.2g} of "
            f"values up to {scale:.3g}, min cosine {cosine.min():.6f}"
        )
    functions = {PEER: lambda: peer(files)}
    functions |= {
        who: lambda embedder=embedder: embedder.transform(files)
        for who, embedder in embedders.items()
    }
    functions |= _bare(embedders["skembed"], files)
    seconds = interleaved(functions, arguments.repeats)
    speeds = {who: len(files) / values for who, values in seconds.items()}
    bare = max(speeds[BARE], speeds["the same in one session with threads"])
    print(f"\n{arguments.model}, {len(files)} files, medians of {arguments.repeats}\n")
    print_table(
        ["who", "images/s", "times", "of the network alone"],
        [
            [who, f"{speed:.1f}", f"{speed / speeds[PEER]:.2f}", f"{speed / bare:.0%}"]
            for who, speed in sorted(speeds.items(), key=lambda item: item[1])
        ],
    )
    print()
    ours = speeds["skembed"]
    together = 1 / (1 / bare + 1 / speeds[READING])
    slower = min(bare, speeds[READING])
    goals = [
        (f"skembed / {PEER}", ours / speeds[PEER], 2.2),
        (f"skembed, int8 / {PEER}", speeds["skembed, int8"] / speeds[PEER], 2.2),
        ("skembed / the network alone", ours / bare, 0.85),
        ("skembed / the slower of reading and network", ours / slower, 0.85),
        ("skembed / both on the same cores, one after the other", ours / together, 0.85),
    ]
    for what, ratio, goal in goals:
        print(f"{what}: {ratio:.2f}, goal {goal}: {verdict(ratio >= goal)}")


# -- memory ---------------------------------------------------------------------------------------


def small_files(data, n_images, folder):
    """Write the first images of CIFAR-10 as files of their own."""
    with zipfile.ZipFile(data / "image" / "cifar10_train.zip") as archive:
        names = [name for name in archive.namelist() if not name.endswith("/")][:n_images]
        paths = []
        for i, name in enumerate(names):
            path = Path(folder, f"{i}{Path(name).suffix}")
            path.write_bytes(archive.read(name))
            paths.append(str(path))
    return paths


def _status(field):
    for line in Path("/proc/self/status").read_text().splitlines():
        name, _, value = line.partition(":")
        if name == field:
            return int(value.split()[0]) * 1024
    raise SystemExit("this script reads memory from Linux's /proc")


def memory_child(data, model, n_images):
    """Return bytes before and at the peak of a transform; run in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        files = small_files(data, n_images, folder)
        embedder = CNNImageEmbedder(model, pretrained=False, random_state=0, cache=None)
        embedder.fit(files[:1]).transform(files[:200])
        before = _status("VmRSS")
        Path("/proc/self/clear_refs").write_text("5")  # sets VmHWM to VmRSS
        start = time.perf_counter()
        vectors = embedder.transform(files)
        seconds = time.perf_counter() - start
    return {
        "before": before,
        "peak": _status("VmHWM"),
        "answer": vectors.nbytes,
        "seconds": seconds,
    }


def memory(arguments):
    table, extras = [], []
    for n_images in (1000, 10_000):
        child = json.dumps([str(arguments.data), arguments.model, n_images])
        command = [sys.executable, __file__, "--child", child]
        answer = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
        found = json.loads(answer.stdout.splitlines()[-1])
        extras.append((found["peak"] - found["before"] - found["answer"]) / 1e6)
        shown = [f"{found[name] / 1e6:.0f}" for name in ("before", "answer", "peak")]
        table.append([f"{n_images:,}", *shown, f"{extras[-1]:.0f}", f"{found['seconds']:.1f}"])
    heads = ["images", "before, MB", "answer, MB", "peak, MB", "peak - before - answer, MB", "s"]
    print_table(heads, table)
    print(f"\n10,000 take {extras[1] - extras[0]:.0f} MB more than 1,000; goal 50: ", end="")
    print(verdict(extras[1] - extras[0] <= 50))


# -- bad rows -------------------------------------------------------------------------------------


def rows(arguments):
    random = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as folder:
        files = small_files(arguments.data, 2000, folder)
        bad = np.sort(random.choice(2000, 20, replace=False))
        for i in bad:
            path = Path(files[i])
            path.write_bytes(path.read_bytes()[: random.integers(1, 300)])
        embedder = CNNImageEmbedder(
            "resnet-small-32", pretrained=False, random_state=0, bad_rows="nan", cache=None
        )
        vectors = embedder.fit_transform(files)
    marked = np.isnan(vectors).all(axis=1).nonzero()[0]
    right = np.array_equal(marked, bad) and np.isfinite(np.delete(vectors, bad, axis=0)).all()
    print(f"2,000 images, {len(bad)} damaged, {len(marked)} marked: {verdict(right)}")


# -- accuracy -------------------------------------------------------------------------------------


def raw_pixels(files):
    """Return pixels of files at 32 x 32, flattened."""
    from PIL import Image

    images = [Image.open(file).convert("RGB").resize((32, 32)) for file in files]
    return np.stack([np.asarray(image).ravel() for image in images]) / 255


def accuracy(arguments):
    from sklearn.datasets import load_digits

    folder = arguments.data / "image" / "flowers"
    files = sorted(str(path) for path in folder.glob("*/*.jpg"))
    labels = np.array([Path(file).parent.name for file in files])
    random = np.random.default_rng(0).permutation(len(files))[: arguments.flowers]
    flowers = np.array(files, dtype=object)[random]
    digits = load_digits()
    table = []
    for name, X, y, settings in (
        ("flowers", flowers, labels[random], {}),
        ("digits", digits.data, digits.target, {"image_shape": (8, 8), "max_value": 16}),
    ):
        table += [[name, len(X), *row] for row in _scores(X, y, settings)]
    print_table(["data", "rows", "features", "accuracy, 5 folds", "s"], table)


def _scores(X, y, settings):
    """Yield features, their accuracy by cross-validation, and seconds."""
    from sklearn.base import clone
    from sklearn.decomposition import PCA
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import GridSearchCV, cross_val_score
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import FunctionTransformer, StandardScaler

    def pipeline(*steps):
        return make_pipeline(*steps, StandardScaler(), LogisticRegression(C=0.01, max_iter=1000))

    raw = [] if settings else [FunctionTransformer(raw_pixels)]
    with tempfile.TemporaryDirectory() as cache:
        small = CNNImageEmbedder(
            "resnet-small-32", pretrained=False, random_state=0, cache=cache, **settings
        )
        contenders = {
            "raw pixels": pipeline(*raw),
            "PCA, 50 components": pipeline(*raw, PCA(50, random_state=0)),
            "random network, avg": pipeline(small),
            "random network, layers 0 to 3, avg_max": pipeline(
                clone(small).set_params(layers=[0, 1, 2, 3], pooling="avg_max")
            ),
        }
        for who, estimator in contenders.items():
            start = time.perf_counter()
            scores = cross_val_score(estimator, X, y, cv=5, n_jobs=2)
            seconds = time.perf_counter() - start
            yield [who, f"{scores.mean():.3f}", f"{seconds:.1f}"]
        start = time.perf_counter()
        grid = {
            "cnnimageembedder__pooling": ["avg", "max", "avg_max", "gem"],
            "cnnimageembedder__layers": [-1, [1, 2, 3]],
            "logisticregression__C": [0.001, 0.01, 0.1],
        }
        search = GridSearchCV(pipeline(small), grid, cv=5, n_jobs=2).fit(X, y)
        chosen = {k.rpartition("__")[2]: v for k, v in search.best_params_.items()}
        seconds = time.perf_counter() - start
        yield [
            f"random network, search of 24: {chosen}",
            f"{search.best_score_:.3f}",
            f"{seconds:.1f}",
        ]


PARTS = {"speed": speed, "memory": memory, "rows": rows, "accuracy": accuracy}


def main():
    arguments = parser(__doc__)
    arguments.add_argument("--part", choices=list(PARTS))
    arguments.add_argument("--model", default="resnet-50", help="an architecture")
    arguments.add_argument("--images", type=int, default=100)
    arguments.add_argument("--flowers", type=int, default=1500)
    arguments.add_argument("--repeats", type=int, default=5)
    arguments.add_argument("--child", help="used by the script itself")
    arguments = arguments.parse_args()
    warnings.simplefilter("ignore")
    if arguments.child:
        data, model, n_images = json.loads(arguments.child)
        print(json.dumps(memory_child(Path(data), model, n_images)))
        return
    print(machine("skembed", "onnxruntime", "torch", "transformers", "pillow", "scikit-learn"))
    for part in [arguments.part] if arguments.part else PARTS:
        print(f"\n## {part}\n", flush=True)
        PARTS[part](arguments)


if __name__ == "__main__":
    main()
