"""Hostile files of word vectors: each gives vectors or a clear error, soon and in little memory.

Each file is given to Word2VecVectorizer and FastTextVectorizer as `vectors`, with and without
`fine_tune`, in a process of its own that fits and transforms. A file may be embedded, or refused by
an error that is documented and names the file. All else is counted as a fault: raw errors, crashes,
more than 10 seconds, more than 500 MB on top of what the process began with, vectors that are not
finite.

    python benchmarks/faults/hostile_vectors.py [--only NAME]
"""

import gzip
import json
import multiprocessing
import os
import pickle
import resource
import struct
import tempfile
import time
import warnings
from collections import Counter
from pathlib import Path

import numpy as np
from _worker import machine, parser, report

from skembed import FastTextVectorizer, Word2VecVectorizer
from skembed.exceptions import VectorFileError

SECONDS, BYTES = 10, 500 * 2**20
ROWS = ["the cat sat on the mat", "cats and mats, or neither"] * 3
WORDS = ["the", "cat", "on", "mat", "zwölf"]
VECTORS = np.random.default_rng(0).standard_normal((5, 4)).astype("<f4")
_FLOATS = VECTORS.tobytes()


# -- files ----------------------------------------------------------------------------------------


def text(words=WORDS, vectors=VECTORS):
    rows = zip(words, vectors.tolist(), strict=True)
    return "".join(f"{word} {' '.join(map(str, row))}\n" for word, row in rows).encode()


def binary(header=b"5 4\n"):
    rows = zip(WORDS, VECTORS, strict=True)
    return header + b"".join(word.encode() + b" " + row.tobytes() for word, row in rows)


def fasttext(*, sizes=(5, 5, 0, 99, -1), entries=None, matrix=(0, 55, 4), tail=None, **changes):
    """Return a ``.bin`` file of 5 words and 50 buckets, with changes."""
    settings = {"dim": 4, "ws": 5, "epoch": 1, "min_count": 1, "neg": 5, "ngrams": 1, "loss": 2}
    settings |= {"model": 2, "bucket": 50, "minn": 3, "maxn": 6, "rate": 100, "t": 1e-4}
    start = struct.pack("<ii", 793712314, changes.pop("version", 12))
    start += struct.pack("<12id", *(settings | changes).values())
    start += struct.pack("<3iqq", *sizes)
    if entries is None:
        entries = b"".join(word.encode() + b"\0" + struct.pack("<qb", 9, 0) for word in WORDS)
    if tail is None:
        tail = _FLOATS * 11 + struct.pack("<?qq", False, 5, 4) + _FLOATS
    return start + entries + struct.pack("<Bqq", *matrix) + tail


class Payload:
    """A pickle that leaves a file behind where it is loaded."""

    def __reduce__(self):
        return Path.touch, (Path("ran"),)


def text_files():
    lines = text().splitlines(keepends=True)
    yield "good", text()
    yield "good, with a header", b"5 4\n" + text()
    yield "empty", b""
    yield "one newline", b"\n"
    yield "blanks", b" " * 10_000
    for what, line in {
        "no numbers": b"cat\n",
        "a blank instead of numbers": b"cat \n",
        "a number too few": b"cat 1 2 3\n",
        "a number too many": b"cat 1 2 3 4 5\n",
        "no word": b" 1 2 3 4\n",
        "a blank line": b"\n",
        "text for a number": b"cat 1 2 x 4\n",
        "nan": b"cat 1 nan 3 4\n",
        "inf": b"cat 1 -inf 3 4\n",
        "an overflow": b"cat 1 1e999 3 4\n",
        "an underscore": b"cat 1 2_0 3 4\n",
        "a hexadecimal number": b"cat 1 0x1p3 3 4\n",
        "digits of another script": "cat 1 ٣ 3 4\n".encode(),
        "a zero byte": b"cat 1 2\0 3 4\n",
        "invalid UTF-8": b"\xff\xfe\xfd 1 2 3 4\n",
        "a word of a megabyte": b"c" * 2**20 + b" 1 2 3 4\n",
        "20 megabytes without an end": b"c" * 20 * 2**20,
        "a number of a megabyte": b"cat 1 2 3 " + b"4" * 2**20 + b"\n",
    }.items():
        yield f"line 3: {what}", b"".join([*lines[:2], line, *lines[3:]])
        yield f"line 3, header: {what}", b"".join([b"5 4\n", *lines[:1], line, *lines[2:]])
    yield "one dimension, a line without its number", b"the 1.0\ncat\non 3.0\n"
    yield "one dimension, all lines without", b"3 1\nthe\ncat\non\n"
    yield "a vocabulary with counts", b"the 1061396\ncat 593677\n"
    yield "a vocabulary, a year first", b"2019 500\ncat 400\n"
    yield "carriage returns alone", text().replace(b"\n", b"\r")
    yield "UTF-16", text().decode().encode("utf-16")
    yield "the same word 100,000 times", b"cat 1 2 3 4\n" * 100_000


