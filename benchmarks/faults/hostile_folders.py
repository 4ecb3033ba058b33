"""Model folders made to do harm: no code runs, nothing outside is read, every error is clear.

Small good folders (texts, images, sounds; weights, graphs and exported folders) are changed in one
place at a time (`_hostile.py`). Each case runs in a process of its own, which embeds two rows:

- code that lies in the folder and beside it writes a marker when it is run, as do stand-ins for the
  packages kernels and peft, which look installed;
- files that are opened, and connections, are watched by Python's audit hook; links and paths that
  lead to good files outside of the folder must be refused, for libraries open files unseen;
- an error must be one of skembed's, or a ValueError, TypeError or OSError whose text names a file
  or a folder of the case;
- a case that takes longer than 10 seconds counts as a hang.

A case that does no harm may embed its rows. The vectors are then finite, or the row is bad.

    python benchmarks/faults/hostile_folders.py [--only PATTERN] [--jobs 2]
"""

import json
import multiprocessing
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from pathlib import Path

import _hostile
from _worker import ROOT, machine, parser, report

sys.path.insert(0, str(ROOT / "tests"))

SECONDS = 10
_CODE = "import os\nopen(os.environ['SKEMBED_MARKER'], 'a').write(__name__)\n"
# Files in these places are read by any process.
_USUAL = (
    sys.prefix,
    sys.base_prefix,
    "/usr",
    "/lib",
    "/proc",
    "/sys",
    "/dev",
    "/etc/ld",
    str(ROOT),
)


# -- good folders ---------------------------------------------------------------------------------


def make_good(root):
    """Write the good folders; in a process of its own, for torch's threads survive no fork."""
    from tiny import add_modules, save_tiny_bert
    from tiny_images import save_tiny_cnn
    from tiny_sounds import save_tiny_hearing

    from skembed import BertEmbedder, CNNImageEmbedder

    text = add_modules(save_tiny_bert(root / "text"), normalize=True, prompts={"query": "q: "})
    (text / "sentence_bert_config.json").write_text('{"max_seq_length": 32}')
    save_tiny_cnn(root / "image")
    save_tiny_hearing(root / "audio")
    BertEmbedder(text).fit(["a"]).export(root / "text export")
    image = CNNImageEmbedder(root / "image").fit(rows_of("image"))
    image.export(root / "image export")
    (root / "graph").mkdir()
    shutil.copy(text / "tokenizer.json", root / "graph")


def rows_of(kind):
    """Return two rows of a kind of estimator."""
    from tiny_images import noise
    from tiny_sounds import encoded, sound

    if "image" in kind:
        return [noise(40, 40), noise(30, 50)]
    if "audio" in kind:
        return [encoded(sound(0.3)), encoded(sound(0.5, seed=1))]
    return ["the cat sat on a mat", "a dog"]


def estimator_of(kind, folder):
    """Return the estimator of a kind of folder."""
    from skembed import AudioEmbedder, BertEmbedder, CNNImageEmbedder

    ready = "export" in kind or kind == "graph"
    settings = {"cache": None, "n_threads": 1, "backend": "auto" if ready else "torch"}
    if "image" in kind:
        return CNNImageEmbedder(folder, **settings)
    if "audio" in kind:
        return AudioEmbedder(folder, **settings)
    if kind == "graph":
        return BertEmbedder(folder, max_length=32, **settings)
    return BertEmbedder(folder, **settings)


