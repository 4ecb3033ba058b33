"""Speed and memory of word vectors: transform, fit, GloVe's counts and steps.

1. Texts to vectors: 38,000 distinct rows of AG News, each title before several descriptions.
   Tokenizing alone is CountVectorizer's regular expression over all rows; gensim's loop is
   ``get_mean_vector`` on the words that it finds. Goals: at least 3 times gensim's loop, at most
   1.4 times tokenizing alone, at most 200 MB over rows and answer.
2. Fit: what Word2VecVectorizer takes over the bare trainer, from lists of words and from raw text,
   which has to be tokenized. The bare trainer is gensim's ``build_vocab`` and ``train`` on lists of
   words. Training is the same in both, and varies more than all the rest, so it is timed within
   the fit, and an epoch at a time: medians of rounds in turn. Goal: at most 5 % of five epochs.
3. GloVe on the novels, 100 dimensions, window 10: words counted a second, pairs a second on one and
   on two threads, the loss of each iteration. Goals: 400,000 and 600,000, loss <= 0.050 by the
   second, the same bits again on one thread.

Takes some minutes.

    python benchmarks/bench_words.py [--rows 38000] [--repeats 5] [--only transform fit glove]
"""

import argparse
import csv
import json
import re
import subprocess
import sys
import time
from itertools import product
from pathlib import Path
from statistics import median
from unittest.mock import patch

import numpy as np
from _common import interleaved, machine, parser, print_table, verdict

GOALS = {"gensim": 3.0, "tokenizing": 1.4, "MB": 200, "overhead": 0.05}
GOALS_OF_GLOVE = {"words": 400_000, "pairs": 600_000, "loss": 0.050}
MB = 1e6
_WORD = re.compile(r"(?u)\b\w\w+\b")
_PARTS = ("transform", "fit", "glove")