def headers():
    sizes = ["0 4", "5 0", "-5 4", "5 -4", "6 4", "4 4", "5 3", "5 5", "0 0", "5 4 3", "5.0 4"]
    sizes += [f"{2**31} 4", f"5 {2**31}", f"{2**62} {2**62}", f"{'9' * 5000} 4", f"{10**17} 300"]
    for size in sizes:
        header = size.encode() + b"\n"
        yield f"text: header {size[:30]}", header + text()
        yield f"binary: header {size[:30]}", binary(header)
        yield f"header {size[:30]} and nothing else", header
        yield f"packed: header {size[:30]}", gzip.compress(binary(header))


def binary_files():
    whole = binary()
    yield "binary", whole
    for size in (5, 8, 20, len(whole) - 1):
        yield f"binary, cut off at {size}", whole[:size]
    yield "binary and more", whole + b"more"
    yield "binary without words", b"5 4\n" + _FLOATS
    yield "binary with empty words", b"5 4\n" + b"".join(b" " + row.tobytes() for row in VECTORS)
    yield "binary with nan", whole.replace(_FLOATS[:4], struct.pack("<f", np.nan))
    yield "binary with a word of 10 megabytes", b"5 4\n" + b"\1" * 10 * 2**20 + b" " + _FLOATS
    yield "binary zeros", b"5 4\n" + bytes(10 * 2**20)


def fasttext_files():
    whole = fasttext()
    yield "fastText", whole
    for size in (4, 8, 50, 70, 100, 150, 170, len(whole) - 9):
        yield f"fastText, cut off at {size}", whole[:size]
    yield "fastText and zeros", whole[:150] + bytes(5 * 2**20)
    for name in ("dim", "bucket", "minn", "maxn", "version", "loss", "model", "neg", "ws"):
        for value in (-1, 0, 2**31 - 1, -(2**31)):
            yield f"fastText: {name} {value}", fasttext(**{name: value})
    for at, name in enumerate(("entries", "words", "labels", "tokens", "pruned")):
        for value in (-(2**31), 2**31 - 1):
            sizes = [5, 5, 0, 99, -1]
            sizes[at] = value
            yield f"fastText: {name} {value}", fasttext(sizes=tuple(sizes))
    many = (2**31 - 1, 2**31 - 1, 0, 9, -1)
    yield "fastText: two billion words", fasttext(sizes=many)
    yield (
        "fastText: a million empty words",
        fasttext(sizes=(10**6, 10**6, 0, 9, -1), entries=bytes(10**7)),
    )
    for matrix in ((1, 55, 4), (0, -1, 4), (0, 55, -4), (0, 2**62, 4), (0, 55, 2**62), (9, 9, 9)):
        yield f"fastText: matrix {matrix}", fasttext(matrix=matrix)
    output = _FLOATS * 11 + struct.pack("<?qq", False, 2**40, 4)
    yield "fastText: weights of 2^42 numbers", fasttext(tail=output)
    yield "fastText: quantized weights", fasttext(tail=_FLOATS * 11 + b"\1" + bytes(16) + _FLOATS)
    numbers = np.full(20 * 12, np.nan, dtype="<f4").tobytes()
    yield "fastText: nan", fasttext(tail=numbers)
    twice = b"".join(word.encode() + b"\0" + struct.pack("<qb", 9, 0) for word in ["cat"] * 5)
    yield "fastText: one word five times", fasttext(entries=twice)
    wrong = b"".join(word.encode() + b"\0" + struct.pack("<qb", -9, 7) for word in WORDS)
    yield "fastText: entries of an unknown type", fasttext(entries=wrong)
    counts = b"".join(word.encode() + b"\0" + struct.pack("<qb", -(2**63), 0) for word in WORDS)
    yield "fastText: counts below zero", fasttext(entries=counts)
    long = b"c" * 60_000 + b"\0" + struct.pack("<qb", 9, 0)
    one = _FLOATS[:16] * 51 + struct.pack("<?qq", False, 1, 4) + _FLOATS[:16]
    yield (
        "fastText: a word of 60,000 letters",
        fasttext(entries=long, sizes=(1, 1, 0, 9, -1), matrix=(0, 51, 4), tail=one, maxn=100),
    )
    yield "fastText, packed", gzip.compress(whole)