def cases(good):
    """Yield all cases."""
    text, image, audio = (good / kind for kind in ("text", "image", "audio"))
    names = ["config.json", "modules.json", "1_Pooling/config.json", "tokenizer_config.json"]
    names += ["sentence_bert_config.json", "config_sentence_transformers.json", "tokenizer.json"]
    yield from _hostile.files("text", names)
    for kind in ("image", "audio"):
        yield from _hostile.files(kind, ["config.json", "preprocessor_config.json"])
    for kind in ("text export", "image export"):
        yield from _hostile.files(kind, ["manifest.json"])
        yield from _hostile.values(kind, "manifest.json", good / kind)
    yield from _hostile.values("text", "config.json", text)
    for kind, folder in (("image", image), ("audio", audio)):
        yield from _hostile.values(kind, "config.json", folder)
        yield from _hostile.values(kind, "preprocessor_config.json", folder)
    for name in ("1_Pooling/config.json", "tokenizer_config.json", "sentence_bert_config.json"):
        yield from _hostile.values("text", name, text)
    for kind in ("text", "image", "audio"):
        yield from _hostile.code(kind)
        yield from _hostile.weights(kind)
    yield from _hostile.modules()
    yield from _hostile.tokenizers()
    yield from _hostile.graphs()


# -- one case -------------------------------------------------------------------------------------


def plant(plants):
    """Write files that no case may read, and code that no case may run."""
    plants.mkdir()
    (plants / "code.py").write_text(_CODE)
    (plants / "w").write_bytes(bytes(4800))
    for package in ("kernels", "peft", "timm", "bitsandbytes", "modeling", "my_code"):
        (plants / "packages" / package).mkdir(parents=True)
        (plants / "packages" / package / "__init__.py").write_text(_CODE)


def attempt(kind, folder, plants):
    """Embed two rows with a folder; return what happened, and the text of the error."""
    os.environ["SKEMBED_MARKER"] = str(plants / "ran")
    sys.path.insert(0, str(plants / "packages"))
    watched, seen = True, set()
    allowed = (*_USUAL, str(folder), os.environ["SKEMBED_CACHE"])

    def watch(event, arguments):
        if not watched:
            return
        if event == "open" and isinstance(arguments[0], (str, bytes)):
            path = os.path.realpath(os.fsdecode(arguments[0]))
            if not path.startswith(allowed) and str(plants / "packages") not in path:
                seen.add(f"read {path}")
        elif event in ("socket.connect", "socket.getaddrinfo", "subprocess.Popen", "os.system"):
            seen.add(event)

    rows = rows_of(kind)
    sys.addaudithook(watch)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            vectors = estimator_of(kind, folder).fit_transform(rows)
        outcome, text = "embedded", str(vectors.shape)
    except BaseException as error:
        outcome, text = judged(error, folder)
    watched = False
    if seen:
        outcome, text = "something outside was read or asked", f"{sorted(seen)[:3]}; {text}"
    if (plants / "ran").exists():
        outcome, text = "code was run", (plants / "ran").read_text()
    return outcome, text


def judged(error, folder):
    """Return whether an error is clear, and its text."""
    text = f"{type(error).__name__}: {error}"
    if type(error).__module__ != "skembed.exceptions" and not (
        isinstance(error, (ValueError, TypeError, OSError)) and str(folder) in text
    ):
        frames = traceback.extract_tb(error.__traceback__)
        places = [f"{Path(frame.filename).name}:{frame.lineno}" for frame in frames]
        return "raw errors", f"{text[:300]} at {' '.join(places[-4:])}"
    names = [path.name for path in folder.rglob("*")]
    if not any(name in text for name in (str(folder), *names)):
        return "errors that name no file", text
    return "refused", text


def run(case, good, scratch):
    """Run a case in a process of its own; return what happened, the text, and the seconds."""
    _, kind, change = case
    place = Path(tempfile.mkdtemp(dir=scratch))
    folder, plants = place / "model", place / "plants"
    shutil.copytree(good / kind, folder)
    plant(plants)
    change(folder, plants)
    read, write = os.pipe()
    start = time.perf_counter()
    child = os.fork()
    if not child:
        os.close(read)
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, 2)  # what a panic prints
        os.write(write, json.dumps(attempt(kind, folder, plants)).encode()[:4000])
        os._exit(0)
    os.close(write)
    outcome = "hangs"
    while (seconds := time.perf_counter() - start) < SECONDS:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            outcome = f"crashes ({status})" if status else ""
            break
        time.sleep(0.01)
    else:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    with os.fdopen(read, "rb") as pipe:
        told = pipe.read()
    shutil.rmtree(place)
    if outcome:
        return outcome, "", seconds
    try:
        return (*json.loads(told), seconds)
    except ValueError:
        return "crashes (no answer)", told.decode()[:200], seconds