def news(data, n_rows):
    """Return distinct rows of AG News: title i before description i, i + 7, i + 14, ..."""
    with open(data / "text" / "ag_news.csv", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    made = {}
    for shift in range(0, 7 * len(rows), 7):
        for i, row in enumerate(rows):
            made[f"{row['title']} {rows[(i + shift) % len(rows)]['description']}"] = None
            if len(made) == n_rows:
                return list(made)
    raise SystemExit(f"AG News gives {len(made)} distinct rows; {n_rows} were asked for.")


def novels(data):
    """Return the texts of the novels."""
    paths = sorted((data / "text" / "novels").glob("*.txt"))
    return [path.read_text(encoding="utf-8", errors="replace") for path in paths]


def tokenized(rows):
    """Return the words of all rows, as CountVectorizer finds them."""
    return [_WORD.findall(row.lower()) for row in rows]


# -- transform ------------------------------------------------------------------------------------


def bench_transform(arguments):
    """Print the speed of text to vectors, and the memory it takes."""
    from skembed import Word2VecVectorizer

    rows = news(arguments.data, arguments.rows)
    embedder = Word2VecVectorizer(epochs=1, random_state=0).fit(rows)
    keyed = embedder.to_keyed_vectors()

    def gensims_loop():
        found = tokenized(rows)
        return np.array([keyed.get_mean_vector(words, pre_normalize=False) for words in found])

    def plain_loop():
        numbers, vectors = keyed.key_to_index, keyed.vectors
        answer = np.zeros((len(rows), vectors.shape[1]), dtype=np.float32)
        for i, words in enumerate(tokenized(rows)):
            known = [vectors[numbers[word]] for word in words if word in numbers]
            if known:
                answer[i] = np.mean(known, axis=0)
        return answer

    difference = np.abs(embedder.transform(rows) - plain_loop()).max()
    seconds = interleaved(
        {
            "skembed": lambda: embedder.transform(rows),
            "tokenizing alone": lambda: tokenized(rows),
            "tokenizing, words thrown away": lambda: [len(_WORD.findall(r.lower())) for r in rows],
            "Python loop": plain_loop,
            "gensim's get_mean_vector": gensims_loop,
        },
        arguments.repeats,
    )
    own = seconds["skembed"]
    print(f"{len(rows)} rows, {sum(map(len, tokenized(rows)))} words")
    print_table(
        ["who", "s", "rows/s", "skembed takes, of its time"],
        [
            [who, f"{s:.3f}", f"{len(rows) / s:,.0f}", f"{own / s:.2f}"]
            for who, s in seconds.items()
        ],
    )
    times, share = seconds["gensim's get_mean_vector"] / own, own / seconds["tokenizing alone"]
    child = [sys.executable, __file__, "--child", "--rows", str(len(rows))]
    child += ["--data", str(arguments.data)]
    found = json.loads(subprocess.run(child, check=True, capture_output=True, text=True).stdout)
    print_table(
        ["what", "measured", "goal", ""],
        [
            ["speed / gensim's loop", f"{times:.1f}", ">= 3", verdict(times >= GOALS["gensim"])],
            ["time / tokenizing", f"{share:.2f}", "<= 1.4", verdict(share <= GOALS["tokenizing"])],
            ["MB over answer", f"{found:.0f}", "<= 200", verdict(found <= GOALS["MB"])],
            [
                "max |Δ| to a plain average",
                f"{difference:.1e}",
                "<= 1e-6",
                verdict(difference <= 1e-6),
            ],
        ],
    )


def memory(arguments):
    """Return the MB that a transform takes over rows and answer; run in a process of its own."""
    from bench_memory import _memory

    from skembed import Word2VecVectorizer

    rows = news(arguments.data, arguments.rows)
    embedder = Word2VecVectorizer(epochs=1, random_state=0).fit(rows[:2000])
    embedder.transform(rows[:100])
    before = _memory("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # sets the peak, VmHWM, to VmRSS
    answer = embedder.transform(rows)
    return (_memory("VmHWM") - before - answer.nbytes) / MB


# -- fit ------------------------------------------------------------------------------------------


def bench_fit(arguments):
    """Print how long fit takes over the bare trainer."""
    from gensim.models import Word2Vec

    from skembed import Word2VecVectorizer

    texts = novels(arguments.data)
    rows = {"lists of words": tokenized(texts), "raw text": texts}
    training, train = [], Word2Vec.train

    def timed_train(*args, **kwargs):
        training.append(_seconds(train, *args, **kwargs))

    counting, besides = [], {case: [] for case in product(("mean", "sif"), rows)}
    with patch.object(Word2Vec, "train", timed_train):
        for _ in range(arguments.repeats):
            model = Word2Vec(vector_size=100, workers=1)
            counting.append(_seconds(model.build_vocab, rows["lists of words"]))
            for (pooling, kind), seconds in besides.items():
                embedder = Word2VecVectorizer(pooling=pooling, epochs=1, random_state=0)
                seconds.append(_seconds(embedder.fit, rows[kind]) - training[-1])
    bare = median(counting) + Word2VecVectorizer().epochs * median(training)
    table = []
    for case, seconds in besides.items():
        more = median(seconds) - median(counting)
        met = verdict(more / bare <= GOALS["overhead"])
        table.append([*case, f"{more:.2f}", f"{more / bare:.1%}", met])
    print(
        f"fit on the novels with the defaults, 1 thread; gensim alone takes {bare:.1f} s, "
        f"{median(counting):.2f} of them to count words; goal: at most 5 % more"
    )
    print_table(["pooling", "rows", "more, s", "share", ""], table)


def _seconds(function, *args, **kwargs):
    start = time.perf_counter()
    function(*args, **kwargs)
    return time.perf_counter() - start


# -- GloVe ----------------------------------------------------------------------------------------


def bench_glove(arguments):
    """Print GloVe's speed and loss on the novels."""
    from skembed.words._glove_training import GloVeModel, count_pairs, frequent_words
    from skembed.words._tokenize import number_words

    words = tokenized(novels(arguments.data))
    count_pairs(np.zeros(2, np.int32), np.array([0, 2]), 1, 10)  # compiles
    start = time.perf_counter()
    numbered = number_words(words)
    frequent, ids = frequent_words(numbered, 5)
    pairs = count_pairs(ids, numbered.starts, len(frequent), 10)
    n_words, n_pairs = len(ids), len(pairs.rows)
    speed = n_words / (time.perf_counter() - start)
    goals = GOALS_OF_GLOVE
    table = [
        ["words counted a second", f"{speed:,.0f}", "400,000", verdict(speed >= goals["words"])]
    ]
    vectors = []
    for n_threads in (1, 1, 2):
        losses, seconds, model = _trained(GloVeModel, pairs, len(frequent), n_threads)
        vectors.append(model.vectors)
        speed = n_pairs / min(seconds)
        met = verdict(speed >= goals["pairs"]) if n_threads == 2 else ""
        what = f"pairs a second, {n_threads} thread{'s' * (n_threads > 1)}"
        table.append([what, f"{speed:,.0f}", "600,000" if n_threads == 2 else "", met])
        shown = ", ".join(f"{loss:.4f}" for loss in losses)
        met = verdict(losses[1] <= goals["loss"])
        table.append(["loss of iterations 1, 2, 3", shown, "<= 0.050 by the 2nd", met])
    same = np.array_equal(vectors[0], vectors[1])
    table.append(["the same bits again, 1 thread", str(same), "True", verdict(same)])
    print(f"GloVe: {n_words:,} words, {len(frequent):,} in the vocabulary, {n_pairs:,} pairs")
    print_table(["what", "measured", "goal", ""], table)


def _trained(model_class, pairs, n_words, n_threads):
    random = np.random.default_rng(0)
    model = model_class(n_words, 100, random)
    settings = {"x_max": 10, "power": 0.75, "learning_rate": 0.05, "random": random}
    losses, seconds, start = [], [], time.perf_counter()
    for loss in model.train(pairs, epochs=3, n_threads=n_threads, **settings):
        losses.append(loss)
        seconds.append(time.perf_counter() - start)
        start = time.perf_counter()
    return losses, seconds[1:], model


def main():
    arguments = parser(__doc__)
    arguments.add_argument("--rows", type=int, default=38_000)
    arguments.add_argument("--repeats", type=int, default=5)
    arguments.add_argument("--only", nargs="+", choices=_PARTS, default=_PARTS)
    arguments.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    arguments = arguments.parse_args()
    if arguments.child:
        print(memory(arguments))
        return
    print(machine("skembed", "gensim", "numba", "scikit-learn", "scipy", "numpy"))
    for part in arguments.only:
        print()
        {"transform": bench_transform, "fit": bench_fit, "glove": bench_glove}[part](arguments)


if __name__ == "__main__":
    main()
