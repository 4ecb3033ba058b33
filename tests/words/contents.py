"""Content of files of word vectors."""

import struct

import numpy as np

WORDS = ["the", "naïve", "1999", "日本", "a.b", "don't"]
VECTORS = np.random.default_rng(0).standard_normal((6, 5)).astype(np.float32)


def glove_text(words=WORDS, vectors=VECTORS):
    lines = [f"{w} {' '.join(map(str, row))}\n" for w, row in zip(words, vectors, strict=True)]
    return "".join(lines).encode()


def fasttext_bin(words, matrix, *, labels=(), bucket=0, minn=0, maxn=0, model=2, version=12):
    """Write a file as fastText's own program does."""
    n_dims = matrix.shape[1]
    settings = struct.pack("<12id", n_dims, 5, 5, 1, 5, 1, 2, model, bucket, minn, maxn, 100, 1e-4)
    entries = [word.encode() + b"\0" + struct.pack("<qb", 9, 0) for word in words]
    entries += [label.encode() + b"\0" + struct.pack("<qb", 9, 1) for label in labels]
    sizes = struct.pack("<3iqq", len(entries), len(words), len(labels), 99, -1)
    output = np.zeros((len(labels) or len(words), n_dims), dtype=np.float32)
    matrices = [struct.pack("<?qq", False, *m.shape) + m.tobytes() for m in (matrix, output)]
    start = struct.pack("<ii", 793712314, version)
    return b"".join([start, settings, sizes, *entries, *matrices])
