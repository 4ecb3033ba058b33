"""Sounds and images from scratch: small networks that learn in `fit`, beside their random weights.

In each task, an embedder with random weights learns from the training rows of each split, with
LogisticRegression on standardized vectors behind it. "frozen" is the same without training. Seconds
are those of training, the mean over the splits.

    python benchmarks/bench_learning_media.py --part fsdd      # spoken digits, official split
    python benchmarks/bench_learning_media.py --part speakers  # the same, one speaker left out
    python benchmarks/bench_learning_media.py --part esc10     # environmental sounds, 4 folds
    python benchmarks/bench_learning_media.py --part digits    # scikit-learn's, 5 folds
    python benchmarks/bench_learning_media.py --part flowers   # 5 classes, 64 x 64 pixels, 5 folds
    python benchmarks/bench_learning_media.py --part cifar10 [--epochs 2 7]
"""

import io
import logging
import time
import warnings
import zipfile

import numpy as np
from _common import machine, parser, print_table
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import LeaveOneGroupOut, PredefinedSplit, StratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skembed import AudioEmbedder, CNNImageEmbedder, Training

HELD_OUT = 5000  # of CIFAR-10's training images


# -- changes of training rows ---------------------------------------------------------------------


def mirrored_parts(images):
    """Cut a part out of each image, and mirror some: a flower stays the same flower."""
    from skembed.training._augment import cropped, flipped

    return flipped(cropped(images, area=(0.4, 1.0)))


def mirrored_shifts(images):
    """Move each image a little, and mirror some."""
    from skembed.training._augment import flipped, shifted

    return flipped(shifted(images))


def stretches(sounds, n_frames=150):
    """Cut 1.5 s out of each spectrogram, and change it as ``augment="auto"`` does."""
    import torch

    from skembed.training._augment import augmentation

    n_frames = min(n_frames, sounds.shape[1])
    starts = torch.randint(sounds.shape[1] - n_frames + 1, (len(sounds),))[:, None]
    rows = torch.arange(len(sounds))[:, None]
    return augmentation("sounds", "classification")(sounds[rows, starts + torch.arange(n_frames)])


# -- tasks: rows, labels, splits, an embedder with its training -----------------------------------


def spoken_digits(data):
    files = sorted((data / "audio" / "fsdd").glob("*.wav"))
    training = Training("classification", trainable="all", epochs=15)
    embedder = AudioEmbedder("cnn-small", pretrained=False, random_state=0, training=training)
    return files, [file.name[0] for file in files], embedder


def fsdd(data):
    files, labels, embedder = spoken_digits(data)
    test = [0 if int(file.stem.split("_")[2]) < 5 else -1 for file in files]
    return [str(file) for file in files], labels, PredefinedSplit(test).split(), embedder


def speakers(data):
    files, labels, embedder = spoken_digits(data)
    groups = [file.stem.split("_")[1] for file in files]
    splits = LeaveOneGroupOut().split(files, groups=groups)
    return [str(file) for file in files], labels, splits, embedder


def esc10(data):
    files = sorted((data / "audio" / "esc10").glob("*/*.ogg"), key=lambda file: file.name)
    splits = LeaveOneGroupOut().split(files, groups=[file.name[0] for file in files])
    training = Training(
        "classification", trainable="all", epochs=60, batch_size=16, augment=stretches
    )
    embedder = AudioEmbedder("cnn-small", pretrained=False, random_state=0, training=training)
    return [str(file) for file in files], [file.parent.name for file in files], splits, embedder


def small_resnet(training, **settings):
    return CNNImageEmbedder(
        "resnet-small-32", pretrained=False, random_state=0, training=training, **settings
    )


def digits(data):
    from sklearn.datasets import load_digits

    X, y = load_digits(return_X_y=True)
    splits = StratifiedKFold(5, shuffle=True, random_state=0).split(X, y)
    training = Training("classification", trainable="all", epochs=15)
    return X, y, splits, small_resnet(training, image_size=16, image_shape=(8, 8), max_value=16)


def flowers(data):
    files = sorted((data / "image" / "flowers").glob("*/*.jpg"))
    labels = [file.parent.name for file in files]
    splits = StratifiedKFold(5, shuffle=True, random_state=0).split(files, labels)
    training = Training("classification", trainable="all", epochs=20, augment=mirrored_parts)
    embedder = small_resnet(training, image_size=64)
    return [str(file) for file in files], labels, splits, embedder