def other_files():
    whole = gzip.compress(text())
    yield "packed, cut off", whole[:-9]
    yield "packed, damaged", whole[:20] + bytes(30) + whole[50:]
    yield "packed, more behind", whole + b"more"
    yield "packed twice", gzip.compress(whole)
    yield "packed: empty", gzip.compress(b"")
    for what, start in (("text", b"cat"), ("binary", b"9 9\n"), ("fastText", fasttext()[:60])):
        yield f"a bomb of a gigabyte, {what}", _bomb(start)
    yield "a bomb of lines", _bomb(b"", b"cat 1 2 3 4\n" * 1000)
    for protocol in range(6):
        yield f"a pickle of protocol {protocol}", pickle.dumps(Payload(), protocol)
        yield (
            f"a packed pickle of protocol {protocol}",
            gzip.compress(pickle.dumps(Payload(), protocol)),
        )
    yield "JSON", json.dumps({"cat": [1, 2, 3]}).encode()
    yield "CSV", b"word,a,b\ncat,1,2\n"
    yield "HTML", b"<!DOCTYPE html><html>404</html>"
    yield "a pointer of Git LFS", b"version https://git-lfs.github.com/spec/v1\noid sha256:00\n"
    for sign in (b"PK\3\4", b"BZh9", b"\xfd7zXZ\0", b"7z\xbc\xaf", b"\x28\xb5\x2f\xfd"):
        yield f"an archive {sign[:4]!r}", sign + bytes(100)
    yield "an array of numpy", b"\x93NUMPY" + bytes(100)
    yield "GloVe's binary output", np.random.default_rng(0).uniform(-1, 1, 999).tobytes()
    yield "GloVe's counts of pairs", struct.pack("<iid", 1, 2, 0.5) * 99
    random = np.random.default_rng(0)
    for i in range(10):
        yield f"random bytes {i}", random.bytes(5000)
    for kind, content in (("text", b"5 4\n" + text()), ("binary", binary()), ("bin", fasttext())):
        for i in range(20):
            damaged = bytearray(content)
            for place in random.integers(0, len(damaged), 3):
                damaged[place] = random.integers(0, 256)
            yield f"{kind} with three bytes changed {i}", bytes(damaged)


def _bomb(start, block=bytes(2**20)):
    packed = gzip.compress(block * max(2**26 // len(block), 1), 9)
    return gzip.compress(start) + packed * 16


def special(folder):
    """Make what is no regular file; yield names and paths."""
    os.mkfifo(folder / "pipe")
    (folder / "loop").symlink_to("loop")
    (folder / "zero").symlink_to("/dev/zero")
    (folder / "folder").mkdir()
    with open(folder / "sparse", "wb") as file:
        file.truncate(2**40)
    with open(folder / "sparse, a header", "wb") as file:
        file.write(b"%d 300\n" % 2**30)
        file.truncate(2**40)
    for name in ("pipe", "loop", "zero", "folder", "sparse", "sparse, a header", "missing"):
        yield name, folder / name


# -- judging --------------------------------------------------------------------------------------


def attempt(path, cls, fine_tune, results):
    """Fit and transform; put what happened in a queue."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    os.chdir(path.parent)
    parameters = {"min_count": 1, "epochs": 1, "random_state": 0, "fine_tune": fine_tune}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            vectors = cls(4, vectors=path, **parameters).fit(ROWS).transform(ROWS)
        outcome, what = "embedded" if np.isfinite(vectors).all() else "not finite", ""
    except BaseException as error:
        what = f"{type(error).__name__}: {error}"
        named = path.name in what or "fine_tune needs" in what
        clear = isinstance(error, (VectorFileError, FileNotFoundError)) or type(error) is ValueError
        outcome = "refused" if clear and named else "raw errors"
    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    results.put((outcome, what, used * 1024))


def judge(name, path, counts, faults):
    """Give a file to the embedders, each in a process of its own."""
    context = multiprocessing.get_context("fork")
    for cls in (Word2VecVectorizer, FastTextVectorizer):
        for fine_tune in (False, True):
            results = context.SimpleQueue()
            child = context.Process(target=attempt, args=(path, cls, fine_tune, results))
            start = time.perf_counter()
            child.start()
            child.join(SECONDS)
            if child.is_alive():
                child.kill()
                child.join()
                outcome, what, used = "hangs", "", 0
            elif results.empty():
                outcome, what, used = "crashes", f"exit code {child.exitcode}", 0
            else:
                outcome, what, used = results.get()
            if used > BYTES:
                outcome, what = "too much memory", f"{used / 2**20:.0f} MiB; {what}"
            if (path.parent / "ran").exists():
                outcome = "code was run"
            counts["slowest, ms"] = max(
                counts["slowest, ms"], int(1000 * (time.perf_counter() - start))
            )
            counts["attempts"] += 1
            if outcome in ("embedded", "refused"):
                counts[outcome] += 1
                continue
            faults[outcome] += 1
            print(f"{outcome}: {name}: {cls.__name__}, fine_tune={fine_tune}: {what[:200]}")


def main():
    arguments = parser(__doc__, data=False)
    arguments.add_argument("--only", default="", help="files whose name contains this")
    arguments = arguments.parse_args()
    print(machine("gensim", "numpy"), end="\n\n")
    Word2VecVectorizer(4, min_count=1).fit(ROWS)  # so that the processes have all modules
    FastTextVectorizer(4, min_count=1, bucket=9).fit(ROWS)
    counts, faults = Counter(), Counter()
    makers = (text_files, headers, binary_files, fasttext_files, other_files)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        for name, content in (case for make in makers for case in make()):
            if arguments.only in name:
                path = folder / "hostile-file"
                path.write_bytes(content)
                counts["files"] += 1
                judge(name, path, counts, faults)
        (folder / "special").mkdir()
        for name, path in special(folder / "special"):
            if arguments.only in name:
                counts["files"] += 1
                judge(name, path, counts, faults)
    goals = ("raw errors", "crashes", "hangs", "too much memory", "not finite", "code was run")
    report({name: (faults[name], 0) for name in goals}, counts)


if __name__ == "__main__":
    main()
