"""Memory and time of short rows, distinct ones: from 10 to 100,000.

Each measurement is a fresh process: fit, transform a few other rows (so that libraries, network
and buffers are there), note the resident memory, transform, note its peak. What is reported is
peak minus before minus the answer's own size. The peak is the kernel's (VmHWM, set back before
the transform), so Linux only. Takes some minutes.

    python benchmarks/bench_memory.py [--rows 10 1000 10000 100000] [--precision float32]
"""

import json
import subprocess
import sys
import time
from pathlib import Path

from _common import machine, parser, print_table, verdict

GOAL_MB = 300
MB = 1e6


def table_rows(n_rows, words="row number"):
    """Return distinct short rows; numbers of six digits, spread alike however many are taken."""
    return [f"{words} {100_000 + i * 7919 % 900_000} of the table" for i in range(n_rows)]


def _memory(field):
    """Return a line of /proc/self/status, in bytes: VmRSS (now) or VmHWM (the peak)."""
    for line in Path("/proc/self/status").read_text().splitlines():
        name, _, value = line.partition(":")
        if name == field:
            return int(value.split()[0]) * 1024
    raise SystemExit("this script reads memory from Linux's /proc")


def measure(cache, n_rows, precision):
    """Return the bytes and seconds of one transform; run in a process of its own."""
    from skembed import BertEmbedder

    rows = table_rows(n_rows)
    embedder = BertEmbedder(cache=cache, backend="onnx", precision=precision).fit(rows[:10])
    embedder.transform(table_rows(2000, words="warm up"))
    before = _memory("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # sets VmHWM to VmRSS
    if _memory("VmHWM") > before + 16 * MB:
        raise SystemExit("the kernel did not set the peak back: it would be that of fit")
    start = time.perf_counter()
    vectors = embedder.transform(rows)
    seconds = time.perf_counter() - start
    peak, answer = _memory("VmHWM"), vectors.nbytes
    return {"before": before, "peak": peak, "answer": answer, "seconds": seconds}


def in_own_process(cache, n_rows, precision):
    """Call `measure` in a fresh process."""
    print(f"cache={cache!r}, {n_rows} rows ...", file=sys.stderr, flush=True)
    child = [sys.executable, __file__, "--child", json.dumps([cache, n_rows, precision])]
    answer = subprocess.run(child, check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(answer.stdout.splitlines()[-1])


def main():
    arguments = parser(__doc__, data=False)
    arguments.add_argument("--rows", type=int, nargs="+", default=[10, 1000, 10_000, 100_000])
    arguments.add_argument("--precision", default="float32")
    arguments.add_argument("--child", help="used by the script itself")
    arguments = arguments.parse_args()
    if arguments.child:
        print(json.dumps(measure(*json.loads(arguments.child))))
        return

    print(machine("skembed", "onnxruntime", "tokenizers", "numpy"), flush=True)
    table = []
    for cache in ("memory", None):
        per_row = {}
        for n_rows in arguments.rows:
            found = in_own_process(cache, n_rows, arguments.precision)
            per_row[n_rows] = found["seconds"] / n_rows * 1e6
            print(f"    {found}", file=sys.stderr, flush=True)
            extra = (found["peak"] - found["before"] - found["answer"]) / MB
            counts = n_rows == max(arguments.rows)
            table.append(
                [
                    repr(cache),
                    f"{n_rows:,}",
                    f"{found['before'] / MB:.0f}",
                    f"{found['answer'] / MB:.0f}",
                    f"{found['peak'] / MB:.0f}",
                    f"{extra:.0f}",
                    f"<= {GOAL_MB}, {verdict(extra <= GOAL_MB)}" if counts else "",
                    f"{found['seconds']:.1f}",
                    f"{per_row[n_rows]:.0f}",
                ]
            )
        many = [value for n_rows, value in per_row.items() if n_rows >= 1000]
        print(
            f"cache={cache!r}: the slowest row of 1,000 and more takes "
            f"{max(many) / min(many):.2f} times the fastest; goal 1.15: "
            f"{verdict(max(many) <= 1.15 * min(many))}",
            flush=True,
        )
    heads = ["cache", "rows", "before, MB", "answer, MB", "peak, MB", "peak - before - answer, MB"]
    print_table([*heads, "goal", "s", "µs a row"], table)


if __name__ == "__main__":
    main()