TASKS = {
    "fsdd": fsdd,
    "speakers": speakers,
    "esc10": esc10,
    "digits": digits,
    "flowers": flowers,
}


# -- measuring ------------------------------------------------------------------------------------


def scored(embedder, X, y, train, test):
    """Return the accuracy of a classifier behind an embedder, and the seconds of training."""
    model = make_pipeline(
        clone(embedder), StandardScaler(), LogisticRegression(C=0.1, max_iter=3000)
    )
    model.fit(X[train], y[train])
    accuracy = model.score(X[test], y[test])
    seconds = 0.0
    if embedder.training is not None:
        seconds = model[0].training_history_["epochs"][-1]["seconds"]
    return accuracy, seconds


def small_task(name, options):
    rows, labels, splits, embedder = TASKS[name](options.data)
    X = rows if isinstance(rows, np.ndarray) else np.array(rows, dtype=object)
    y, splits = np.asarray(labels), list(splits)[: options.splits]
    table = []
    for who, training in (("frozen", None), ("trained", embedder.training)):
        variant = clone(embedder).set_params(training=training)
        found = [scored(variant, X, y, train, test) for train, test in splits]
        accuracies, seconds = zip(*found, strict=True)
        shown = ", ".join(f"{accuracy:.3f}" for accuracy in accuracies)
        table.append([name, who, f"{np.mean(accuracies):.3f}", shown, f"{np.mean(seconds):.0f}"])
    print_table(["task", "weights", "accuracy", "of each split", "training, s"], table)


def cifar_images(data):
    """Return the images of CIFAR-10's training set, (50000, 32, 32, 3), and their labels."""
    from PIL import Image

    with zipfile.ZipFile(data / "image" / "cifar10_train.zip") as archive:
        names = sorted(name for name in archive.namelist() if name.endswith((".jpg", ".png")))
        images = np.empty((len(names), 32, 32, 3), dtype=np.uint8)
        for i, name in enumerate(names):
            with Image.open(io.BytesIO(archive.read(name))) as image:
                images[i] = np.asarray(image.convert("RGB"))
    return images, np.array([name.split("/")[-2] for name in names])


def cifar10(options):
    images, y = cifar_images(options.data)
    X = np.empty(len(images), dtype=object)
    X[:] = list(images)
    order = np.random.default_rng(0).permutation(len(X))
    train, test = order[HELD_OUT : HELD_OUT + options.rows], order[:HELD_OUT]
    settings = {"trainable": "all", "batch_size": 64}
    variants = [("frozen", None)]
    for objective, size in (("classification", 64), ("supcon", 256), ("simclr", 256)):
        for epochs in options.epochs:
            settings["augment"] = "auto" if objective == "simclr" else mirrored_shifts
            training = Training(objective, **{**settings, "batch_size": size, "epochs": epochs})
            variants.append((f"{objective}, {epochs} epochs", training))
    table = []
    for who, training in variants:
        start = time.perf_counter()
        accuracy, seconds = scored(small_resnet(training, cache=None), X, y, train, test)
        minutes = (time.perf_counter() - start) / 60
        table.append([who, f"{accuracy:.3f}", f"{seconds / 60:.1f}", f"{minutes:.1f}"])
    columns = ["CIFAR-10", "accuracy", "training, min", "with vectors and classifier, min"]
    print_table(columns, table)


def main():
    arguments = parser(__doc__)
    arguments.add_argument("--part", choices=[*TASKS, "cifar10"])
    arguments.add_argument("--splits", type=int, help="only so many splits of a task")
    arguments.add_argument("--epochs", type=int, nargs="+", default=[2, 7], help="of cifar10")
    arguments.add_argument("--rows", type=int, default=45_000, help="training rows of cifar10")
    options = arguments.parse_args()
    warnings.simplefilter("ignore")
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    print(machine("torch", "scikit-learn"))
    for part in [options.part] if options.part else [*TASKS, "cifar10"]:
        print(f"\n## {part}\n", flush=True)
        cifar10(options) if part == "cifar10" else small_task(part, options)


if __name__ == "__main__":
    main()
