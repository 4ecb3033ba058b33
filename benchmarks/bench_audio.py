"""Sounds: parity with transformers and torch, speed, stability, accuracies.

    python benchmarks/bench_audio.py --part parity     # 50 clips; networks of full size
    python benchmarks/bench_audio.py --part speed [--clips 40] [--repeats 5]
    python benchmarks/bench_audio.py --part stability  # alone, in a batch, in other containers
    python benchmarks/bench_audio.py --part accuracy   # spoken digits, environmental sounds

Networks have random weights of the published architectures: what they compute costs the same. The
speed of each contender is measured on the same files, in turn, in this process.
"""

import logging
import tempfile
import warnings
from io import BytesIO
from pathlib import Path

import numpy as np
import soundfile
import soxr
from _common import interleaved, machine, n_cores, parser, print_table, verdict

from skembed import AudioEmbedder
from skembed.audio._audio import SOUNDS
from skembed.audio._log_mel import PRESETS
from skembed.audio._waveforms import waveform_of
from skembed.audio._windows import repeated

RANDOM = {"pretrained": False, "random_state": 0, "cache": None}
PEER = "torch, torch.stft"
_BATCH = 8  # of the peer


def environmental(data, n_clips=None):
    """Return files of ESC-10, of all classes in turn: clips of five seconds."""
    files = sorted((data / "audio" / "esc10").glob("*/*.ogg"), key=lambda file: file.name)
    if len(files) < (n_clips or 1):
        raise SystemExit(f"{data}/audio/esc10 has {len(files)} clips; {n_clips} were asked for")
    return [str(file) for file in files[:n_clips]]


def waveform(file, rate):
    return waveform_of(file, None, sampling_rate=None, target_rate=rate, max_seconds=600).samples


def judge(what, value, goal, *, at_most):
    met = value <= goal if at_most else value >= goal
    sign = "<=" if at_most else ">="
    print(f"{what}: {value:.3g}, goal {sign} {goal:g}: {verdict(met)}", flush=True)


# -- parity ---------------------------------------------------------------------------------------


def _extractors():
    """Return functions from a waveform to what transformers makes of it: (n_frames, n_mels)."""
    import transformers

    ast = transformers.ASTFeatureExtractor()
    whisper = transformers.WhisperFeatureExtractor()
    clap = transformers.ClapFeatureExtractor(truncation="rand_trunc", frequency_min=50)

    def called(extractor, name):
        rate = extractor.sampling_rate
        return lambda sound: np.asarray(
            extractor(sound, sampling_rate=rate, return_tensors="np")[name]
        ).squeeze()

    return {
        "ast": called(ast, "input_values"),
        "whisper": lambda sound: called(whisper, "input_features")(sound).T,
        "clap": called(clap, "input_features"),
    }


# What extractors fill waveforms up with before they make spectrograms.
_FILLED = {
    "whisper": lambda sound: np.pad(sound, (0, 480_000 - len(sound))),
    "clap": lambda sound: repeated(sound, 480_000),
}


def _graph_session(log_mel, folder):
    import onnxruntime
    import torch

    path = str(Path(folder, "log_mel.onnx"))
    sounds = torch.zeros(2, 4 * log_mel.win_length)
    sizes = {0: torch.export.Dim.DYNAMIC, 1: torch.export.Dim.DYNAMIC}
    torch.onnx.export(
        log_mel.module(),
        (sounds,),
        dynamo=True,
        opset_version=20,
        dynamic_shapes=(sizes,),
        verbose=False,
    ).save(path)
    session = onnxruntime.InferenceSession(path)
    return lambda sound: session.run(None, {session.get_inputs()[0].name: sound[None]})[0][0]


def _networks():
    """Return networks of full size with random weights, and what transformers makes of them."""
    import torch
    import transformers

    transformers.utils.logging.disable_progress_bar()
    torch.manual_seed(0)
    ast = transformers.ASTModel(transformers.ASTConfig())
    wav2vec2 = transformers.Wav2Vec2Model(transformers.Wav2Vec2Config())
    convnext = transformers.ConvNextModel(transformers.ConvNextConfig(num_channels=1))
    return {
        "AST": (
            ast,
            transformers.ASTFeatureExtractor(),
            lambda sound, inputs: ast(inputs).pooler_output,
        ),
        "Wav2Vec2": (
            wav2vec2,
            transformers.Wav2Vec2FeatureExtractor(),
            lambda sound, inputs: wav2vec2(inputs).last_hidden_state.mean(dim=1),
        ),
        "ConvNeXT, one channel": (convnext, None, lambda sound, _: convnext(sound).pooler_output),
    }


