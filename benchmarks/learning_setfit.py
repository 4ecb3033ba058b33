"""SetFit on the draws of bench_learning.py, for comparison with embedders that learn in `fit`.

SetFit needs an environment of its own, with ``setfit`` and a folder of all-MiniLM-L6-v2; skembed is
not imported. The settings are SetFit's defaults: one epoch over pairs, oversampled, in batches of
16, a learning rate of 2e-5, and a LogisticRegression behind. The number of pairs grows with the
square of the number of rows. `--iterations` draws a number of pairs for each row instead, as
SetFit's paper does with 20.

    python benchmarks/learning_setfit.py --model FOLDER [--draws 10] [--per-class 8] [--csv FILE]
"""

import csv
import time
import warnings
from pathlib import Path

import numpy as np
from _common import machine, parser, print_table
from bench_learning import drawn, known_results, rows_of


def trained(model, texts, labels, seed, n_iterations, folder):
    """Return a SetFit model trained on texts and labels."""
    import setfit
    from datasets import Dataset

    arguments = setfit.TrainingArguments(
        output_dir=str(folder),
        batch_size=16,
        num_epochs=1,
        body_learning_rate=2e-5,
        num_iterations=n_iterations,
        seed=seed,
        report_to="none",
        save_strategy="no",
        show_progress_bar=False,
    )
    model = setfit.SetFitModel.from_pretrained(model, labels=sorted(set(labels)))
    rows = Dataset.from_dict({"text": list(texts), "label": list(labels)})
    setfit.Trainer(model=model, args=arguments, train_dataset=rows).train()
    return model


def accuracy_and_seconds(options, texts, labels, draw):
    """Return SetFit's accuracy on the scored rows of a draw, and the seconds of training."""
    train, scored = drawn(labels, draw, options.per_class, options.scored)
    start = time.perf_counter()
    model = trained(
        options.model, texts[train], labels[train].tolist(), draw, options.iterations, options.work
    )
    seconds = time.perf_counter() - start
    predicted = np.array(model.predict(list(texts[scored])), dtype=labels.dtype)
    return float(np.mean(predicted == labels[scored])), seconds


def main():
    given = parser(__doc__)
    given.add_argument("--model", required=True, help="folder of all-MiniLM-L6-v2")
    given.add_argument("--draws", type=int, default=10)
    given.add_argument("--per-class", type=int, default=8)
    given.add_argument("--scored", type=int, default=2000)
    given.add_argument("--iterations", type=int, help="pairs drawn for each row, of both kinds")
    given.add_argument("--csv", type=Path, help="as in bench_learning.py")
    given.add_argument("--work", default="setfit-work", help="folder that SetFit writes to")
    options = given.parse_args()
    warnings.simplefilter("ignore")
    print(machine("setfit", "torch", "transformers", "sentence-transformers"), end="\n\n")
    texts, labels = rows_of(options.data)
    known = known_results(options.csv)
    found = []
    for draw in range(options.draws):
        if (options.per_class, draw, "SetFit") not in known:
            result = accuracy_and_seconds(options, texts, labels, draw)
            known[options.per_class, draw, "SetFit"] = result
            if options.csv:
                with open(options.csv, "a", encoding="utf-8", newline="") as file:
                    csv.writer(file).writerow([options.per_class, draw, "SetFit", *result])
        found.append(known[options.per_class, draw, "SetFit"])
    scores, seconds = np.array(found).T
    print_table(
        (f"{options.per_class} rows a class", "accuracy", "deviation", "fit, s", "of each draw"),
        [
            (
                "SetFit",
                f"{scores.mean():.3f}",
                f"{scores.std():.3f}",
                f"{np.median(seconds):.1f}",
                " ".join(f"{score:.4f}" for score in scores),
            )
        ],
    )


if __name__ == "__main__":
    main()
