"""Speed: rows a second of BertEmbedder against Sentence Transformers, on AG News.

The same network (all-MiniLM-L6-v2, the packaged copy), float32, on the CPU, in one process, timed
in turn after a warm-up; nothing is cached (cache=None) and the rows are distinct. The last column
sets the operations of the rows' own tokens (no padding counted) against what this machine's
float32 matrix products reach in ONNX Runtime, at their fastest in the same rounds. Other processes
make the shares smaller and the ratios noisy: measure on a quiet machine.

    python benchmarks/bench_text.py [--rows 1000] [--repeats 3]
"""

from _common import (
    MatrixProducts,
    ag_news,
    interleaved,
    machine,
    minilm,
    minilm_flop,
    parser,
    print_table,
)

PEER = "sentence-transformers"
LIMIT = "limit: the matrix products alone"


def main():
    arguments = parser(__doc__)
    arguments.add_argument("--rows", type=int, default=1000)
    arguments.add_argument("--repeats", type=int, default=3)
    arguments = arguments.parse_args()

    from sentence_transformers import SentenceTransformer
    from tokenizers import Tokenizer

    from skembed import BertEmbedder

    rows = ag_news(arguments.data, arguments.rows)
    peer = SentenceTransformer(minilm(), device="cpu")
    tokenizer = Tokenizer.from_file(f"{minilm()}/tokenizer.json")
    tokenizer.no_padding()
    tokenizer.enable_truncation(peer.max_seq_length)
    lengths = [len(encoding.ids) for encoding in tokenizer.encode_batch(rows)]
    flop = sum(map(minilm_flop, lengths))
    print(machine("skembed", "onnxruntime", "torch", "transformers", PEER))
    print(
        f"the first {len(rows)} distinct rows of AG News: {sum(lengths) / len(rows):.1f} tokens "
        f"and {flop / len(rows) / 1e9:.3f} GFLOP a row; medians of {arguments.repeats}\n"
    )

    functions = {PEER: lambda: peer.encode(rows, show_progress_bar=False)}
    for backend in ("onnx", "torch"):
        embedder = BertEmbedder(minilm(), backend=backend, device="cpu", cache=None).fit(rows)
        functions[f"skembed, {backend}"] = lambda embedder=embedder: embedder.transform(rows)
    for function in functions.values():
        function()
    products = MatrixProducts()
    seconds = interleaved({**functions, "products": products}, arguments.repeats)

    limit = products.limit
    del seconds["products"]
    rows_a_second = {name: len(rows) / value for name, value in seconds.items()}
    rows_a_second[LIMIT] = len(rows) * limit / flop
    table = [
        [
            name,
            f"{speed:.0f}",
            f"{speed / rows_a_second[PEER]:.2f}",
            f"{speed * flop / len(rows) / limit:.0%}",
        ]
        for name, speed in rows_a_second.items()
    ]
    print_table(["who", "rows/s", f"against {PEER}", f"of {limit / 1e9:.0f} GFLOP/s"], table)
    if max(rows_a_second[name] for name in functions) > rows_a_second[LIMIT]:
        print("\nA share above 100 %: the limit was not reached in any round. Measure again.")


if __name__ == "__main__":
    main()
