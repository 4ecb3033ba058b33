"""Sounds: speed against transformers and torch, parity, order and containers, accuracies.

    python benchmarks/bench_audio.py --part parity    # 50 clips against transformers' extractors
    python benchmarks/bench_audio.py --part front     # log-mel spectrograms of AST
    python benchmarks/bench_audio.py --part speed     # CNN14 and the small network
    python benchmarks/bench_audio.py --part same      # alone, in a batch, in another container
    python benchmarks/bench_audio.py --part accuracy  # spoken digits and environmental sounds

Networks have random weights of the published architectures: what they compute costs the same. The
speed of each contender is measured on the same files, in turn, in this process.
"""

import io
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np
import soundfile
import soxr
from _common import interleaved, machine, n_cores, parser, print_table, verdict

from skembed import AudioEmbedder
from skembed.audio._log_mel import PRESETS
from skembed.audio._waveforms import waveform_of
from skembed.runtime._schedule import in_threads

SECONDS = 5.0  # of a clip of ESC-10


def clips(data, n_clips):
    """Return files of ESC-10, evenly from all classes."""
    files = sorted(str(path) for path in (data / "audio" / "esc10").glob("*/*.ogg"))
    return files[:: max(1, len(files) // n_clips)][:n_clips]


def waveforms(files, rate):
    """Return the samples of files at a rate."""
    return [
        waveform_of(file, None, sampling_rate=None, target_rate=rate, max_seconds=SECONDS).samples
        for file in files
    ]


# -- parity ---------------------------------------------------------------------------------------


def _padded(samples, size, repeat=False):
    samples = np.tile(samples, size // len(samples)) if repeat else samples
    return np.pad(samples, (0, size - len(samples)))


def parity(arguments):
    import transformers

    files = clips(arguments.data, 50)
    clap = transformers.ClapFeatureExtractor(frequency_min=50, truncation="rand_trunc")
    whisper = transformers.WhisperFeatureExtractor()
    extractors = {
        "ast": (transformers.ASTFeatureExtractor(), lambda samples: samples),
        "whisper": (whisper, lambda samples: _padded(samples, 480_000)),
        "clap": (clap, lambda samples: _padded(samples, 480_000, repeat=True)),
    }
    table, worst = [], 0.0
    for name, (extractor, arranged) in extractors.items():
        log_mel = PRESETS[name]
        module = _onnx_of(log_mel)
        numpys, graphs = 0.0, 0.0
        for samples in waveforms(files, log_mel.sampling_rate):
            samples = arranged(samples)
            given = extractor(samples, sampling_rate=log_mel.sampling_rate, return_tensors="np")
            theirs = np.asarray(given[extractor.model_input_names[0]]).squeeze()
            theirs = theirs.T if name == "whisper" else theirs
            ours = log_mel(samples)
            numpys = max(numpys, float(np.abs(ours - theirs).max()))
            graphs = max(graphs, float(np.abs(module([samples])[0] - ours).max()))
        worst = max(worst, numpys, graphs)
        table.append([name, f"{numpys:.1e}", f"{graphs:.1e}"])
    print_table(["front end", "numpy against transformers", "graph against numpy"], table)
    print(f"\nlargest difference {worst:.1e}, goal 1e-4: {verdict(worst <= 1e-4)}")


def _onnx_of(log_mel):
    """Return a function that computes log-mel spectrograms by their graph, on every core."""
    import torch

    from skembed.runtime._export import _quiet, _to_onnx
    from skembed.runtime._onnx import OnnxRunner

    noise = torch.randn(2, log_mel.sampling_rate)
    sizes = {axis: torch.export.Dim.DYNAMIC for axis in (0, 1)}
    folder = tempfile.TemporaryDirectory()
    path = str(Path(folder.name, "graph.onnx"))
    with _quiet():
        program = _to_onnx(log_mel.module(), (noise,), ["waveforms"], ["spectrograms"], (sizes,))
    program.save(path)
    runner = OnnxRunner(path, "waveforms")
    runner.folder = folder  # kept as long as it
    return lambda rows: [answer[0] for answer in runner.run([row[None] for row in rows], n_cores())]


# -- speed ----------------------------------------------------------------------------------------


def front(arguments):
    """AST's spectrograms, from decoded waveforms and from files."""
    import transformers

    files = clips(arguments.data, arguments.clips)
    extractor = transformers.ASTFeatureExtractor()
    log_mel = PRESETS["ast"]
    graph = _onnx_of(log_mel)
    rate = log_mel.sampling_rate

    def theirs(rows):
        return [extractor(row, sampling_rate=rate, return_tensors="np") for row in rows]

    def theirs_from_files():
        rows = []
        for file in files:
            samples, own_rate = soundfile.read(file, dtype="float32", always_2d=True)
            rows.append(soxr.resample(samples.mean(axis=1), own_rate, rate))
        return theirs(rows)

    def read(file):
        return waveform_of(
            file, None, sampling_rate=None, target_rate=rate, max_seconds=SECONDS
        ).samples

    def ours_from_files():
        return graph(list(in_threads(read, files, n_cores())))

    decoded = waveforms(files, rate)
    functions = {
        "transformers' extractor": lambda: theirs(decoded),
        "skembed, numpy on threads": lambda: list(in_threads(log_mel, decoded, n_cores())),
        "skembed, in the graph": lambda: graph(decoded),
        "from ogg files: transformers' extractor": theirs_from_files,
        "from ogg files: skembed": ours_from_files,
    }
    seconds = interleaved(functions, arguments.repeats)
    speeds = {who: len(files) * SECONDS / took for who, took in seconds.items()}
    peer = speeds["transformers' extractor"]
    print_table(
        ["log-mel spectrograms of AST", "s of audio a s", "times"],
        [[who, f"{speed:.0f}", f"{speed / peer:.2f}"] for who, speed in speeds.items()],
    )
    best = max(speeds["skembed, in the graph"], speeds["skembed, numpy on threads"]) / peer
    print(f"\nskembed / transformers' extractor: {best:.2f}, goal 5: {verdict(best >= 5)}")
    whole = speeds["from ogg files: skembed"] / speeds["from ogg files: transformers' extractor"]
    print(f"the same from ogg files: {whole:.2f}, goal 5: {verdict(whole >= 5)}")


def _in_torch(embedder):
    """The same network in torch with torch.stft, clip by clip, as its authors' code has it."""
    import torch

    from skembed.models._backbone import load_backbone

    network = embedder._network
    log_mel = network.front.listening.log_mel
    backbone = load_backbone(Path(network.path), "waveforms")
    bands = torch.from_numpy(log_mel.bands()).float()
    window = torch.from_numpy(log_mel.window()).float()

    def embed(files):
        vectors = []
        for file in files:
            samples, rate = soundfile.read(file, dtype="float32", always_2d=True)
            samples = soxr.resample(samples.mean(axis=1), rate, log_mel.sampling_rate)
            with torch.inference_mode():
                spectrum = torch.stft(
                    torch.from_numpy(samples)[None],
                    log_mel.n_fft,
                    log_mel.hop_length,
                    log_mel.win_length,
                    window,
                    center=log_mel.center,
                    return_complex=True,
                )
                power = spectrum.abs() ** (1 if log_mel.magnitude else 2)
                mel = power.transpose(1, 2) @ bands + log_mel.offset
                values = mel.clamp(min=log_mel.floor).log()
                values = values * (10 / np.log(10)) if log_mel.log == "dB" else values
                vectors.append(backbone(values)[-1][0, 0].numpy())
        return np.stack(vectors)

    return embed


def _bare(embedder, files):
    """Return a function that runs prepared windows through the exported graph."""
    from skembed._network import runner_of
    from skembed.runtime._schedule import batches

    network = embedder._network
    prepared, _ = network.front.prepare(files, [None] * len(files), n_cores())
    windows = [window for row in prepared for window in row.inputs]
    grouped = batches(windows, "auto", embedder._batch_elements)
    stacked = [np.stack([windows[i] for i in group]) for group in grouped]
    runner = runner_of(network)
    return lambda: list(runner.run(stacked, n_cores()))


def speed(arguments):
    files = clips(arguments.data, arguments.clips)
    for model in ("cnn14", "cnn-small"):
        settings = {"pretrained": False, "random_state": 0, "cache": None}
        embedder = AudioEmbedder(model, **settings).fit(files[:1])
        peer = _in_torch(embedder)
        apart = np.abs(peer(files[:4]) - embedder.transform(files[:4])).max()
        functions = {
            "torch with torch.stft": lambda peer=peer: peer(files),
            "skembed": lambda embedder=embedder: embedder.transform(files),
            "limit: the exported graph alone": _bare(embedder, files),
        }
        for precision in ("int8", "bfloat16"):
            other = AudioEmbedder(model, precision=precision, **settings).fit(files)
            functions[f"skembed, {precision}"] = lambda other=other: other.transform(files)
        seconds = interleaved(functions, arguments.repeats)
        speeds = {who: len(files) * SECONDS / took for who, took in seconds.items()}
        ours, theirs = speeds["skembed"], speeds["torch with torch.stft"]
        print(f"\n{model}, from {len(files)} ogg files; torch's vectors are {apart:.1e} apart\n")
        print_table(
            [model, "s of audio a s", "times"],
            [[who, f"{speed:.0f}", f"{speed / theirs:.2f}"] for who, speed in speeds.items()],
        )
        bare = ours / speeds["limit: the exported graph alone"]
        print(f"\nskembed / torch: {ours / theirs:.2f}, goal 2.2: {verdict(ours / theirs >= 2.2)}")
        print(f"skembed / the graph alone: {bare:.0%}, goal 85 %: {verdict(bare >= 0.85)}")
        if model == "cnn-small":
            print(f"end to end: {ours:.0f}, goal 150: {verdict(ours >= 150)}")


# -- the same sound otherwise ---------------------------------------------------------------------


def same(arguments):
    files = clips(arguments.data, 40)
    embedder = AudioEmbedder("cnn-small", pretrained=False, random_state=0, cache=None)
    vectors = embedder.fit_transform(files)
    order = np.random.default_rng(0).permutation(len(files))
    again = {
        "in another order": embedder.transform([files[i] for i in order])[np.argsort(order)],
        "alone": np.concatenate([embedder.transform([file]) for file in files]),
        "batch_size=3": embedder.set_params(batch_size=3).fit_transform(files),
        "n_threads=1": embedder.set_params(n_threads=1).fit_transform(files),
    }
    samples = [soundfile.read(file, dtype="int16", always_2d=True) for file in files]
    copies = {
        kind: embedder.transform([_encoded(*item, kind) for item in samples])
        for kind in ("WAV", "FLAC")
    }
    rounded = np.abs(copies["WAV"] - vectors).max()
    table = [[name, f"{np.abs(other - vectors).max():.1e}"] for name, other in again.items()]
    apart = np.abs(copies["FLAC"] - copies["WAV"]).max()
    table.append(["in WAV and in FLAC", f"{apart:.1e}"])
    table.append(["in ogg and, rounded to 16 bits, in WAV", f"{rounded:.1e}"])
    print_table(["the same sound", "max difference"], table)
    worst = max(np.abs(other - vectors).max() for other in again.values())
    print(f"\norder and batch: goal 1e-5: {verdict(worst <= 1e-5)}", end="; ")
    print(f"containers: goal 1e-4: {verdict(max(apart, rounded) <= 1e-4)}")


def _encoded(samples, rate, kind):
    file = io.BytesIO()
    soundfile.write(file, samples, rate, format=kind)
    return file.getvalue()


# -- accuracy -------------------------------------------------------------------------------------


def moments(files):
    """Return mean and deviation over time of log-mel bands."""
    values = [PRESETS["vggish"](samples) for samples in waveforms(files, 16000)]
    return np.stack([np.concatenate([v.mean(axis=0), v.std(axis=0)]) for v in values])


def accuracy(arguments):
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import GridSearchCV, PredefinedSplit, cross_val_score
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import FunctionTransformer, StandardScaler

    digits = sorted(str(path) for path in (arguments.data / "audio" / "fsdd").glob("*.wav"))
    names = [Path(file).stem.split("_") for file in digits]
    # The official split: takes 0 to 4 are the test part.
    test = np.array([int(take) < 5 for *_, take in names])
    sounds = clips(arguments.data, 10**6)
    folds = [int(Path(file).stem.split("-")[0]) - 1 for file in sounds]
    sets = {
        "FSDD": (digits, [name[0] for name in names], PredefinedSplit(np.where(test, 0, -1))),
        "ESC-10": (sounds, [Path(file).parent.name for file in sounds], PredefinedSplit(folds)),
    }

    def pipeline(step):
        return make_pipeline(step, StandardScaler(), LogisticRegression(C=0.01, max_iter=2000))

    table = []
    with tempfile.TemporaryDirectory() as cache:
        small = AudioEmbedder("cnn-small", pretrained=False, random_state=0, cache=cache)
        deep = {"layers": [0, 1, 2, 3, 4], "pooling": "mean_max"}
        contenders = {
            "mean and deviation of log-mel": FunctionTransformer(moments),
            "cnn-small, random": small,
            "cnn-small, random, all layers": AudioEmbedder(**{**small.get_params(), **deep}),
        }
        for name, (files, labels, split) in sets.items():
            files = np.array(files, dtype=object)
            for who, step in contenders.items():
                start = time.perf_counter()
                scores = cross_val_score(pipeline(step), files, labels, cv=split)
                took = time.perf_counter() - start
                table.append([name, len(files), who, f"{scores.mean():.3f}", f"{took:.1f}"])
            start = time.perf_counter()
            grid = {
                "audioembedder__pooling": ["mean", "max", "mean_max"],
                "audioembedder__layers": [-1, [0, 1, 2, 3, 4]],
            }
            search = GridSearchCV(pipeline(small), grid, cv=split, n_jobs=2).fit(files, labels)
            took = time.perf_counter() - start
            chosen = {k.rpartition("__")[2]: v for k, v in search.best_params_.items()}
            who = f"cnn-small, random, search of 6: {chosen}"
            table.append([name, len(files), who, f"{search.best_score_:.3f}", f"{took:.1f}"])
    print_table(["data", "rows", "features", "accuracy", "s"], table)


PARTS = {"parity": parity, "front": front, "speed": speed, "same": same, "accuracy": accuracy}


def main():
    arguments = parser(__doc__)
    arguments.add_argument("--part", choices=list(PARTS))
    arguments.add_argument("--clips", type=int, default=40)
    arguments.add_argument("--repeats", type=int, default=5)
    arguments = arguments.parse_args()
    warnings.simplefilter("ignore")
    print(machine("skembed", "onnxruntime", "torch", "transformers", "soundfile", "soxr"))
    for part in [arguments.part] if arguments.part else PARTS:
        print(f"\n## {part}\n", flush=True)
        PARTS[part](arguments)


if __name__ == "__main__":
    main()