def parity(arguments):
    files = environmental(arguments.data, 50)
    extractors = _extractors()
    with tempfile.TemporaryDirectory() as folder:
        for name, log_mel in PRESETS.items():
            sounds = [waveform(file, log_mel.sampling_rate) for file in files]
            filled = [_FILLED.get(name, lambda sound: sound)(sound) for sound in sounds]
            ours = [log_mel(sound) for sound in filled]
            if name in extractors:
                theirs = [extractors[name](sound) for sound in sounds]
                difference = max(map(_distance, ours, theirs))
                judge(f"log-mel {name!r} against transformers", difference, 1e-4, at_most=True)
            graph = _graph_session(log_mel, folder)
            difference = max(_distance(graph(s), o) for s, o in zip(filled, ours, strict=True))
            judge(f"log-mel {name!r} in the graph against numpy", difference, 1e-4, at_most=True)
    sounds = [waveform(file, 16_000) for file in files[:3]]
    for name, (model, extractor, forward) in _networks().items():
        with tempfile.TemporaryDirectory() as folder:
            _network_parity(name, model.eval(), extractor, forward, sounds, folder)
    from skembed.models._backbone import build

    network = build({"model_type": "skembed-cnn14"}, SOUNDS)
    counted = sum(parameter.numel() for parameter in network.parameters())
    print(f"cnn14: {counted:,} parameters, its classifier's among them")


def _network_parity(name, model, extractor, forward, sounds, folder):
    import torch

    model.save_pretrained(folder)
    settings = {"front_end": "birdset"}
    rows = sounds
    if extractor is not None:
        extractor.save_pretrained(folder)
        settings = {}
        inputs = [
            extractor(sound, sampling_rate=16_000, return_tensors="pt")["input_values"]
            for sound in sounds
        ]
    else:  # bands come first; the preset's rate, five seconds
        rows = [np.pad(sound, (0, 160_000))[:160_000] for sound in sounds]
        made = [torch.from_numpy(PRESETS["birdset"](sound).T[None, None]) for sound in rows]
        inputs, sounds = [None] * 3, made
    rate = 32_000 if extractor is None else 16_000
    with torch.inference_mode():
        expected = [forward(s, i)[0].numpy() for s, i in zip(sounds, inputs, strict=True)]
    for backend in ("onnx", "torch"):
        embedder = AudioEmbedder(
            folder, backend=backend, sampling_rate=rate, cache=None, **settings
        )
        vectors = embedder.fit_transform(rows)
        difference = max(map(_distance, vectors, expected))
        scale = np.abs(expected).max()
        judge(
            f"{name}, random weights, {backend}, against transformers' forward "
            f"(values up to {scale:.2g})",
            difference,
            1e-4,
            at_most=True,
        )


def _distance(a, b):
    return float(np.abs(a - b).max())


# -- speed ----------------------------------------------------------------------------------------


def _peer(folder):
    """The same network in torch: soundfile, soxr, torch.stft, batches of 8."""
    import torch

    from skembed.models._backbone import load_backbone

    network = load_backbone(Path(folder), SOUNDS)
    log_mel = PRESETS["panns"]
    bands = torch.from_numpy(log_mel.bands()).float()
    window = torch.hann_window(log_mel.n_fft)

    def embed(files):
        vectors = []
        for start in range(0, len(files), _BATCH):
            sounds = []
            for file in files[start : start + _BATCH]:
                sound, rate = soundfile.read(file, dtype="float32", always_2d=True)
                sounds.append(soxr.resample(sound.mean(axis=1), rate, log_mel.sampling_rate))
            length = max(map(len, sounds))
            batch = np.stack([np.pad(sound, (0, length - len(sound))) for sound in sounds])
            with torch.inference_mode():
                spectrum = torch.stft(
                    torch.from_numpy(batch),
                    log_mel.n_fft,
                    log_mel.hop_length,
                    window=window,
                    pad_mode="reflect",
                    return_complex=True,
                )
                power = spectrum.real**2 + spectrum.imag**2
                decibels = 10 * torch.log10((power.transpose(1, 2) @ bands).clamp(min=1e-10))
                vectors.append(network(decibels)[-1][:, 0].numpy())
        return np.concatenate(vectors)

    return embed


