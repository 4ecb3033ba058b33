"""What importing skembed costs and brings with it, and the size of a pickled embedder.

Two ways, in fresh processes: the time that the statement itself takes once scikit-learn is
imported, and whole processes in turn, with it and without. The second includes the interpreter's
start and all of scikit-learn, so its difference is only as good as the machine is quiet; both
have to meet the goal. ``from skembed import BertEmbedder``, which is what loads the code, is
there for information. Compiled bytecode is kept in a folder of the measurement's own, and one
round is not counted, so that nothing is compiled in the rounds that are.

    python benchmarks/bench_import.py [--repeats 7]
"""

import os
import pickle
import statistics
import subprocess
import sys
import tempfile

from _common import interleaved, machine, minilm, parser, print_table, verdict

HEAVY = ("torch", "transformers", "gensim", "onnxruntime")
ALONE = "import sklearn"
STATEMENTS = ("import skembed", "from skembed import BertEmbedder")
GOAL_SECONDS, GOAL_BYTES = 0.1, 20_000


def python(code, environment):
    """Run code in a fresh process and return what it prints."""
    command = [sys.executable, "-c", code]
    answer = subprocess.run(command, check=True, env=environment, stdout=subprocess.PIPE, text=True)
    return answer.stdout.strip()


def seconds_inside(statement, environment):
    """Return the seconds of a statement after ``import sklearn``, timed within the process."""
    clock = "from time import perf_counter as now; start = now()"
    code = f"{ALONE}\n{clock}\n{statement}\nprint(now() - start)"
    return float(python(code, environment))


def pickled_size(backend):
    """Return the bytes of a fitted BertEmbedder."""
    from skembed import BertEmbedder

    rows = ["a cat", "a dog"]
    embedder = BertEmbedder(minilm(), backend=backend, device="cpu").fit(rows)
    embedder.transform(rows)
    return len(pickle.dumps(embedder))


def imports(environment, repeats):
    """Yield table rows: seconds and loaded libraries of each statement."""
    codes = [ALONE, *(f"{ALONE}; {statement}" for statement in STATEMENTS)]
    functions = {code: lambda code=code: python(code, environment) for code in codes}
    interleaved(functions, 1)
    whole = interleaved(functions, repeats)
    yield f"{ALONE}, a whole process, s", f"{whole[ALONE]:.3f}", "", ""
    test = f"import sys; print(*[name for name in {HEAVY} if name in sys.modules])"
    for statement, code in zip(STATEMENTS, codes[1:], strict=True):
        inside = statistics.median(seconds_inside(statement, environment) for _ in range(repeats))
        extra = whole[code] - whole[ALONE]
        loaded = python(f"{code}; {test}", environment)
        found = [
            ("the statement itself, s", f"{inside:.4f}", inside <= GOAL_SECONDS),
            ("whole processes, s more", f"{extra:+.3f}", extra <= GOAL_SECONDS),
            ("heavy libraries loaded", loaded or "none", not loaded),
        ]
        has_goal = statement == STATEMENTS[0]
        for (what, measured, met), goal in zip(found, ("<= 0.1", "<= 0.1", "none"), strict=True):
            judged = (goal, verdict(met)) if has_goal else ("", "")
            yield f"{statement}: {what}", measured, *judged


def main():
    arguments = parser(__doc__, data=False)
    arguments.add_argument("--repeats", type=int, default=7)
    arguments = arguments.parse_args()
    print(machine("skembed", "scikit-learn", "onnxruntime", "torch"))
    with tempfile.TemporaryDirectory() as bytecode:
        environment = {**os.environ, "PYTHONPYCACHEPREFIX": bytecode}
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        table = list(imports(environment, arguments.repeats))
    for backend in ("onnx", "torch"):
        size = pickled_size(backend)
        what = f"pickle of a fitted BertEmbedder, {backend}, bytes"
        table.append([what, f"{size:,}", f"< {GOAL_BYTES:,}", verdict(size < GOAL_BYTES)])
    print(f"medians of {arguments.repeats} fresh processes\n")
    print_table(["what", "measured", "goal", ""], table)


if __name__ == "__main__":
    main()