def preload():
    """Import what every case needs, so that a fork has it."""
    import sklearn.pipeline  # noqa: F401
    import torch
    import transformers

    import skembed

    torch.set_num_threads(1)
    for kind in ("Bert", "ResNet", "AST"):
        getattr(transformers, f"{kind}Model")
    skembed.BertEmbedder, skembed.CNNImageEmbedder, skembed.AudioEmbedder  # noqa: B018
    import skembed.audio._backbone
    import skembed.image._backbone
    import skembed.models._modules


def _work(part, good, scratch, results):
    preload()
    every = list(cases(good))
    for number in part:
        results.put((number, *run(every[number], good, scratch)))


def main():
    arguments = parser(__doc__, data=False)
    arguments.add_argument("--only", default="", help="regular expression in the name of a case")
    arguments.add_argument("--jobs", type=int, default=2)
    arguments.add_argument("--good", help=argparse_hidden())
    arguments = arguments.parse_args()
    if arguments.good:
        make_good(Path(arguments.good))
        return
    print(machine("transformers", "onnxruntime", "tokenizers"), end="\n\n")
    with tempfile.TemporaryDirectory() as scratch:
        os.environ["SKEMBED_CACHE"] = str(Path(scratch) / "cache")
        os.environ["HF_HUB_OFFLINE"] = "1"
        good = Path(scratch) / "good"
        good.mkdir()
        subprocess.run([sys.executable, "-W", "ignore", __file__, "--good", good], check=True)
        goals, counts = judge(good, scratch, arguments)
    report(goals, counts)


def argparse_hidden():
    """Return argparse's mark of an option for this script itself."""
    import argparse

    return argparse.SUPPRESS


def judge(good, scratch, arguments):
    """Run all cases; print those that are not as wanted, and return the counts."""
    every = list(cases(good))
    chosen = [
        n for n, case in enumerate(every) if re.search(arguments.only, f"{case[1]}: {case[0]}")
    ]
    results = multiprocessing.get_context("spawn").Queue()
    parts = [chosen[i :: arguments.jobs] for i in range(arguments.jobs)]
    workers = [
        multiprocessing.get_context("spawn").Process(
            target=_work, args=(part, good, scratch, results)
        )
        for part in parts
    ]
    for worker in workers:
        worker.start()
    counts, bad, slowest = Counter(), Counter(), 0.0
    for _ in chosen:
        number, outcome, text, seconds = results.get()
        name, kind, _ = every[number]
        slowest = max(slowest, seconds)
        fine = outcome in ("embedded", "refused")
        outside = ("a link outside", "../plants", "/etc/")
        if outcome == "embedded" and any(words in name for words in outside):
            fine, outcome = False, "files outside were taken"
        (counts if fine else bad)[f"{kind}: {outcome}" if fine else outcome] += 1
        if not fine or arguments.only:
            print(f"{outcome}: {kind}: {name}: {text} ({seconds:.1f} s)", flush=True)
    for worker in workers:
        worker.join()
    never = ["code was run", "something outside was read or asked", "files outside were taken"]
    never += ["raw errors", "errors that name no file", "hangs"]
    goals = {name: (bad.pop(name, 0), 0) for name in never}
    goals["crashes"] = (sum(bad.values()), 0)
    print(f"\n{len(chosen)} cases; the slowest took {slowest:.1f} s")
    return goals, dict(sorted(counts.items()))


if __name__ == "__main__":
    main()