def _bare(embedder, files):
    """Return functions that run prepared waveforms, and one that prepares them."""
    import onnxruntime

    from skembed.base._threads import same_shape_batches
    from skembed.network._load import graph_of, runner_of

    network = embedder._network
    keys, _ = embedder._check_rows(files)
    prepared, _ = network.preprocessor.prepare(files, keys, n_cores())
    sounds = [window for row in prepared for window in row.inputs]
    grouped = same_shape_batches(sounds, "auto", embedder._modality.batch_elements)
    stacked = [np.stack([sounds[i] for i in group]) for group in grouped]
    session = onnxruntime.InferenceSession(str(graph_of(network)))
    name = session.get_inputs()[0].name
    runner = runner_of(network)
    return (
        lambda: list(runner.run(stacked, n_cores())),
        lambda: [session.run(None, {name: batch}) for batch in stacked],
        lambda: network.preprocessor.prepare(files, embedder._check_rows(files)[0], n_cores()),
    )


def speed(arguments):
    files = environmental(arguments.data, arguments.clips)
    seconds_of_audio = sum(soundfile.info(file).duration for file in files)
    print(f"{len(files)} ogg files, {seconds_of_audio:.0f} s; medians of {arguments.repeats}\n")
    sounds = [waveform(file, 16_000) for file in files]
    theirs = _extractors()["ast"]
    functions = {
        "AST's spectrograms, transformers": lambda: [theirs(sound) for sound in sounds],
        "AST's spectrograms, skembed (numpy, one thread)": lambda: [
            PRESETS["ast"](sound) for sound in sounds
        ],
    }
    embedders = {
        name: AudioEmbedder(name, backend="onnx", **RANDOM).fit(files[:1])
        for name in ("cnn14", "cnn-small")
    }
    peer = _peer(embedders["cnn14"]._network.path)
    reference = peer(files[:_BATCH])
    difference = _distance(embedders["cnn14"].transform(files[:_BATCH]), reference)
    print(f"cnn14 against {PEER}: {difference:.2g} of values up to {reference.max():.2g}\n")
    functions[f"cnn14, {PEER}"] = lambda: peer(files)
    for name, embedder in embedders.items():
        runner, session, reading = _bare(embedder, files)
        functions[f"{name}, skembed from files"] = lambda embedder=embedder: embedder.transform(
            files
        )
        functions[f"{name}, the graph alone, as skembed runs it"] = runner
        functions[f"{name}, the graph alone, one session with threads"] = session
        functions[f"{name}, reading alone"] = reading
    for precision in ("int8", "bfloat16"):
        settings = {**RANDOM, "precision": precision}
        reduced = AudioEmbedder("cnn14", **settings).fit(files)
        vectors = reduced.transform(files[:_BATCH])
        lengths = np.linalg.norm(vectors, axis=1) * np.linalg.norm(reference, axis=1)
        cosine = ((vectors * reference).sum(axis=1) / lengths).min()
        print(f"cnn14, {precision}: smallest cosine to float32 {cosine:.4f}\n")
        functions[f"cnn14, skembed from files, {precision}"] = lambda reduced=reduced: (
            reduced.transform(files)
        )
    for function in functions.values():
        function()
    seconds = interleaved(functions, arguments.repeats)
    speeds = {who: seconds_of_audio / value for who, value in seconds.items()}
    print_table(
        ["what", "seconds of audio a second"],
        [[who, f"{value:,.0f}"] for who, value in speeds.items()],
    )
    print()
    bare = max(value for who, value in speeds.items() if who.startswith("cnn14, the graph"))
    ours = speeds["cnn14, skembed from files"]
    first, second = list(speeds.values())[:2]
    for what, value, goal in (
        ("AST's spectrograms, skembed / transformers", second / first, 5),
        (f"cnn14, skembed / {PEER}", ours / speeds[f"cnn14, {PEER}"], 2.2),
        ("cnn14, skembed / the faster bare session", ours / bare, 0.85),
        ("cnn-small from files, s/s", speeds["cnn-small, skembed from files"], 150),
    ):
        judge(what, value, goal, at_most=False)


# -- stability ------------------------------------------------------------------------------------


def _copy(sound, rate, container, encoding):
    file = BytesIO()
    soundfile.write(file, sound, rate, format=container, subtype=encoding)
    return file.getvalue()


