"""Make the table of token vectors that is part of skembed, skembed/text/static_minilm.

The teacher is the packaged all-MiniLM-L6-v2. The texts, on which frequencies are counted and to
some of which the table is fitted, are sentences of novels in the public domain and the texts of
STS-B's, SST-2's and TREC's training parts. No text of an evaluation is among them.

    python benchmarks/make_static_minilm.py NEW_FOLDER

Then replace the files of skembed/text/static_minilm by those of the new folder.
"""

import csv
import re

import numpy as np
from _common import minilm, parser

_SEED = 0
_N_MOST = 12_000  # texts of a source, so that it does not dominate the others


def sentences(folder):
    """Return sentences of the novels."""
    found = []
    for path in sorted(folder.glob("*.txt")):
        text = re.sub(r"\s+", " ", path.read_text(encoding="utf-8", errors="replace"))
        found += [part for part in re.split(r"(?<=[.!?]) ", text) if 30 < len(part) < 250]
    return found


def column(path, *names):
    """Return the texts in some columns of a CSV file."""
    with open(path, encoding="utf-8", newline="") as file:
        return [row[name] for row in csv.DictReader(file) for name in names]


def texts_of(data):
    """Return texts of all sources, in random order."""
    random = np.random.default_rng(_SEED)
    sources = [
        sentences(data / "novels"),
        column(data / "sst2_train.csv", "text"),
        column(data / "trec_train.csv", "text"),
    ]
    chosen = [text for source in sources for text in random.permutation(source)[:_N_MOST].tolist()]
    return random.permutation(chosen).tolist()


def main():
    from skembed import BertEmbedder, StaticEmbedder

    made = parser(__doc__)
    made.add_argument("folder", help="new folder to write")
    arguments = made.parse_args()
    texts = texts_of(arguments.data / "text")
    StaticEmbedder.distill(
        BertEmbedder(minilm(), verbose=1),
        arguments.folder,
        texts,
        n_components=256,
        max_fit_rows=len(texts),
        int8=True,
    )


if __name__ == "__main__":
    main()