def stability(arguments):
    for name, n_clips in (("cnn-small", 40), ("cnn14", 8)):
        files = environmental(arguments.data, n_clips)
        for backend in ("onnx", "torch"):
            settings = {**RANDOM, "window_seconds": 2, "normalize": True}
            embedder = AudioEmbedder(name, backend=backend, **settings)
            together = embedder.fit_transform(files)
            order = np.random.default_rng(0).permutation(n_clips)
            rate = embedder._network.preprocessor.preprocessing.sampling_rate
            resampled = []
            for file in files:
                sound, own = soundfile.read(file, dtype="float32", always_2d=True)
                resampled.append((soxr.resample(sound.mean(axis=1), own, rate), rate))
            found = {
                "alone": np.concatenate([embedder.transform([file]) for file in files]),
                "in another order": embedder.transform([files[i] for i in order])[
                    np.argsort(order)
                ],
                "in batches of three, on one thread": AudioEmbedder(
                    **{**embedder.get_params(), "batch_size": 3, "n_threads": 1}
                ).fit_transform(files),
                "resampled by the same rule": embedder.transform(resampled),
            }
            for what, vectors in found.items():
                judge(
                    f"{name}, {backend}: {what}", _distance(vectors, together), 1e-5, at_most=True
                )
        sounds = [soundfile.read(file, dtype="float32") for file in files]
        copies = [
            embedder.transform([_copy(*sound, *kind) for sound in sounds])
            for kind in (("WAV", "FLOAT"), ("WAV", "PCM_24"), ("FLAC", "PCM_24"))
        ]
        difference = max(_distance(vectors, together) for vectors in copies)
        scale = np.abs(together).max()
        judge(f"{name}: ogg, wav, flac (values up to {scale:.2g})", difference, 1e-4, at_most=True)


# -- accuracy -------------------------------------------------------------------------------------


def mean_and_deviation(files):
    """Return the mean and the deviation of each band of log-mel spectrograms, side by side."""
    log_mels = [PRESETS["vggish"](waveform(file, 16_000)) for file in files]
    return np.stack([np.concatenate([bands.mean(0), bands.std(0)]) for bands in log_mels])


def accuracy(arguments):
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import LeaveOneGroupOut, PredefinedSplit, cross_val_score
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import FunctionTransformer, StandardScaler
    from sklearn.svm import SVC

    digits = sorted((arguments.data / "audio" / "fsdd").glob("*.wav"))
    test = [0 if int(file.stem.split("_")[2]) < 5 else -1 for file in digits]
    clips = [Path(file) for file in environmental(arguments.data)]
    folds = LeaveOneGroupOut().split(clips, groups=[file.name[0] for file in clips])
    tasks = {
        "FSDD, official split": (digits, [file.name[0] for file in digits], PredefinedSplit(test)),
        "ESC-10, 4 folds": (clips, [file.parent.name for file in clips], list(folds)),
    }
    table = []
    for task, (files, labels, split) in tasks.items():
        files = [str(file) for file in files]
        network = AudioEmbedder("cnn-small", pretrained=False, random_state=0)
        layers = {"layers": [0, 1, 2, 3, 4], "pooling": "mean_max"}
        features = {
            "mean and deviation of log-mel bands": FunctionTransformer(mean_and_deviation),
            "AudioEmbedder('cnn-small', pretrained=False)": network,
            "the same, all layers, mean and maximum": AudioEmbedder(
                **{**network.get_params(), **layers}
            ),
            "AudioEmbedder('mfcc-statistics')": AudioEmbedder("mfcc-statistics"),
        }
        for who, transformer in features.items():
            X = transformer.fit_transform(files)
            scores = {}
            for C in (0.001, 0.01, 0.1, 1.0, 10.0):
                model = make_pipeline(StandardScaler(), LogisticRegression(C=C, max_iter=3000))
                scores[C] = cross_val_score(model, X, labels, cv=split).mean()
            shown = ", ".join(f"{score:.3f}" for score in scores.values())
            model = make_pipeline(StandardScaler(), SVC(C=10))
            curved = cross_val_score(model, X, labels, cv=split).mean()
            table.append([task, who, X.shape[1], shown, f"{curved:.3f}"])
    columns = ["task", "features", "dimensions", "accuracy at C = 0.001, 0.01, 0.1, 1, 10", "SVC"]
    print_table(columns, table)


PARTS = {"parity": parity, "speed": speed, "stability": stability, "accuracy": accuracy}


def main():
    arguments = parser(__doc__)
    arguments.add_argument("--part", choices=list(PARTS))
    arguments.add_argument("--clips", type=int, default=40)
    arguments.add_argument("--repeats", type=int, default=5)
    arguments = arguments.parse_args()
    warnings.simplefilter("ignore")
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    print(machine("skembed", "onnxruntime", "torch", "transformers", "soundfile", "soxr"))
    for part in [arguments.part] if arguments.part else PARTS:
        print(f"\n## {part}\n", flush=True)
        PARTS[part](arguments)


if __name__ == "__main__":
    main()
